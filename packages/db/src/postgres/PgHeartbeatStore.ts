/**
 * Heartbeats on PostgreSQL. The last beat of a worker stands in `last_heartbeats`; the beat before it moves to
 * `past_heartbeats`, so pruning the past never takes a worker's last beat.
 */
import { WorkerId } from "@muster/core/worker/Worker"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import * as HeartbeatWriter from "./HeartbeatWriter.ts"
import { answerWithin, patience, repository } from "./PgFailure.ts"
import { ago } from "./StoreTime.ts"

/** How many beats one statement of `prune` deletes at most: some tens of milliseconds of work. */
const pruneSize = 10_000

const Time = Schema.Struct({ at: Schema.DateTimeUtcFromDate })

const make = Effect.gen(function* () {
  const sql = yield* SqlClient

  /** Locks in the order of ids, so that batches which share workers cannot deadlock. */
  const store = SqlSchema.findAll({
    Request: Schema.Array(WorkerId),
    Result: Schema.Struct({ worker_id: WorkerId }),
    execute: (ids) => sql`
      WITH before AS (
        SELECT worker_id, at FROM last_heartbeats WHERE worker_id = ANY(${ids}::text[])
        ORDER BY worker_id FOR NO KEY UPDATE
      ), beat AS (
        UPDATE last_heartbeats l SET at = clock_timestamp() FROM before WHERE l.worker_id = before.worker_id
        RETURNING l.worker_id
      ), past AS (
        INSERT INTO past_heartbeats SELECT worker_id, at FROM before WHERE at IS NOT NULL
      )
      SELECT worker_id FROM beat`
  })
  const write = yield* HeartbeatWriter.make((ids) =>
    store(ids).pipe(
      Effect.map((known) => new Set(known.map(({ worker_id }) => worker_id))),
      answerWithin(patience)
    )
  )

  const lastOf = SqlSchema.findAll({
    Request: Schema.Array(WorkerId),
    Result: Schema.Struct({ worker_id: WorkerId, ...Time.fields }),
    execute: (ids) => sql`
      SELECT worker_id, at FROM last_heartbeats WHERE worker_id = ANY(${ids}::text[]) AND at IS NOT NULL`
  })

  const last = SqlSchema.findOneOption({
    Request: WorkerId,
    Result: Time,
    execute: (id) => sql`SELECT at FROM last_heartbeats WHERE worker_id = ${id} AND at IS NOT NULL`
  })

  const history = SqlSchema.findAll({
    Request: Schema.Struct({ id: WorkerId, limit: Schema.Number }),
    Result: Time,
    execute: ({ id, limit }) => sql`
      SELECT at FROM last_heartbeats WHERE worker_id = ${id} AND at IS NOT NULL
      UNION ALL
      (SELECT at FROM past_heartbeats WHERE worker_id = ${id} ORDER BY at DESC LIMIT ${limit}::bigint)
      ORDER BY at DESC LIMIT ${limit}::bigint`
  })

  /** Skips what another server prunes now. */
  const pruneSome = SqlSchema.findOne({
    Request: Schema.Duration,
    Result: Schema.Struct({ count: Schema.Int }),
    execute: (age) => sql`
      WITH pruned AS (
        DELETE FROM past_heartbeats WHERE ctid = ANY(ARRAY(
          SELECT ctid FROM past_heartbeats WHERE at <= ${ago(sql, age)}
          ORDER BY at LIMIT ${pruneSize} FOR UPDATE SKIP LOCKED
        ))
        RETURNING worker_id
      )
      SELECT count(*)::int AS count FROM pruned`
  })

  const prune = Effect.fn("PgHeartbeatStore.prune")(function* (age: Duration.Duration) {
    let total = 0
    while (true) {
      const { count } = yield* pruneSome(age).pipe(repository("HeartbeatStore.prune"))
      total += count
      if (count < pruneSize) return total
    }
  })

  return HeartbeatStore.of({
    record: write,
    last: Effect.fn("PgHeartbeatStore.last")((id) =>
      last(id).pipe(Effect.map(Option.map(({ at }) => at)), repository("HeartbeatStore.last"))
    ),
    lastOf: Effect.fn("PgHeartbeatStore.lastOf")((ids) =>
      lastOf(ids).pipe(
        Effect.map((rows) => new Map(rows.map(({ at, worker_id }) => [worker_id, at]))),
        repository("HeartbeatStore.lastOf")
      )
    ),
    history: Effect.fn("PgHeartbeatStore.history")((id, limit) =>
      history({ id, limit }).pipe(
        Effect.map((rows) => rows.map(({ at }) => at)),
        repository("HeartbeatStore.history")
      )
    ),
    prune
  })
})

/** Needs the schema of `PgMigrations`; until it is there every call fails as unavailable. */
export const layer: Layer.Layer<HeartbeatStore, never, SqlClient> = Layer.effect(HeartbeatStore, make)
