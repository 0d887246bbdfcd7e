/** The archive in memory, for tests: the plain reference of the port, with a switch that takes it away. */
import { Clock, Context, DateTime, Duration, Effect, Layer, Option } from "effect"
import type { Event } from "@muster/core/event/Event"
import type { EventCursor } from "@muster/core/event/EventCursor"
import type { Attempt } from "@muster/core/job/Attempt"
import type { Job, JobId } from "@muster/core/job/Job"
import { StorageError } from "@muster/core/job/JobErrors"
import { JobArchive } from "@muster/core/job/internal/JobArchive"
import type { ListRequest, Placed } from "@muster/core/job/internal/JobQueue"

/** What a test sees of the archive, and does to it. */
export class ArchiveState extends Context.Service<
  ArchiveState,
  {
    readonly jobs: Map<JobId, Placed>
    readonly events: Array<Event>
    away: boolean
    /** Calls of `find` so far. */
    finds: number
    cursor: EventCursor | null
  }
>()("@muster/core/test/job/ArchiveState") {
  static readonly layer = Layer.sync(ArchiveState, () => ({
    jobs: new Map(),
    events: [],
    away: false,
    finds: 0,
    cursor: null
  }))
}

const millis = (at: DateTime.Utc | null): number => (at === null ? 0 : DateTime.toEpochMillis(at))

export const isMeant = (
  { job, position }: Placed,
  request: Omit<ListRequest, "limit"> & { readonly from?: string | undefined }
): boolean => {
  const { created_before, created_from, cursor, customer_id, from, service_required, status, workers, workflow_id } =
    request
  return (
    (cursor === undefined || Number(position) < Number(cursor)) &&
    (from === undefined || Number(position) >= Number(from)) &&
    (status === undefined || job.status === status) &&
    (service_required === undefined || job.service_required === service_required) &&
    (customer_id === undefined || job.customer_id === customer_id) &&
    (workflow_id === undefined || job.workflow_id === workflow_id) &&
    (workers === undefined || (job.worker_id !== null && workers.includes(job.worker_id))) &&
    (created_from === undefined || millis(job.created_at) >= millis(created_from)) &&
    (created_before === undefined || millis(job.created_at) < millis(created_before))
  )
}

const isLater = (job: Job, than: Job): boolean =>
  millis(job.finished_at) > millis(than.finished_at) || job.attempt > than.attempt

const make = Effect.gen(function* () {
  const state = yield* ArchiveState
  const attempts = new Map<JobId, Map<number, Attempt>>()
  let turn: { readonly holder: string; readonly until: number } | undefined

  const there = <A>(operation: string, act: () => A): Effect.Effect<A, StorageError> =>
    Effect.suspend(() =>
      state.away
        ? Effect.fail(new StorageError({ operation, detail: "the archive is away", unavailable: true, cause: null }))
        : Effect.sync(act)
    )

  return JobArchive.of({
    keeps: true,
    store: (jobs) =>
      there("store", () => {
        for (const { job, position, ...one } of jobs) {
          const known = state.jobs.get(job.id)
          if (known === undefined || isLater(job, known.job)) state.jobs.set(job.id, { job, position })
          const all = attempts.get(job.id) ?? new Map<number, Attempt>()
          for (const attempt of one.attempts) all.set(attempt.attempt, attempt)
          attempts.set(job.id, all)
        }
      }),
    find: (ids) =>
      there("find", () => {
        state.finds++
        return ids.flatMap((id) => Option.toArray(Option.fromUndefinedOr(state.jobs.get(id))))
      }),
    attempts: (id) =>
      there("attempts", () =>
        state.jobs.has(id)
          ? Option.some([...(attempts.get(id)?.values() ?? [])].toSorted((a, b) => a.attempt - b.attempt).slice(-100))
          : Option.none()
      ),
    list: (request) =>
      there("list", () =>
        [...state.jobs.values()]
          .filter((placed) => isMeant(placed, request))
          .toSorted((a, b) => Number(b.position) - Number(a.position))
          .slice(0, request.limit)
      ),
    cursor: there("cursor", () => state.cursor),
    storeEvents: ({ events, from, to }) =>
      there("storeEvents", () => {
        if (state.cursor !== from) return false
        state.cursor = to
        state.events.push(...events)
        return true
      }),
    forget: (before) =>
      there("forget", () => {
        for (const { job } of [...state.jobs.values()]) {
          if (millis(job.finished_at) >= millis(before)) continue
          state.jobs.delete(job.id)
          attempts.delete(job.id)
        }
        state.events.splice(0, Infinity, ...state.events.filter(({ at }) => millis(at) >= millis(before)))
        return false
      }),
    takeTurn: (holder, hold) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        there("takeTurn", () => {
          if (turn !== undefined && turn.holder !== holder && turn.until >= now) return false
          turn = { holder, until: now + Duration.toMillis(hold) }
          return true
        })
      ),
    leaveTurn: (holder) =>
      there("leaveTurn", () => {
        if (turn?.holder === holder) turn = undefined
      }),
    ping: there("ping", () => undefined)
  })
})

export const layer: Layer.Layer<JobArchive | ArchiveState> = Layer.effect(JobArchive, make).pipe(
  Layer.provideMerge(ArchiveState.layer)
)
