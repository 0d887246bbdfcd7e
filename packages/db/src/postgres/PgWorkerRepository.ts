/**
 * The registry on PostgreSQL. All times are the database's clock.
 *
 * A check (activation, stale detection, reactivation) is one conditional statement. It takes its turn by an advisory
 * lock and moves nobody while the same check runs on another server: that one is moving them. So a worker is moved
 * once, and servers whose checks coincide neither wait for nor deadlock with one another.
 */
import { NewWorker, Worker, WorkerId, type WorkerStanding } from "@muster/core/worker/Worker"
import { LiveTwin, WorkerAlreadyExists, WorkerNotFound } from "@muster/core/worker/WorkerErrors"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { rememberedAtMost, rememberedFor } from "@muster/core/worker/WorkerGroup"
import { Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import * as AdvisoryLock from "./AdvisoryLock.ts"
import * as CapabilityKey from "./CapabilityKey.ts"
import { repository } from "./PgFailure.ts"
import * as StoredConnectors from "./StoredConnectors.ts"
import { ago } from "./StoreTime.ts"
import * as WorkerCensus from "./WorkerCensus.ts"
import * as WorkerGroups from "./WorkerGroups.ts"

/** A worker as it is read: timestamps come as `Date`, json as its value. */
const Row = Schema.Struct({
  ...Worker.fields,
  connectors: StoredConnectors.StoredConnectors,
  registered_at: Schema.DateTimeUtcFromDate,
  status_changed_at: Schema.DateTimeUtcFromDate
}).pipe(Schema.decodeTo(Worker))

/** The columns of `workers` that a worker says. */
const toColumns = (worker: typeof NewWorker.Encoded) => ({
  ...worker,
  capabilities: JSON.stringify(worker.capabilities),
  connectors: StoredConnectors.toJson(worker.connectors)
})

const Known = Schema.Struct({
  instance_id: Worker.fields.instance_id,
  another: Schema.Boolean,
  /** When it was heard from; null when it does not live. */
  alive_at: Schema.NullOr(Schema.DateTimeUtcFromDate)
})

const Ids = Schema.Struct({ ids: Schema.Array(WorkerId) })
const Report = Schema.Struct({ marked: Schema.Array(WorkerId), held: Schema.NullOr(Schema.Int) })
const Standing = Schema.Struct({ id: WorkerId, standing: Worker.fields.standing })

/** How long a check over the whole fleet may take. */
const checkLimit = Duration.seconds(30)

const make = Effect.gen(function* () {
  const sql = yield* SqlClient

  const takesTurn = (check: number) => sql`(SELECT pg_try_advisory_xact_lock(${AdvisoryLock.space}, ${check}))`

  const insert = SqlSchema.findOneOption({
    Request: NewWorker,
    Result: Row,
    execute: (worker) => {
      const { capability_key, machine_key } = CapabilityKey.keysOf(worker.capabilities)
      return sql`
        WITH stored AS (
          INSERT INTO workers ${sql.insert(toColumns(worker))} ON CONFLICT (id) DO NOTHING RETURNING *
        ), status AS (
          INSERT INTO worker_status (worker_id, status, status_changed_at, capability_key, machine_key)
          SELECT id, 'pending', registered_at, ${capability_key}, ${machine_key} FROM stored
          RETURNING status, status_changed_at
        ), heartbeat AS (
          INSERT INTO last_heartbeats SELECT id FROM stored
        )
        SELECT stored.*, status, status_changed_at FROM stored, status`
    }
  })

  const lockKnown = SqlSchema.findOneOption({
    Request: Schema.Struct({
      id: WorkerId,
      instance_id: NewWorker.fields.instance_id,
      aliveWithin: Schema.Duration
    }),
    Result: Known,
    execute: ({ aliveWithin, id, instance_id }) => sql`
      SELECT
        w.instance_id,
        w.instance_id IS NOT NULL AND w.instance_id IS DISTINCT FROM ${instance_id} AS another,
        CASE WHEN s.status <> 'offline' AND l.at > ${ago(sql, aliveWithin)} THEN l.at END AS alive_at
      FROM workers w
      JOIN worker_status s ON s.worker_id = w.id
      JOIN last_heartbeats l ON l.worker_id = w.id
      WHERE w.id = ${id}
      FOR NO KEY UPDATE OF w, s, l`
  })

  const update = (worker: NewWorker, anew: boolean) => {
    const { id, ...columns } = toColumns(worker)
    const { capability_key, machine_key } = CapabilityKey.keysOf(worker.capabilities)
    const now = anew ? sql`, status = 'pending', status_changed_at = now()` : sql``
    return sql`
      WITH offer AS (
        UPDATE workers SET ${sql.update(columns)} WHERE id = ${id}
      )
      UPDATE worker_status SET capability_key = ${capability_key}, machine_key = ${machine_key}${now}
      WHERE worker_id = ${id}`
  }

  const find = SqlSchema.findOneOption({
    Request: WorkerId,
    Result: Row,
    execute: (id) => sql`
      SELECT w.*, s.status, s.status_changed_at FROM workers w JOIN worker_status s ON s.worker_id = w.id
      WHERE w.id = ${id}`
  })

  const replace = (
    worker: NewWorker,
    unless: { readonly aliveWithin: Duration.Duration; readonly gone: string | null }
  ) =>
    Effect.gen(function* () {
      const { id, instance_id } = worker
      const found = yield* lockKnown({ id, instance_id, aliveWithin: unless.aliveWithin })
      if (Option.isNone(found)) return yield* new WorkerNotFound({ id })
      const known = found.value
      if (known.another && known.instance_id !== null && known.alive_at !== null && known.instance_id !== unless.gone) {
        return yield* new LiveTwin({ id, instance_id: known.instance_id, last_heartbeat_at: known.alive_at })
      }
      yield* update(worker, known.another)
      const stored = yield* find(id)
      return yield* Effect.fromOption(stored)
    }).pipe(sql.withTransaction)

  const list = SqlSchema.findAll({
    Request: Schema.Struct({
      status: Schema.UndefinedOr(Worker.fields.status),
      after: Schema.UndefinedOr(WorkerId),
      limit: Schema.UndefinedOr(Schema.Number)
    }),
    Result: Row,
    execute: ({ after, limit, status }) => sql`
      SELECT w.*, s.status, s.status_changed_at FROM workers w JOIN worker_status s ON s.worker_id = w.id
      WHERE ${sql.and([
        ...(status === undefined ? [] : [sql`s.status = ${status}`]),
        ...(after === undefined ? [] : [sql`w.id > ${after}`])
      ])}
      ORDER BY w.id LIMIT ${limit ?? null}::bigint`
  })

  /**
   * Several statements: a beat in flight holds the row of last_heartbeats, the first waits for it, and only a statement
   * that begins after that sees what the beat has put into the history.
   */
  const remove = (id: WorkerId) =>
    Effect.gen(function* () {
      // What the other tables hold goes when the statement ends; it still reads them.
      const removed = yield* sql`
        WITH removed AS (
          DELETE FROM workers WHERE id = ${id} RETURNING *
        )
        INSERT INTO departed_workers (
          id, capacity, capabilities, machine_id, capability_key, machine_key, last_heartbeat_at, gone_at
        )
        SELECT r.id, r.capacity, r.capabilities, r.machine_id, s.capability_key, s.machine_key, l.at, clock_timestamp()
        FROM removed r JOIN worker_status s ON s.worker_id = r.id JOIN last_heartbeats l ON l.worker_id = r.id
        ON CONFLICT (id) DO UPDATE SET (
          capacity, capabilities, machine_id, capability_key, machine_key, last_heartbeat_at, gone_at
        ) = ROW (
          excluded.capacity, excluded.capabilities, excluded.machine_id, excluded.capability_key, excluded.machine_key,
          excluded.last_heartbeat_at, excluded.gone_at
        )
        RETURNING id`
      if (removed.length === 0) return false
      yield* sql`DELETE FROM past_heartbeats WHERE worker_id = ${id}`
      yield* sql`
        DELETE FROM departed_workers WHERE gone_at <= greatest(
          ${ago(sql, Duration.fromInputUnsafe(rememberedFor))},
          (SELECT gone_at FROM departed_workers ORDER BY gone_at DESC OFFSET ${rememberedAtMost}::int LIMIT 1)
        )`
      return true
    }).pipe(sql.withTransaction)

  const move = SqlSchema.findOneOption({
    Request: Schema.Struct({ id: WorkerId, from: Worker.fields.status, to: Worker.fields.status }),
    Result: Row,
    execute: ({ from, id, to }) => sql`
      WITH moved AS (
        UPDATE worker_status SET status = ${to}, status_changed_at = now() WHERE worker_id = ${id} AND status = ${from}
        RETURNING *
      )
      SELECT w.*, moved.status, moved.status_changed_at FROM workers w JOIN moved ON moved.worker_id = w.id`
  })

  const activatePending = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Ids,
    execute: () => sql`
      WITH moved AS (
        UPDATE worker_status s SET status = 'active', status_changed_at = now() FROM last_heartbeats l
        WHERE ${takesTurn(AdvisoryLock.activation)}
          AND s.status = 'pending' AND l.worker_id = s.worker_id AND l.at >= s.status_changed_at
        RETURNING s.worker_id
      )
      SELECT ARRAY(SELECT worker_id FROM moved) AS ids`
  })

  /** Without a brake its parameters are null, and so is the comparison with them: then it does not hold. */
  const markStale = SqlSchema.findOne({
    Request: Schema.Struct({
      timeout: Schema.Duration,
      brake: Schema.NullOr(Schema.Struct({ fleetFrom: Schema.Int, silence: Schema.Duration }))
    }),
    Result: Report,
    execute: ({ brake, timeout }) => {
      const stale = sql`s.status = 'active' AND coalesce(l.at, s.status_changed_at) <= ${ago(sql, timeout)}`
      return sql`
        WITH fleet AS MATERIALIZED (
          SELECT
            count(*) FILTER (WHERE s.status = 'active') AS active,
            count(*) FILTER (WHERE ${stale}) AS stale,
            coalesce(max(l.at) <= ${ago(sql, brake?.silence ?? Duration.zero)}, true) AS silent
          FROM worker_status s JOIN last_heartbeats l ON l.worker_id = s.worker_id
        ), verdict AS MATERIALIZED (
          SELECT stale, coalesce(active >= ${brake?.fleetFrom ?? null}::int AND stale * 2 > active AND silent, false) AS holds
          FROM fleet
        ), marked AS (
          UPDATE worker_status s SET status = 'offline', status_changed_at = now() FROM last_heartbeats l
          WHERE ${takesTurn(AdvisoryLock.staleDetection)} AND NOT (SELECT holds FROM verdict)
            AND l.worker_id = s.worker_id AND ${stale}
          RETURNING s.worker_id
        )
        SELECT ARRAY(SELECT worker_id FROM marked) AS marked, (CASE WHEN holds THEN stale END)::int AS held FROM verdict`
    }
  })

  const reactivateOffline = SqlSchema.findOne({
    Request: Schema.Duration,
    Result: Ids,
    execute: (timeout) => sql`
      WITH moved AS (
        UPDATE worker_status s SET status = 'active', status_changed_at = now() FROM last_heartbeats l
        WHERE ${takesTurn(AdvisoryLock.reactivation)}
          AND s.status = 'offline' AND l.worker_id = s.worker_id
          AND l.at > ${ago(sql, timeout)} AND l.at > s.status_changed_at
        RETURNING s.worker_id
      )
      SELECT ARRAY(SELECT worker_id FROM moved) AS ids`
  })

  const setStanding = SqlSchema.findOneOption({
    Request: Standing,
    Result: Row,
    execute: ({ id, standing }) => sql`
      WITH set AS (
        UPDATE workers SET standing = ${standing} WHERE id = ${id} RETURNING *
      )
      SELECT set.*, s.status, s.status_changed_at FROM set JOIN worker_status s ON s.worker_id = set.id`
  })

  const standings = SqlSchema.findAll({
    Request: Schema.Array(WorkerId),
    Result: Standing,
    execute: (ids) => sql`
      SELECT id, standing FROM workers WHERE id = ANY(${ids}::text[])
      UNION
      SELECT id, standing FROM workers WHERE standing <> 'open'`
  })

  const onMachine = SqlSchema.findAll({
    Request: Schema.String,
    Result: Schema.Struct({ id: WorkerId }),
    execute: (machine_id) => sql`SELECT id FROM workers WHERE machine_id = ${machine_id} ORDER BY id LIMIT 1000`
  })

  const census = yield* WorkerCensus.make
  const { counted, ...groups } = yield* WorkerGroups.make

  return WorkerRepository.of({
    insert: Effect.fn("PgWorkerRepository.insert")(function* (worker) {
      const stored = yield* insert(worker).pipe(repository("WorkerRepository.insert"), counted)
      if (Option.isNone(stored)) return yield* new WorkerAlreadyExists({ id: worker.id })
      return stored.value
    }),
    replace: Effect.fn("PgWorkerRepository.replace")((worker, unless) =>
      replace(worker, unless).pipe(repository("WorkerRepository.replace"), counted)
    ),
    find: Effect.fn("PgWorkerRepository.find")((id) => find(id).pipe(repository("WorkerRepository.find"))),
    list: Effect.fn("PgWorkerRepository.list")(({ after, limit, status }) =>
      list({ after, limit, status }).pipe(repository("WorkerRepository.list"))
    ),
    onMachine: Effect.fn("PgWorkerRepository.onMachine")((machine_id) =>
      onMachine(machine_id).pipe(
        Effect.map((rows) => rows.map(({ id }) => id)),
        repository("WorkerRepository.onMachine")
      )
    ),
    remove: Effect.fn("PgWorkerRepository.remove")((id) =>
      remove(id).pipe(repository("WorkerRepository.remove"), counted)
    ),
    move: Effect.fn("PgWorkerRepository.move")((id, from, to) =>
      move({ id, from, to }).pipe(repository("WorkerRepository.move"), counted)
    ),
    activatePending: activatePending().pipe(
      Effect.map(({ ids }) => ids),
      repository("WorkerRepository.activatePending", checkLimit),
      counted,
      Effect.withSpan("PgWorkerRepository.activatePending")
    ),
    markStale: Effect.fn("PgWorkerRepository.markStale")((timeout, brake) =>
      markStale({ timeout, brake }).pipe(repository("WorkerRepository.markStale", checkLimit), counted)
    ),
    reactivateOffline: Effect.fn("PgWorkerRepository.reactivateOffline")((timeout) =>
      reactivateOffline(timeout).pipe(
        Effect.map(({ ids }) => ids),
        repository("WorkerRepository.reactivateOffline", checkLimit),
        counted
      )
    ),
    setStanding: Effect.fn("PgWorkerRepository.setStanding")((id, standing) =>
      setStanding({ id, standing }).pipe(repository("WorkerRepository.setStanding"), counted)
    ),
    standings: Effect.fn("PgWorkerRepository.standings")((ids) =>
      standings(ids).pipe(
        Effect.map((found) => new Map<WorkerId, WorkerStanding>(found.map(({ id, standing }) => [id, standing]))),
        repository("WorkerRepository.standings", checkLimit)
      )
    ),
    ...census,
    ...groups,
    ping: sql`SELECT 1 FROM workers LIMIT 1`.pipe(
      repository("WorkerRepository.ping"),
      Effect.asVoid,
      Effect.withSpan("PgWorkerRepository.ping")
    )
  })
})

/** Needs the schema of `PgMigrations`; until it is there every call fails as unavailable. */
export const layer: Layer.Layer<WorkerRepository, never, SqlClient> = Layer.effect(WorkerRepository, make)
