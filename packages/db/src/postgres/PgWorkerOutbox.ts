/**
 * The outbox of the registry on PostgreSQL. Triggers write it (migration 0004). A page is fixed when it is first read, by
 * naming its rows: rows that become visible later, because their transaction took long, are in a later page, wherever
 * their numbers stand. The row locks of workers keep the events of one worker in order.
 */
import { type NewEvent, WorkerEventType } from "@muster/core/event/Event"
import { Name } from "@muster/core/Identifier"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { type OutboxPage, WorkerOutbox } from "@muster/core/worker/internal/WorkerOutbox"
import { WorkerId, WorkerStanding, WorkerStatus } from "@muster/core/worker/Worker"
import { Clock, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import { repository } from "./PgFailure.ts"

/** Rows of a page; one may hold the same event of many workers, so a page ends with the row that makes it this long. */
const rowsPerPage = 1_000
const eventsPerPage = 1_000

/** How often this process says that its queue still wants events; a queue that has not for a day is forgotten. */
const seenEveryMillis = 60_000

const Outbox = Schema.Struct({ id: Schema.String, number: Schema.FiniteFromString, has_batch: Schema.Boolean })

const Row = Schema.Struct({
  at: Schema.DateTimeUtcFromDate,
  type: WorkerEventType,
  worker_id: WorkerId,
  machine_id: Schema.NullOr(Name),
  worker_status: Schema.NullOr(WorkerStatus),
  standing: Schema.NullOr(WorkerStanding)
})

const eventOf = ({ at, machine_id, standing, type, worker_id, worker_status }: typeof Row.Type): NewEvent => ({
  at,
  type,
  worker_id,
  ...(machine_id === null ? {} : { machine_id }),
  ...(worker_status === null ? {} : { worker_status }),
  ...(standing === null ? {} : { standing })
})

/** A name that tells one outbox from another, within what the log takes for one. */
const sourceOf = (id: string): string => `workers:${id}`

const make = Effect.gen(function* () {
  const sql = yield* SqlClient
  const { name: queue } = yield* QueueSettings
  let enrollAt = 0

  /** Says that this queue wants events, and forgets the queues that have not said so for long. */
  const enroll = Effect.gen(function* () {
    yield* sql`
      INSERT INTO worker_outboxes AS known (queue, seen_at) VALUES (${queue}, now())
      ON CONFLICT (queue) DO UPDATE SET seen_at = now() WHERE known.seen_at < now() - interval '30 seconds'`
    yield* sql`
      WITH gone AS (DELETE FROM worker_outboxes WHERE seen_at < now() - interval '1 day' RETURNING queue)
      DELETE FROM worker_events e USING gone WHERE e.queue = gone.queue`
    enrollAt = (yield* Clock.currentTimeMillis) + seenEveryMillis
  })

  /** The lock of the row lets one process at a time fix a page; the others then find it. */
  const lock = SqlSchema.findOneOption({
    Request: Schema.Void,
    Result: Outbox,
    execute: () => sql`
      SELECT id::text, number::text, batch IS NOT NULL AS has_batch FROM worker_outboxes
      WHERE queue = ${queue} FOR UPDATE`
  })

  /** Statements of their own: each sees what was committed before it began. */
  const fix = SqlSchema.findOneOption({
    Request: Schema.Void,
    Result: Outbox,
    execute: () => sql`
      UPDATE worker_outboxes SET batch = picked.seqs, number = number + picked.size
      FROM (
        SELECT array_agg(seq ORDER BY seq) AS seqs, sum(size)::bigint AS size FROM (
          SELECT seq, size, sum(size) OVER (ORDER BY seq) - size AS before FROM (
            SELECT seq, cardinality(worker_ids) AS size FROM worker_events
            WHERE queue = ${queue} ORDER BY seq LIMIT ${rowsPerPage}
          ) AS sized
        ) AS oldest
        WHERE before < ${eventsPerPage}
      ) AS picked
      WHERE queue = ${queue} AND picked.seqs IS NOT NULL
      RETURNING id::text, number::text, true AS has_batch`
  })

  const rows = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Row,
    execute: () => sql`
      SELECT
        e.at, e.type, one.worker_id, coalesce(one.machine_id, w.machine_id, d.machine_id) AS machine_id,
        e.worker_status, e.standing
      FROM worker_events e
      CROSS JOIN LATERAL unnest(e.worker_ids, e.machine_ids) WITH ORDINALITY AS one (worker_id, machine_id, n)
      LEFT JOIN workers w ON e.machine_ids IS NULL AND w.id = one.worker_id
      LEFT JOIN departed_workers d ON e.machine_ids IS NULL AND d.id = one.worker_id
      WHERE e.queue = ${queue} AND e.seq = ANY((SELECT batch FROM worker_outboxes WHERE queue = ${queue})::bigint[])
      ORDER BY e.seq, one.n`
  })

  const page = Effect.gen(function* () {
    const locked = yield* lock()
    if (Option.isNone(locked)) return Option.none<OutboxPage>()
    const fixed = locked.value.has_batch ? locked : yield* fix()
    if (Option.isNone(fixed)) return Option.none<OutboxPage>()
    const { id, number } = fixed.value
    const events = yield* rows()
    return Option.some({ source: sourceOf(id), number, events: events.map(eventOf) })
  }).pipe(sql.withTransaction)

  const isEmpty = Effect.map(
    sql`SELECT 1 FROM worker_events WHERE queue = ${queue} LIMIT 1`,
    (found) => found.length === 0
  )

  const read = Effect.gen(function* () {
    if ((yield* Clock.currentTimeMillis) >= enrollAt) yield* enroll
    return (yield* isEmpty) ? Option.none<OutboxPage>() : yield* page
  })

  return WorkerOutbox.of({
    read: read.pipe(repository("WorkerOutbox.read"), Effect.withSpan("PgWorkerOutbox.read")),
    forget: Effect.fn("PgWorkerOutbox.forget")(({ number, source }) =>
      sql`
        WITH mine AS (
          SELECT queue, batch FROM worker_outboxes
          WHERE queue = ${queue} AND number = ${String(number)}::text::bigint AND ${source} = 'workers:' || id
            AND batch IS NOT NULL
          FOR UPDATE
        ), gone AS (
          DELETE FROM worker_events e USING mine WHERE e.queue = mine.queue AND e.seq = ANY(mine.batch)
        )
        UPDATE worker_outboxes o SET batch = NULL FROM mine WHERE o.queue = mine.queue`.pipe(
        Effect.asVoid,
        repository("WorkerOutbox.forget")
      )
    )
  })
})

/** Needs the schema of `PgMigrations`; until it is there every call fails as unavailable. */
export const layer: Layer.Layer<WorkerOutbox, never, SqlClient> = Layer.effect(WorkerOutbox, make)
