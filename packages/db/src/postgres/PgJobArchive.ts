/**
 * The archive on PostgreSQL. Each write is one statement over all rows it is given, so that it is one step and one
 * round trip. Several queues may keep their history in one database.
 */
import * as EventCursor from "@muster/core/event/EventCursor"
import type { Event } from "@muster/core/event/Event"
import { Attempt } from "@muster/core/job/Attempt"
import { isFinished, Job, JobId, JobStatus } from "@muster/core/job/Job"
import { type ArchivedRequest, type FinishedJob, JobArchive } from "@muster/core/job/internal/JobArchive"
import type { Placed } from "@muster/core/job/internal/JobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { DateTime, Duration, Effect, Layer, Option, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import * as ArchiveLookup from "./ArchiveLookup.ts"
import { storage } from "./PgFailure.ts"

/** What one call of `forget` removes at most: some tens of milliseconds of work. */
const forgetJobs = 1_000
const forgetEvents = 10_000

/** How long the archiver waits for a page to be stored: longer than people do for an answer. */
const storeLimit = Duration.seconds(30)

const JobText = Schema.fromJsonString(Schema.toCodecJson(Job))
const AttemptText = Schema.fromJsonString(Schema.toCodecJson(Attempt))
const Row = Schema.Struct({ position: Schema.String, job: JobText })
const Cursor = Schema.Struct({ cursor: Schema.NullOr(EventCursor.EventCursor) })
const Counts = Schema.Struct({ jobs: Schema.Int, events: Schema.Int })

const finishedStatuses = JobStatus.literals.filter(isFinished)

const iso = (at: DateTime.Utc): string => DateTime.formatIso(at)
/** A time that somebody chose, as PostgreSQL takes it: its calendar has no year 0, and none of five digits in this form. */
const chosen = (sql: SqlClient, at: DateTime.Utc) =>
  sql`(timestamptz 'epoch' + ${DateTime.toEpochMillis(at)}::float8 * interval '1 millisecond')`

const isoOfEnd = ({ finished_at }: Job): string => (finished_at === null ? "" : iso(finished_at))

/** No name is empty, so the empty text stands for none: the client sends no array in which all may be null. */
const orEmpty = (name: string | null | undefined): string => name ?? ""

/** A position is the time of the submit in µs, or more: by as much as the clock of the queue was set back shortly before. */
const positionAt = (at: DateTime.Utc): string => String(DateTime.toEpochMillis(at) * 1_000)
const mostAhead = Duration.seconds(10)

/** One end of each job: a statement cannot store two of the same. */
const latest = (jobs: ReadonlyArray<FinishedJob>): ReadonlyArray<FinishedJob> => {
  const known = new Map<JobId, FinishedJob>()
  const endOf = ({ job }: FinishedJob) => (job.finished_at === null ? 0 : DateTime.toEpochMillis(job.finished_at))
  for (const one of jobs) {
    const other = known.get(one.job.id)
    if (other === undefined || endOf(one) >= endOf(other)) known.set(one.job.id, one)
  }
  return [...known.values()]
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient
  const { name: queue } = yield* QueueSettings

  /** The later end is told by its time, and by its attempt where the clock of the queue was set back in between. */
  const store = (jobs: ReadonlyArray<FinishedJob>) => {
    const ends = latest(jobs)
    const of = <A>(value: (job: Job) => A) => ends.map(({ job }) => value(job))
    const attempts = ends.flatMap(({ attempts, job }) => attempts.map((attempt) => ({ job, attempt })))
    return sql`
      WITH ended AS (
        INSERT INTO archived_jobs AS known (
          queue, id, position, status, service_required, customer_id, workflow_id, worker_id, created_at, finished_at,
          attempt, job
        )
        SELECT
          ${queue}, id, position, status, service_required, nullif(customer_id, ''), nullif(workflow_id, ''),
          nullif(worker_id, ''), created_at, finished_at, attempt, job
        FROM unnest(
          ${of(({ id }) => id)}::text[],
          ${ends.map(({ position }) => position)}::bigint[],
          ${of(({ status }) => status)}::text[],
          ${of(({ service_required }) => service_required)}::text[],
          ${of(({ customer_id }) => orEmpty(customer_id))}::text[],
          ${of(({ workflow_id }) => orEmpty(workflow_id))}::text[],
          ${of(({ worker_id }) => orEmpty(worker_id))}::text[],
          ${of(({ created_at }) => iso(created_at))}::timestamptz[],
          ${of(isoOfEnd)}::timestamptz[],
          ${of(({ attempt }) => attempt)}::int[],
          ${of((job) => JSON.stringify(job))}::text[]
        ) AS given (
          id, position, status, service_required, customer_id, workflow_id, worker_id, created_at, finished_at, attempt,
          job
        )
        ORDER BY given.id
        ON CONFLICT (queue, id) DO UPDATE SET
          position = excluded.position, status = excluded.status, service_required = excluded.service_required,
          customer_id = excluded.customer_id, workflow_id = excluded.workflow_id, worker_id = excluded.worker_id,
          created_at = excluded.created_at, finished_at = excluded.finished_at, attempt = excluded.attempt,
          job = excluded.job
        WHERE excluded.finished_at > known.finished_at OR excluded.attempt > known.attempt
      )
      INSERT INTO archived_attempts AS known (queue, job_id, attempt, data)
      SELECT ${queue}, given.* FROM unnest(
        ${attempts.map(({ job }) => job.id)}::text[],
        ${attempts.map(({ attempt }) => attempt.attempt)}::int[],
        ${attempts.map(({ attempt }) => JSON.stringify(attempt))}::text[]
      ) AS given (job_id, attempt, data)
      ORDER BY given.job_id, given.attempt
      ON CONFLICT (queue, job_id, attempt) DO UPDATE SET data = excluded.data WHERE known.data <> excluded.data`
  }

  const find = SqlSchema.findAll({
    Request: Schema.Array(JobId),
    Result: Row,
    execute: (ids) => sql`
      SELECT position::text, job FROM archived_jobs WHERE queue = ${queue} AND id = ANY(${ids}::text[])`
  })

  const attempts = SqlSchema.findAll({
    Request: JobId,
    Result: Schema.Struct({ data: Schema.NullOr(AttemptText) }),
    // One row without an attempt when the job never had any.
    execute: (id) => sql`
      SELECT known.data FROM archived_jobs j
      LEFT JOIN LATERAL (
        SELECT attempt, data FROM archived_attempts a WHERE a.queue = j.queue AND a.job_id = j.id
        ORDER BY attempt DESC LIMIT 100
      ) known ON true
      WHERE j.queue = ${queue} AND j.id = ${id}
      ORDER BY known.attempt`
  })

  /** Each index holds positions in order for one status (and one name), so each pair of these is looked up by itself. */
  const list = (request: ArchivedRequest) => {
    const { created_before, created_from, cursor, customer_id, from, limit, service_required, status } = request
    const { workers, workflow_id } = request
    const statuses = status === undefined ? finishedStatuses : [status]
    const conditions = [
      sql`a.queue = ${queue}`,
      sql`a.status = s.status`,
      ...(workers === undefined ? [] : [sql`a.worker_id = w.worker_id`]),
      ...(service_required === undefined ? [] : [sql`a.service_required = ${service_required}`]),
      ...(customer_id === undefined ? [] : [sql`a.customer_id = ${customer_id}`]),
      ...(workflow_id === undefined ? [] : [sql`a.workflow_id = ${workflow_id}`]),
      ...(cursor === undefined ? [] : [sql`a.position < ${cursor}::text::bigint`]),
      ...(from === undefined ? [] : [sql`a.position >= ${from}::text::bigint`]),
      // The bound on positions lets the index find where to begin and end.
      ...(created_from === undefined
        ? []
        : [
            sql`a.created_at >= ${chosen(sql, created_from)}`,
            sql`a.position >= ${positionAt(created_from)}::text::bigint`
          ]),
      ...(created_before === undefined
        ? []
        : [
            sql`a.created_at < ${chosen(sql, created_before)}`,
            sql`a.position < ${positionAt(DateTime.addDuration(created_before, mostAhead))}::text::bigint`
          ])
    ]
    const ofWorkers = workers === undefined ? sql`` : sql`CROSS JOIN unnest(${workers}::text[]) AS w (worker_id)`
    return sql`
      SELECT found.position::text, found.job
      FROM unnest(${statuses}::text[]) AS s (status) ${ofWorkers} CROSS JOIN LATERAL (
        SELECT a.position, a.job FROM archived_jobs a WHERE ${sql.and(conditions)}
        ORDER BY a.position DESC LIMIT ${limit}::bigint
      ) AS found
      ORDER BY found.position DESC LIMIT ${limit}::bigint`
  }
  const decodeRows = Schema.decodeUnknownEffect(Schema.Array(Row))

  const cursor = SqlSchema.findOneOption({
    Request: Schema.Void,
    Result: Cursor,
    execute: () => sql`SELECT cursor FROM archive_cursors WHERE queue = ${queue}`
  })

  const known = sql`INSERT INTO archive_cursors (queue) VALUES (${queue}) ON CONFLICT (queue) DO NOTHING`

  /**
   * The row of the cursor is the lock: of two that store from the same cursor, the second waits for the first and then
   * finds another one there.
   */
  const storeEvents = (page: {
    readonly from: EventCursor.EventCursor | null
    readonly to: EventCursor.EventCursor
    readonly events: ReadonlyArray<Event>
  }) => {
    const positions = page.events.map(({ cursor }) => EventCursor.positionOf(cursor))
    const of = <A>(value: (event: Event) => A) => page.events.map(value)
    return sql`
      WITH moved AS (
        UPDATE archive_cursors SET cursor = ${page.to}
        WHERE queue = ${queue} AND cursor IS NOT DISTINCT FROM ${page.from}
        RETURNING queue
      ), stored AS (
        INSERT INTO archived_events (queue, ms, seq, index, log, at, type, job_id, worker_id, data)
        SELECT
          moved.queue, ms, seq, index, log, at, type, nullif(job_id, ''), nullif(worker_id, ''), data
        FROM moved CROSS JOIN unnest(
          ${positions.map(({ ms }) => String(ms))}::bigint[],
          ${positions.map(({ seq }) => String(seq))}::bigint[],
          ${positions.map(({ index }) => index)}::int[],
          ${positions.map(({ log }) => log)}::text[],
          ${of(({ at }) => iso(at))}::timestamptz[],
          ${of(({ type }) => type)}::text[],
          ${of(({ job_id }) => orEmpty(job_id))}::text[],
          ${of(({ worker_id }) => orEmpty(worker_id))}::text[],
          ${of((event) => JSON.stringify(event))}::text[]
        ) AS given (ms, seq, index, log, at, type, job_id, worker_id, data)
        ON CONFLICT DO NOTHING
      )
      SELECT 1 FROM moved`.pipe(Effect.map((rows) => rows.length === 1))
  }

  /** Skips what is being stored again now. */
  const forget = SqlSchema.findOne({
    Request: Schema.DateTimeUtc,
    Result: Counts,
    execute: (before) => sql`
      WITH old AS (
        SELECT queue, id FROM archived_jobs
        WHERE queue = ${queue} AND finished_at < ${chosen(sql, before)}
        ORDER BY finished_at LIMIT ${forgetJobs} FOR UPDATE SKIP LOCKED
      ), jobs AS (
        DELETE FROM archived_jobs a USING old WHERE a.queue = old.queue AND a.id = old.id RETURNING a.id
      ), attempts AS (
        DELETE FROM archived_attempts a USING old WHERE a.queue = old.queue AND a.job_id = old.id
      ), events AS (
        DELETE FROM archived_events WHERE ctid = ANY(ARRAY(
          SELECT ctid FROM archived_events WHERE queue = ${queue} AND ms < ${String(DateTime.toEpochMillis(before))}::text::bigint
          ORDER BY ms LIMIT ${forgetEvents} FOR UPDATE SKIP LOCKED
        ))
        RETURNING ms
      )
      SELECT (SELECT count(*)::int FROM jobs) AS jobs, (SELECT count(*)::int FROM events) AS events`
  })

  const takeTurn = (holder: string, hold: Duration.Duration) => sql`
    INSERT INTO archive_cursors AS known (queue, holder, held_until)
    VALUES (${queue}, ${holder}, clock_timestamp() + ${Duration.toMillis(hold)}::float8 * interval '1 millisecond')
    ON CONFLICT (queue) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
    WHERE known.holder IS NULL OR known.holder = excluded.holder OR known.held_until < clock_timestamp()
    RETURNING queue`

  const lookup = yield* ArchiveLookup.make((ids) => find(ids).pipe(storage("JobArchive.find")))

  return JobArchive.of({
    keeps: true,
    store: Effect.fn("PgJobArchive.store")((jobs) =>
      jobs.length === 0 ? Effect.void : Effect.asVoid(store(jobs)).pipe(storage("JobArchive.store", storeLimit))
    ),
    find: lookup,
    attempts: Effect.fn("PgJobArchive.attempts")((id) =>
      attempts(id).pipe(
        Effect.map((rows) =>
          rows.length === 0
            ? Option.none()
            : Option.some(rows.flatMap(({ data }): ReadonlyArray<Attempt> => (data === null ? [] : [data])))
        ),
        storage("JobArchive.attempts")
      )
    ),
    list: Effect.fn("PgJobArchive.list")((request) =>
      request.status !== undefined && !isFinished(request.status)
        ? Effect.succeed<ReadonlyArray<Placed>>([])
        : list(request).pipe(Effect.flatMap(decodeRows), storage("JobArchive.list"))
    ),
    cursor: cursor().pipe(
      Effect.map((row) => (Option.isNone(row) ? null : row.value.cursor)),
      storage("JobArchive.cursor"),
      Effect.withSpan("PgJobArchive.cursor")
    ),
    storeEvents: Effect.fn("PgJobArchive.storeEvents")((page) =>
      (page.from === null ? Effect.andThen(known, storeEvents(page)) : storeEvents(page)).pipe(
        storage("JobArchive.storeEvents", storeLimit)
      )
    ),
    forget: Effect.fn("PgJobArchive.forget")((before) =>
      forget(before).pipe(
        Effect.map(({ events, jobs }) => jobs === forgetJobs || events === forgetEvents),
        storage("JobArchive.forget", storeLimit)
      )
    ),
    takeTurn: Effect.fn("PgJobArchive.takeTurn")((holder, hold) =>
      takeTurn(holder, hold).pipe(
        Effect.map((rows) => rows.length === 1),
        storage("JobArchive.takeTurn")
      )
    ),
    leaveTurn: Effect.fn("PgJobArchive.leaveTurn")((holder) =>
      sql`UPDATE archive_cursors SET holder = NULL WHERE queue = ${queue} AND holder = ${holder}`.pipe(
        Effect.asVoid,
        storage("JobArchive.leaveTurn")
      )
    ),
    ping: sql`SELECT 1 FROM archive_cursors LIMIT 1`.pipe(
      storage("JobArchive.ping"),
      Effect.asVoid,
      Effect.withSpan("PgJobArchive.ping")
    )
  })
})

/** Needs the schema of `PgMigrations`; until it is there every call fails as unavailable. */
export const layer: Layer.Layer<JobArchive, never, SqlClient> = Layer.effect(JobArchive, make)
