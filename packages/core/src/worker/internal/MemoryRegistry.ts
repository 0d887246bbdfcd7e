/**
 * The registry, its heartbeats and its outbox in memory. The ports look at one state, as the tables of a database would:
 * the checks of the scheduler need workers and beats in one atomic step.
 */
import { Clock, Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import { matches } from "../../job/Matching.ts"
import { canonical } from "../../Json.ts"
import { type NewWorker, Worker, type WorkerId, type WorkerStatus } from "../Worker.ts"
import { LiveTwin, WorkerAlreadyExists, WorkerNotFound } from "../WorkerErrors.ts"
import { HeartbeatStore } from "./HeartbeatStore.ts"
import * as MemoryGroups from "./MemoryGroups.ts"
import * as MemoryOutbox from "./MemoryOutbox.ts"
import type { WorkerOutbox } from "./WorkerOutbox.ts"
import { WorkerRepository } from "./WorkerRepository.ts"

interface Row {
  worker: Worker
  /** Times of beats in ms, oldest first. */
  beats: Array<number>
}

class Rows extends Context.Service<Rows, Map<WorkerId, Row>>()("@muster/core/worker/internal/MemoryRegistry/Rows") {}

const lastBeat = (row: Row): number | undefined => row.beats.at(-1)

/** Whether a worker is another instance or offers something else than before; why it does not is no such thing. */
const differs = (worker: Worker, before: Worker): boolean =>
  canonical({ ...worker, connectors: [] }) !== canonical({ ...before, connectors: [] })

const makeRepository = Effect.gen(function* () {
  const rows = yield* Rows
  const groups = MemoryGroups.make(rows)
  const { tell } = yield* MemoryOutbox.MemoryOutbox

  const moveTo = (row: Row, status: WorkerStatus, now: number): Worker => {
    row.worker = new Worker({ ...row.worker, status, status_changed_at: DateTime.makeUnsafe(now) })
    tell("worker.status", row.worker, now)
    return row.worker
  }

  const moveAll = (from: WorkerStatus, to: WorkerStatus, when: (row: Row, now: number) => boolean) =>
    Effect.map(Clock.currentTimeMillis, (now) =>
      [...rows.values()]
        .filter((row) => row.worker.status === from && when(row, now))
        .map((row) => moveTo(row, to, now).id)
    )

  const replace = (
    next: NewWorker,
    unless: { readonly aliveWithin: Duration.Duration; readonly gone: string | null },
    now: number
  ): Effect.Effect<Worker, WorkerNotFound | LiveTwin> => {
    const row = rows.get(next.id)
    if (row === undefined) return Effect.fail(new WorkerNotFound({ id: next.id }))
    const { instance_id: known } = row.worker
    const beat = lastBeat(row)
    const another = known !== null && known !== next.instance_id
    const lives =
      row.worker.status !== "offline" && beat !== undefined && beat > now - Duration.toMillis(unless.aliveWithin)
    if (another && lives && known !== unless.gone) {
      const last_heartbeat_at = DateTime.makeUnsafe(beat)
      return Effect.fail(new LiveTwin({ id: next.id, instance_id: known, last_heartbeat_at }))
    }
    const before = row.worker
    row.worker = new Worker({ ...row.worker, ...next })
    if (differs(row.worker, before)) tell("worker.updated", row.worker, now)
    groups.came(row.worker)
    if (another) moveTo(row, "pending", now)
    return Effect.succeed(row.worker)
  }

  return WorkerRepository.of({
    insert: (worker) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (rows.has(worker.id)) return Effect.fail(new WorkerAlreadyExists({ id: worker.id }))
        const at = DateTime.makeUnsafe(now)
        const stored = new Worker({
          ...worker,
          standing: "open",
          status: "pending",
          registered_at: at,
          status_changed_at: at
        })
        rows.set(worker.id, { worker: stored, beats: [] })
        groups.came(stored)
        tell("worker.registered", stored, now)
        return Effect.succeed(stored)
      }),

    replace: (next, unless) => Effect.flatMap(Clock.currentTimeMillis, (now) => replace(next, unless, now)),

    find: (id) => Effect.sync(() => Option.map(Option.fromUndefinedOr(rows.get(id)), ({ worker }) => worker)),

    list: ({ after, limit, status }) =>
      Effect.sync(() =>
        [...rows.values()]
          .map(({ worker }) => worker)
          .filter((worker) => status === undefined || worker.status === status)
          .filter((worker) => after === undefined || worker.id > after)
          .toSorted((a, b) => (a.id < b.id ? -1 : 1))
          .slice(0, limit)
      ),

    onMachine: (machine_id) =>
      Effect.sync(() =>
        [...rows.values()]
          .flatMap(({ worker }) => (worker.machine_id === machine_id ? [worker.id] : []))
          .toSorted()
          .slice(0, 1_000)
      ),

    remove: (id) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const row = rows.get(id)
        if (row !== undefined) {
          groups.left(row, now)
          tell("worker.unregistered", row.worker, now)
        }
        return rows.delete(id)
      }),

    move: (id, from, to) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const row = rows.get(id)
        return row?.worker.status === from ? Option.some(moveTo(row, to, now)) : Option.none()
      }),

    activatePending: moveAll(
      "pending",
      "active",
      (row) => (lastBeat(row) ?? -Infinity) >= DateTime.toEpochMillis(row.worker.status_changed_at)
    ),

    markStale: (timeout, brake) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const heard = (row: Row) => lastBeat(row) ?? DateTime.toEpochMillis(row.worker.status_changed_at)
        const active = [...rows.values()].filter((row) => row.worker.status === "active")
        const stale = active.filter((row) => heard(row) <= now - Duration.toMillis(timeout))
        const newest = [...rows.values()].reduce(
          (latest, row) => Math.max(latest, lastBeat(row) ?? -Infinity),
          -Infinity
        )
        const holds =
          brake !== null &&
          active.length >= brake.fleetFrom &&
          stale.length * 2 > active.length &&
          newest <= now - Duration.toMillis(brake.silence)
        return holds
          ? { marked: [], held: stale.length }
          : { marked: stale.map((row) => moveTo(row, "offline", now).id), held: null }
      }),

    reactivateOffline: (timeout) =>
      moveAll("offline", "active", (row, now) => {
        const beat = lastBeat(row) ?? -Infinity
        return beat > now - Duration.toMillis(timeout) && beat > DateTime.toEpochMillis(row.worker.status_changed_at)
      }),

    setStanding: (id, standing) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const row = rows.get(id)
        if (row === undefined) return Option.none()
        const { standing: before } = row.worker
        row.worker = new Worker({ ...row.worker, standing })
        if (standing !== before) tell("worker.standing", row.worker, now)
        return Option.some(row.worker)
      }),

    standings: (ids) =>
      Effect.sync(() => {
        const asked = new Set(ids)
        const found = [...rows.values()].filter(({ worker }) => worker.standing !== "open" || asked.has(worker.id))
        return new Map(found.map(({ worker }) => [worker.id, worker.standing]))
      }),

    accepting: (facts) =>
      Effect.sync(() => {
        const matching = [...rows.values()].filter(({ worker }) => matches(facts, worker.capabilities))
        const active = matching.filter(({ worker }) => worker.status === "active")
        return { active: active.length, registered: matching.length }
      }),

    acceptsType: (service_required) =>
      Effect.sync(() =>
        [...rows.values()].some(({ worker }) => worker.capabilities.job_types.includes(service_required))
      ),

    groups: ({ machines }) => Effect.map(Clock.currentTimeMillis, (now) => groups.groups(machines, now)),

    glimpses: (machines, wanted) =>
      Effect.map(Clock.currentTimeMillis, (now) => groups.glimpses(machines, wanted, now)),

    ping: Effect.void
  })
})

const makeHeartbeats = Effect.gen(function* () {
  const rows = yield* Rows
  const last = (id: WorkerId) =>
    Option.map(Option.fromUndefinedOr(rows.get(id)?.beats.at(-1)), (beat): DateTime.Utc => DateTime.makeUnsafe(beat))

  return HeartbeatStore.of({
    record: (id) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const row = rows.get(id)
        if (row === undefined) return Effect.fail(new WorkerNotFound({ id }))
        row.beats.push(now)
        return Effect.void
      }),

    last: (id) => Effect.sync(() => last(id)),

    lastOf: (ids) =>
      Effect.sync(
        () => new Map(ids.flatMap((id) => Option.match(last(id), { onNone: () => [], onSome: (at) => [[id, at]] })))
      ),

    history: (id, limit) =>
      Effect.sync(() =>
        (rows.get(id)?.beats ?? [])
          .toReversed()
          .slice(0, limit)
          .map((beat) => DateTime.makeUnsafe(beat))
      ),

    prune: (age) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        let forgotten = 0
        for (const row of rows.values()) {
          const kept = row.beats.filter(
            (beat, at) => at === row.beats.length - 1 || beat > now - Duration.toMillis(age)
          )
          forgotten += row.beats.length - kept.length
          row.beats = kept
        }
        return forgotten
      })
  })
})

/** All three ports on one fresh state. */
export const layer: Layer.Layer<WorkerRepository | HeartbeatStore | WorkerOutbox> = Layer.mergeAll(
  Layer.effect(WorkerRepository, makeRepository),
  Layer.effect(HeartbeatStore, makeHeartbeats),
  MemoryOutbox.port
).pipe(Layer.provide([Layer.sync(Rows, () => new Map()), MemoryOutbox.layer]))
