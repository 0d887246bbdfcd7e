/** What an operator wants of workers, with server and workers as processes of their own on real stores. */
import { assert, it } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { startPostgres, startRedis } from "../../../../tools/servers/testServers.ts"
import { startBroker, startWorker } from "./processes.ts"

const Worker = Schema.Struct({
  worker: Schema.Struct({
    standing: Schema.String,
    occupancy: Schema.NullOr(Schema.String),
    last_heartbeat_at: Schema.NullOr(Schema.String),
    current_jobs: Schema.NullOr(Schema.Array(Schema.String))
  })
})
const Job = Schema.Struct({
  job: Schema.Struct({
    status: Schema.String,
    worker_id: Schema.NullOr(Schema.String),
    attempt: Schema.Int,
    retry_count: Schema.Int
  })
})

/** Looks again until it holds; what happens here takes real time. */
const eventually = <A, E, R>(what: string, look: Effect.Effect<A, E, R>, holds: (a: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({ duration: "60 seconds", orElse: () => Effect.die(new Error(`${what}: not within 60 s`)) })
  )

const production = Effect.gen(function* () {
  const [postgres, redis] = yield* Effect.all([startPostgres(), startRedis()], { concurrency: 2 })
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    MUSTER_HEARTBEAT_INTERVAL: "500ms",
    MUSTER_LEASE: "10s"
  }
  const server = yield* startBroker("server", env)
  const send = (method: string, path: string, body?: unknown) =>
    Effect.promise(async () => {
      const headers = { "content-type": "application/json" }
      const given = body === undefined ? {} : { body: JSON.stringify(body), headers }
      const answer = await fetch(server.url + path, { method, ...given })
      return { status: answer.status, body: (await answer.json()) as unknown }
    })
  const aWorker = (name: string) =>
    startWorker({ ...env, MUSTER_URL: server.url, WORKER_ID: name, CONNECTORS: "simulation" })
  const get = <S extends Schema.ConstraintDecoder<unknown>>(path: string, schema: S) =>
    Effect.flatMap(send("GET", path), ({ body }) => Schema.decodeUnknownEffect(schema)(body))
  const worker = (name: string) => Effect.map(get(`/workers/${name}`, Worker), (found) => found.worker)
  const beat = Effect.fnUntraced(function* (name: string) {
    const { last_heartbeat_at: before } = yield* worker(name)
    yield* eventually("a beat", worker(name), ({ last_heartbeat_at }) => last_heartbeat_at !== before)
  })
  const job = (id: string) => Effect.map(get(`/jobs/${id}`, Job), (found) => found.job)
  const submit = (id: string, duration_ms: number) =>
    Effect.map(send("POST", "/jobs", { id, service_required: "simulation", payload: { duration_ms } }), ({ status }) =>
      assert.strictEqual(status, 201)
    )
  const ready = eventually("ready", send("GET", "/ready"), ({ status }) => status === 200)
  yield* ready
  return { aWorker, beat, job, ready, redis, send, server, submit, worker }
})

it.live(
  "a draining worker hands its job to another, a paused one takes none, whatever is started again",
  () =>
    Effect.gen(function* () {
      const { aWorker, beat, job, ready, redis, send, server, submit, worker } = yield* production
      const first = yield* aWorker("first")
      yield* submit("long", 600_000)
      yield* eventually("held by the first", job("long"), ({ status }) => status === "processing")
      yield* aWorker("second")
      assert.strictEqual((yield* send("POST", "/workers/first/drain", { jobs: "return" })).status, 200)
      const moved = yield* eventually("held by the second", job("long"), ({ worker_id }) => worker_id === "second")
      assert.deepInclude(moved, { attempt: 2, retry_count: 0 })
      assert.deepInclude(yield* worker("first"), { standing: "draining", occupancy: "draining", current_jobs: [] })

      // The second has no room: a job waits for it although the first has nothing to do, also after its restart.
      yield* first.restart
      yield* server.restart
      yield* ready
      yield* submit("short", 10)
      yield* Effect.replicateEffect(beat("first"), 2)
      assert.strictEqual((yield* job("short")).status, "pending")

      // Redis is away: the registry notes what is wanted, and servers see to it that the queue follows.
      assert.strictEqual((yield* send("POST", "/workers/second/pause")).status, 200)
      yield* redis.kill
      assert.strictEqual((yield* send("POST", "/workers/first/resume")).status, 503)
      assert.deepInclude(yield* worker("first"), { standing: "open", current_jobs: null })
      yield* redis.restart
      yield* server.restart
      yield* ready
      yield* eventually("done by the first", job("short"), ({ status }) => status === "completed")
      assert.strictEqual((yield* job("short")).worker_id, "first")
      assert.strictEqual((yield* send("POST", "/workers/first/pause")).status, 200)
      assert.strictEqual((yield* worker("first")).occupancy, "paused")
    }).pipe(Effect.scoped),
  240_000
)
