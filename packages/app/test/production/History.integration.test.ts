/**
 * The archive with real processes, killed in between: it has what happened once and all of it, the log is never trimmed
 * before it has, and PostgreSQL may be away for as long as it likes.
 */
import { assert, layer } from "@effect/vitest"
import type { Event } from "@muster/core/event/Event"
import { compare, type EventCursor } from "@muster/core/event/EventCursor"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { isFinished, JobId } from "@muster/core/job/Job"
import { JobArchive } from "@muster/core/job/internal/JobArchive"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as PgJobArchive from "@muster/db/postgres/PgJobArchive"
import * as Postgres from "@muster/db/postgres/Postgres"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisEventLog from "@muster/db/redis/RedisEventLog"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as MusterClient from "@muster/http-server/client/MusterClient"
import { Context, DateTime, Duration, Effect, Fiber, Layer, Redacted, Schedule, Schema } from "effect"
import { FetchHttpClient } from "effect/http"
import { SqlClient } from "effect/sql/SqlClient"
import { startPostgres, startRedis } from "../../../../tools/servers/testServers.ts"
import { type MusterProcess, startBroker, startWorker } from "./processes.ts"

class Stores extends Context.Service<
  Stores,
  { readonly postgres: MusterProcess; readonly redis: MusterProcess; readonly env: Record<string, string> }
>()("Stores") {
  static readonly layer = Layer.effect(
    Stores,
    Effect.gen(function* () {
      const [postgres, redis] = yield* Effect.all([startPostgres(), startRedis()], { concurrency: 2 })
      const env = {
        DATABASE_URL: postgres.url,
        REDIS_URL: redis.url,
        MUSTER_ACTIVATION_INTERVAL: "200ms",
        MUSTER_HEARTBEAT_TIMEOUT: "30s",
        MUSTER_HEARTBEAT_INTERVAL: "500ms",
        MUSTER_LEASE: "3s"
      }
      return { postgres, redis, env }
    })
  )
}

/** Log and archive of a queue, read beside its servers. */
const storesOf = (queue: string) =>
  Layer.unwrap(
    Effect.map(Stores, ({ postgres, redis }) =>
      Layer.merge(
        PgJobArchive.layer.pipe(Layer.provideMerge(Postgres.layer({ url: Redacted.make(postgres.url) }))),
        RedisEventLog.layer.pipe(
          Layer.provide(RedisFunctions.layer.pipe(Layer.provideMerge(Redis.layer(Redacted.make(redis.url)))))
        )
      )
    )
  ).pipe(
    Layer.provide(
      Layer.effect(
        QueueSettings,
        Effect.map(QueueSettings, (defaults) => ({ ...defaults, name: queue }))
      )
    )
  )

/** Looks again until it holds, through failures; what happens here takes real time. */
const eventually = <A, E, R>(what: string, look: Effect.Effect<A, E, R>, holds: (a: A) => boolean, seconds = 60) =>
  look.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("50 millis") }),
    Effect.retry(Schedule.spaced("100 millis")),
    Effect.timeoutOrElse({
      duration: `${seconds} seconds`,
      orElse: () => Effect.die(new Error(`${what}: not within ${seconds} s`))
    })
  )

const clientOf = ({ url }: MusterProcess) =>
  Effect.provide(MusterClient.make({ baseUrl: url, patience: Duration.seconds(10) }), FetchHttpClient.layer)

const isReady = (server: MusterProcess) =>
  Effect.flatMap(clientOf(server), (client) => eventually("ready", client.system.ready(), ({ ready }) => ready))

const submit = (
  client: MusterClient.MusterClient,
  id: string,
  payload: Record<string, unknown> = {},
  run_at?: DateTime.Utc
) =>
  client.jobs.submit({
    payload: {
      id: JobId.make(id),
      service_required: "simulation",
      payload: { duration_ms: 1, ...payload },
      max_retries: 0,
      ...(run_at === undefined ? {} : { run_at })
    }
  })

/** Submits jobs one after another, each until it is taken. */
const submitAll = (client: MusterClient.MusterClient, ids: ReadonlyArray<string>, pause: Duration.Input = 0) =>
  Effect.forEach(ids, (id) => Effect.delay(Effect.retry(submit(client, id), Schedule.spaced("50 millis")), pause), {
    discard: true
  })

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, n) => `${prefix}-${n}`)

const archivedIds = (queue: string) =>
  Effect.flatMap(SqlClient, (sql) => sql`SELECT id FROM archived_jobs WHERE queue = ${queue}`).pipe(
    Effect.flatMap(Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: Schema.String })))),
    Effect.map((rows) => rows.map(({ id }) => id))
  )

const ArchivedEvents = Schema.Array(
  Schema.Struct({ type: Schema.String, job_id: Schema.NullOr(Schema.String), cursor: Schema.String })
)
const archivedEvents = (queue: string) =>
  Effect.flatMap(
    SqlClient,
    (sql) => sql`
      SELECT type, job_id, log || '.' || ms || '-' || seq || '-' || index AS cursor FROM archived_events
      WHERE queue = ${queue} ORDER BY ms, seq, index`
  ).pipe(Effect.flatMap(Schema.decodeUnknownEffect(ArchivedEvents)))

const wholeLog = Effect.gen(function* () {
  const log = yield* EventLog
  const all: Array<Event> = []
  let after = yield* log.start
  while (true) {
    const page = yield* log.read({ after, limit: 1_000 })
    if (page.events.length === 0) return all
    all.push(...page.events)
    after = page.position
  }
})

/** The archive's cursor is where the log ends. */
const isCaughtUp = Effect.gen(function* () {
  const log = yield* EventLog
  const archive = yield* JobArchive
  return (yield* log.end) === (yield* archive.cursor)
})

layer(Stores.layer, { timeout: "2 minutes", excludeTestServices: true })("the history of a broker", (it) => {
  it.effect(
    "archiveNoGapNoDuplicate: servers, Redis and PostgreSQL are killed while jobs run",
    () =>
      Effect.gen(function* () {
        const { env, postgres, redis } = yield* Stores
        const queue = "nogap"
        const own = { ...env, MUSTER_QUEUE: queue }
        const [first, second] = yield* Effect.all([startBroker("server", own), startBroker("server", own)], {
          concurrency: 2
        })
        yield* Effect.all([isReady(first), isReady(second)], { discard: true })
        for (const name of ["gap-1", "gap-2"]) {
          const worker = { WORKER_ID: name, CONNECTORS: "simulation", MUSTER_CAPACITY: "8" }
          yield* startWorker({ ...own, ...worker, MUSTER_URL: second.url })
        }
        const ids = names("gap", 600)
        const clients = yield* Effect.all([clientOf(first), clientOf(second)])
        const submitting = yield* Effect.forkChild(
          Effect.all(
            clients.map((client, at) =>
              submitAll(
                client,
                ids.filter((_, n) => n % 2 === at),
                "10 millis"
              )
            ),
            { concurrency: 2 }
          )
        )
        yield* Effect.gen(function* () {
          // Whichever archives: the other one goes on, in the middle of a page if need be.
          for (const server of [first, second, first]) {
            yield* eventually("something new in the archive", archivedIds(queue), (found) => found.length > 0)
            yield* server.kill
            yield* server.restart
          }
          yield* postgres.kill
          const list = (yield* clientOf(second)).jobs.list({ query: { limit: 1 } })
          yield* eventually("the archive is missed", list, ({ incomplete }) => incomplete === true)
          yield* postgres.restart
          yield* redis.kill
          yield* redis.restart
          yield* first.kill
          yield* first.restart
        })
        yield* Fiber.join(submitting)

        yield* eventually("all jobs in the archive", archivedIds(queue), (found) => found.length >= ids.length, 60)
        assert.sameMembers(yield* archivedIds(queue), ids)
        yield* eventually("all events in the archive", isCaughtUp, (caughtUp) => caughtUp)
        const inLog = (yield* wholeLog)
          .filter(({ type }) => type !== "job.progress")
          .map(({ cursor }) => String(cursor))
        const inArchive = (yield* archivedEvents(queue)).map(({ cursor }) => cursor)
        assert.isAbove(inLog.length, 4 * ids.length - 1)
        assert.deepStrictEqual(inArchive, inLog)
        const archive = yield* JobArchive
        const jobs = yield* archive.list({ limit: 1_000 })
        assert.isTrue(jobs.every(({ job }) => isFinished(job.status)))
      }).pipe(Effect.provide(storesOf("nogap")), Effect.scoped),
    240_000
  )

  it.effect(
    "trimNeverPassesArchive: PostgreSQL is away while jobs run, and caught up with after",
    () =>
      Effect.gen(function* () {
        const { env, postgres } = yield* Stores
        const queue = "trim"
        // Nothing is kept for longer than the archive makes it be.
        const own = {
          ...env,
          MUSTER_QUEUE: queue,
          MUSTER_EVENT_RETENTION: "0s",
          MUSTER_RETENTION: "0s",
          MUSTER_LEASE: "30s"
        }
        const server = yield* startBroker("server", own)
        yield* isReady(server)
        const worker = { WORKER_ID: "trim-1", CONNECTORS: "simulation", MUSTER_CAPACITY: "8" }
        yield* startWorker({ ...own, ...worker, MUSTER_URL: server.url })
        const client = yield* clientOf(server)
        const log = yield* EventLog
        const archive = yield* JobArchive

        // The beginning of the log is read first: the archive only moves on from there.
        const samples: Array<readonly [start: EventCursor, cursor: EventCursor | null]> = []
        const sample = Effect.gen(function* () {
          const start = yield* log.start
          samples.push([start, yield* archive.cursor])
        })
        const sampling = yield* Effect.forkChild(Effect.forever(Effect.delay(Effect.ignore(sample), "20 millis")))

        const before = names("before", 100)
        yield* submitAll(client, before)
        yield* eventually("jobs in the archive", archivedIds(queue), (found) => found.length >= before.length)

        yield* postgres.stop
        const during = names("during", 100)
        yield* submitAll(client, during)
        const get = (id: string) => client.jobs.get({ params: { id: JobId.make(id) }, query: {} })
        for (const id of during) yield* eventually(`${id} ends`, get(id), ({ job }) => isFinished(job.status))
        // Ticks and trims go on, and nothing that only the queue has is forgotten: also not by another process.
        yield* server.kill
        yield* server.restart
        const later = DateTime.addDuration(yield* DateTime.now, "6 seconds")
        yield* Effect.retry(submit(client, "later", {}, later), Schedule.spaced("50 millis"))
        yield* eventually("some seconds later", get("later"), ({ job }) => isFinished(job.status))
        for (const id of during) assert.strictEqual((yield* get(id)).job.status, "completed")
        const partial = yield* client.jobs.list({ query: { limit: 10 } })
        assert.strictEqual(partial.incomplete, true)

        yield* postgres.restart
        const all = [...before, ...during, "later"]
        yield* eventually("all jobs in the archive", archivedIds(queue), (found) => found.length >= all.length, 60)
        assert.sameMembers(yield* archivedIds(queue), all)
        yield* eventually("all events in the archive", isCaughtUp, (caughtUp) => caughtUp)
        const events = yield* archivedEvents(queue)
        for (const id of all) {
          const types = events.flatMap(({ job_id, type }) => (job_id === id ? [type] : []))
          const promoted = id === "later" ? ["job.promoted"] : []
          assert.deepStrictEqual(
            types,
            ["job.submitted", ...promoted, "job.assigned", "job.started", "job.completed"],
            id
          )
        }
        yield* eventually("the log is trimmed", log.size, ({ entries }) => entries <= 1)
        yield* Fiber.interrupt(sampling)
        const known = samples.filter((one): one is readonly [EventCursor, EventCursor] => one[1] !== null)
        assert.isAbove(known.length, 10)
        for (const [start, cursor] of known) assert.isAtMost(compare(start, cursor), 0, `${start} ${cursor}`)

        // The queue has forgotten them all, and nobody notices.
        assert.strictEqual((yield* get("before-7")).job.status, "completed")
        assert.strictEqual((yield* submit(client, "before-7")).job.status, "completed")
        assert.strictEqual((yield* Effect.flip(submit(client, "before-7", { other: 1 })))._tag, "JobAlreadyExists")
        // One that failed starts over from the archive, and its attempts are counted on.
        yield* submit(client, "failing", { fail: "Rejected" })
        const failing = { params: { id: JobId.make("failing") } }
        const isForgotten = Effect.map(client.jobs.retry(failing), ({ job }) => job.attempt)
        yield* eventually("failing is archived", archivedIds(queue), (found) => found.includes("failing"))
        assert.strictEqual(yield* eventually("retried", isForgotten, (attempt) => attempt === 1), 1)
        yield* eventually("fails again", get("failing"), ({ job }) => job.status === "failed" && job.attempt === 2)
        const { attempts } = yield* client.jobs.attempts(failing)
        assert.deepStrictEqual(
          attempts.map(({ attempt, outcome }) => `${attempt} ${outcome}`),
          ["1 failed", "2 failed"]
        )

        const listed: Array<string> = []
        let cursor: string | null | undefined
        while (cursor !== null) {
          const page: Effect.Success<ReturnType<typeof client.jobs.list>> = yield* client.jobs.list({
            query: { limit: 30, status: "completed", ...(cursor === undefined ? {} : { cursor }) }
          })
          listed.push(...page.jobs.map(({ id }) => String(id)))
          cursor = page.next_cursor
        }
        assert.deepStrictEqual(listed.toSorted(), all.toSorted())
      }).pipe(Effect.provide(storesOf("trim")), Effect.scoped),
    240_000
  )
})
