/** Whoever waits for a job learns its end, whatever is killed in between: by the client, and by the command. */
import { assert, layer } from "@effect/vitest"
import { JobId } from "@muster/core/job/Job"
import { WorkerId } from "@muster/core/worker/Worker"
import * as EventStreams from "@muster/http-server/client/EventStreams"
import * as MusterClient from "@muster/http-server/client/MusterClient"
import { Context, Effect, Fiber, Layer, Schedule, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { startPostgres, startRedis } from "../../../../tools/servers/testServers.ts"
import { start } from "../operator/operator.ts"
import { type MusterProcess, startBroker, startWorker } from "./processes.ts"

const often = Schedule.spaced("50 millis")

class Broker extends Context.Service<
  Broker,
  { readonly redis: MusterProcess; readonly server: MusterProcess; readonly client: MusterClient.MusterClient }
>()("Broker") {
  static readonly layer = Layer.effect(
    Broker,
    Effect.gen(function* () {
      const [postgres, redis] = yield* Effect.all([startPostgres(), startRedis()], { concurrency: 2 })
      const env = {
        DATABASE_URL: postgres.url,
        REDIS_URL: redis.url,
        MUSTER_ACTIVATION_INTERVAL: "200ms",
        MUSTER_HEARTBEAT_TIMEOUT: "30s",
        MUSTER_HEARTBEAT_INTERVAL: "500ms",
        MUSTER_LEASE: "30s"
      }
      const server = yield* startBroker("server", env)
      const client = yield* Effect.provide(MusterClient.make({ baseUrl: server.url }), FetchHttpClient.layer)
      const isReady = Effect.orElseSucceed(
        Effect.map(client.system.ready(), ({ ready }) => ready),
        () => false
      )
      yield* Effect.repeat(isReady, { until: (ready) => ready, schedule: often })
      yield* startWorker({
        ...env,
        MUSTER_URL: server.url,
        WORKER_ID: "waited-for",
        CONNECTORS: "simulation",
        MUSTER_CAPACITY: "8"
      })
      return { redis, server, client }
    })
  )
}

const worker = { params: { id: WorkerId.make("waited-for") } }

const statusOf = (id: string) =>
  Effect.flatMap(Broker, ({ client }) =>
    Effect.map(client.jobs.get({ params: { id: JobId.make(id) }, query: {} }), ({ job }) => job.status)
  )

const begins = (id: string) =>
  statusOf(id).pipe(
    Effect.repeat({ until: (status) => status !== "pending" && status !== "assigned", schedule: often }),
    Effect.timeout("60 seconds")
  )

/** Three that learn of a job, each in its own way, for as long as it takes. */
const waiters = Effect.fnUntraced(function* (id: string) {
  const { client, server } = yield* Broker
  const job_id = JobId.make(id)
  const watching = yield* start(["job", "watch", id, "--json"], { env: { MUSTER_URL: server.url } })
  const command = Effect.map(watching.ended, ({ code, stdout }) => {
    const last = stdout.trimEnd().split("\n").at(-1) ?? "{}"
    return { code, status: JSON.parse(last).job?.status }
  })
  const library = Effect.map(EventStreams.awaitJob(client, job_id), ({ status }) => status)
  const events = EventStreams.follow(client, { job_id, types: ["job.assigned", "job.started", "job.completed"] }).pipe(
    Stream.map((told) => (told._tag === "Event" ? told.event.type : told._tag)),
    Stream.takeUntil((type) => type === "job.completed"),
    Stream.runCollect
  )
  const running = yield* Effect.forkChild(Effect.all({ command, library, events }, { concurrency: 3 }), {
    startImmediately: true
  })
  // All of them are there before anything is hurt.
  yield* watching.stdout.pipe(
    Effect.repeat({ until: (stdout) => stdout.includes("snapshot"), schedule: often }),
    Effect.timeout("60 seconds")
  )
  return running
})

/** A job that begins when everybody is there to see it; gives those who wait for it. */
const watchedJob = Effect.fnUntraced(function* (id: string, duration_ms: number) {
  const { client } = yield* Broker
  yield* client.workers.pause(worker)
  yield* client.jobs.submit({
    payload: { id: JobId.make(id), service_required: "simulation", payload: { duration_ms } }
  })
  const running = yield* waiters(id)
  yield* client.workers.resume(worker)
  yield* begins(id)
  return running
})

/** One attempt, told whole, in order, and each thing once. */
const assertAllLearned = Effect.fnUntraced(function* (running: Effect.Success<ReturnType<typeof waiters>>) {
  const learned = yield* Effect.timeout(Fiber.join(running), "60 seconds")
  assert.deepStrictEqual(learned, {
    command: { code: 0, status: "completed" },
    library: "completed",
    events: ["job.assigned", "job.started", "job.completed"]
  })
})

layer(Broker.layer, { timeout: "2 minutes", excludeTestServices: true })("waiterAlwaysEnds", (it) => {
  it.effect(
    "when the server is killed and the job ends before it is back",
    () =>
      Effect.gen(function* () {
        const { server } = yield* Broker
        const running = yield* watchedJob("server-away", 1_000)
        yield* server.kill
        yield* Effect.sleep("2 seconds")
        yield* server.restart
        yield* assertAllLearned(running)
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "when Redis is killed while the job runs",
    () =>
      Effect.gen(function* () {
        const { redis } = yield* Broker
        const running = yield* watchedJob("redis-away", 3_000)
        // Redis may lose the last second of what it was told.
        yield* Effect.sleep("1500 millis")
        yield* redis.kill
        yield* redis.restart
        yield* assertAllLearned(running)
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "when both are killed, one after the other, and again",
    () =>
      Effect.gen(function* () {
        const { redis, server } = yield* Broker
        const running = yield* watchedJob("both-away", 8_000)
        for (let round = 0; round < 2; round++) {
          yield* Effect.sleep("1500 millis")
          yield* redis.kill
          yield* server.kill
          yield* redis.restart
          yield* server.restart
        }
        yield* assertAllLearned(running)
      }).pipe(Effect.scoped),
    240_000
  )
})
