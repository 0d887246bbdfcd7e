/**
 * `muster server` and `muster worker` as separate processes on real PostgreSQL and Redis, hurt in every way: nothing
 * that was answered may be lost, and everything heals by itself.
 */
import { assert, it, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schedule, Schema } from "effect"
import { startPostgres, startRedis } from "../../../../tools/servers/testServers.ts"
import { type MusterProcess, startBroker, startWorker } from "./processes.ts"

const Job = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  attempt: Schema.Int,
  retry_count: Schema.Int,
  worker_id: Schema.NullOr(Schema.String),
  result: Schema.Unknown,
  started_at: Schema.NullOr(Schema.String),
  finished_at: Schema.NullOr(Schema.String)
})
const JobAnswer = Schema.Struct({ job: Job })
const WorkerAnswer = Schema.Struct({
  worker: Schema.Struct({
    id: Schema.String,
    status: Schema.String,
    current_jobs: Schema.NullOr(Schema.Array(Schema.String))
  })
})

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: unknown
}

const send = (url: string, method = "GET", body?: unknown): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const response = await fetch(url, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } })
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === "" ? undefined : JSON.parse(text) }
  })

/** Looks again until it holds; what happens here takes real time. */
const eventually = <A, E, R>(what: string, look: Effect.Effect<A, E, R>, holds: (a: A) => boolean, seconds = 60) =>
  look.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({
      duration: `${seconds} seconds`,
      orElse: () => Effect.die(new Error(`${what}: not within ${seconds} s`))
    })
  )

const Ready = Schema.Struct({
  ready: Schema.Boolean,
  registry: Schema.Struct({ ok: Schema.Boolean }),
  queue: Schema.Struct({ ok: Schema.Boolean })
})

const readyIs = (url: string, expected: { ready: boolean; registry: boolean; queue: boolean }) =>
  eventually(`ready is ${JSON.stringify(expected)}`, send(`${url}/ready`), ({ body }) => {
    const { queue, ready, registry } = Schema.decodeUnknownSync(Ready)(body)
    return ready === expected.ready && registry.ok === expected.registry && queue.ok === expected.queue
  })

const short = {
  MUSTER_ACTIVATION_INTERVAL: "200ms",
  MUSTER_STALE_INTERVAL: "300ms",
  MUSTER_REACTIVATION_INTERVAL: "300ms",
  MUSTER_HEARTBEAT_TIMEOUT: "8s",
  MUSTER_HEARTBEAT_INTERVAL: "500ms",
  MUSTER_LEASE: "6s"
}

class Stores extends Context.Service<
  Stores,
  { readonly postgres: MusterProcess; readonly redis: MusterProcess; readonly env: Record<string, string> }
>()("Stores") {
  static readonly layer = Layer.effect(
    Stores,
    Effect.gen(function* () {
      const [postgres, redis] = yield* Effect.all([startPostgres(), startRedis()], { concurrency: 2 })
      return { postgres, redis, env: { DATABASE_URL: postgres.url, REDIS_URL: redis.url, ...short } }
    })
  )
}

class Server extends Context.Service<Server, MusterProcess>()("Server") {
  static readonly layer = Layer.effect(
    Server,
    Effect.gen(function* () {
      const { env } = yield* Stores
      const server = yield* startBroker("server", env)
      yield* eventually("ready", send(`${server.url}/ready`), ({ status }) => status === 200)
      return server
    })
  )
}

const aWorker = (name: string, over: Record<string, string> = {}) =>
  Effect.gen(function* () {
    const { env } = yield* Stores
    const { url } = yield* Server
    return yield* startWorker({ ...env, MUSTER_URL: url, WORKER_ID: name, CONNECTORS: "simulation", ...over })
  })

const submit = (payload: unknown, over: Record<string, unknown> = {}) =>
  Effect.gen(function* () {
    const { url } = yield* Server
    const answer = yield* send(`${url}/jobs`, "POST", { service_required: "simulation", payload, ...over })
    assert.strictEqual(answer.status, 201, JSON.stringify(answer.body))
    return (yield* Schema.decodeUnknownEffect(JobAnswer)(answer.body)).job.id
  })

const job = (id: string) =>
  Effect.gen(function* () {
    const { url } = yield* Server
    const answer = yield* send(`${url}/jobs/${id}`)
    return (yield* Schema.decodeUnknownEffect(JobAnswer)(answer.body)).job
  })

const worker = (id: string) =>
  Effect.gen(function* () {
    const { url } = yield* Server
    const answer = yield* send(`${url}/workers/${id}`)
    return (yield* Schema.decodeUnknownEffect(WorkerAnswer)(answer.body)).worker
  })

const jobBecomes = (id: string, status: string) =>
  eventually(`job ${id} ${status}`, job(id), (now) => now.status === status)

const workerBecomes = (id: string, status: string) =>
  eventually(`worker ${id} ${status}`, worker(id), (now) => now.status === status)

const production = Server.layer.pipe(Layer.provideMerge(Stores.layer))

layer(production, { timeout: "2 minutes", excludeTestServices: true })("production", (it) => {
  it.effect(
    "runs a job from submit to completed, with server and worker as separate processes",
    () =>
      Effect.gen(function* () {
        yield* aWorker("plain")
        yield* workerBecomes("plain", "active")
        const done = yield* jobBecomes(yield* submit({ duration_ms: 200 }), "completed")
        assert.deepStrictEqual([done.worker_id, done.attempt], ["plain", 1])
        assert.deepStrictEqual(done.result, { simulated: true, duration_ms: 200, steps: 10 })
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "loses no worker and no job when the server is killed and started again",
    () =>
      Effect.gen(function* () {
        const server = yield* Server
        yield* aWorker("survivor")
        yield* workerBecomes("survivor", "active")
        const running = yield* submit({ duration_ms: 4_000 })
        yield* jobBecomes(running, "processing")
        const waiting = yield* submit({ duration_ms: 10 })
        yield* server.kill
        yield* server.restart
        yield* eventually("ready", send(`${server.url}/ready`), ({ status }) => status === 200)
        const first = yield* jobBecomes(running, "completed")
        const second = yield* jobBecomes(waiting, "completed")
        assert.deepStrictEqual([first.attempt, second.attempt], [1, 1])
        assert.deepStrictEqual([first.worker_id, second.worker_id], ["survivor", "survivor"])
        assert.isAtLeast(Date.parse(second.started_at ?? ""), Date.parse(first.finished_at ?? ""))
        yield* workerBecomes("survivor", "active")
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "gives the job of a killed worker to another, once its lease is over",
    () =>
      Effect.gen(function* () {
        const victim = yield* aWorker("victim")
        // It is still at it when it is killed, however long that takes.
        const id = yield* submit({ duration_ms: 600_000 })
        yield* jobBecomes(id, "processing")
        assert.strictEqual((yield* job(id)).worker_id, "victim")
        yield* victim.kill
        yield* aWorker("heir")
        const given = yield* eventually("the heir has it", job(id), (now) => now.worker_id === "heir")
        assert.deepStrictEqual([given.attempt, given.retry_count], [2, 1])
        const { url } = yield* Server
        assert.strictEqual((yield* send(`${url}/jobs/${id}/cancel`, "POST")).status, 200)
        yield* workerBecomes("victim", "offline")
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "takes a killed worker back under its id at once, refuses a twin, and lets a stopped one leave",
    () =>
      Effect.gen(function* () {
        const first = yield* aWorker("stable")
        yield* workerBecomes("stable", "active")
        yield* first.kill
        yield* first.restart
        yield* workerBecomes("stable", "active")
        const twin = yield* Effect.exit(Effect.scoped(aWorker("stable")))
        assert.strictEqual(twin._tag, "Failure")
        assert.include(String(twin), "alive as instance")
        const id = yield* submit({ duration_ms: 60_000 })
        yield* jobBecomes(id, "processing")
        yield* first.stop
        assert.strictEqual((yield* worker("stable")).status, "offline")
        const returned = yield* job(id)
        assert.deepStrictEqual([returned.status, returned.retry_count], ["pending", 0])
        const { url } = yield* Server
        assert.strictEqual((yield* send(`${url}/jobs/${id}/cancel`, "POST")).status, 200)
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "says that PostgreSQL is away, and heals when it is back",
    () =>
      Effect.gen(function* () {
        const { url } = yield* Server
        const { postgres } = yield* Stores
        yield* aWorker("beats-on")
        yield* workerBecomes("beats-on", "active")
        yield* postgres.kill
        yield* readyIs(url, { ready: false, registry: false, queue: true })
        const refused = yield* send(`${url}/workers`, "POST", { id: "late", region: "eu", capacity: 1 })
        assert.strictEqual(refused.status, 503)
        assert.isNotNull(refused.headers.get("retry-after"))
        assert.strictEqual((yield* send(`${url}/health`)).status, 200)
        // Jobs need the queue alone: they are taken and run while the registry is away.
        const taken = yield* send(`${url}/jobs`, "POST", {
          service_required: "simulation",
          payload: { duration_ms: 10 }
        })
        assert.strictEqual(taken.status, 201)
        const { id } = (yield* Schema.decodeUnknownEffect(JobAnswer)(taken.body)).job
        yield* jobBecomes(id, "completed")
        const unknown = yield* send(`${url}/jobs`, "POST", { service_required: "never-asked-before" })
        assert.containSubset(unknown.body, { matching: null })
        const picky = { service_required: "never-asked-before", if_unmatchable: "reject" }
        assert.strictEqual((yield* send(`${url}/jobs`, "POST", picky)).status, 503)
        yield* postgres.restart
        yield* eventually("ready", send(`${url}/ready`), ({ status }) => status === 200)
        const late = yield* send(`${url}/workers`, "POST", { id: "late", region: "eu", capacity: 1 })
        assert.strictEqual(late.status, 201)
        yield* workerBecomes("beats-on", "active")
        yield* jobBecomes(yield* submit({ duration_ms: 10 }), "completed")
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "says that Redis is away, and goes on with every job when it is back",
    () =>
      Effect.gen(function* () {
        const { url } = yield* Server
        const { redis } = yield* Stores
        yield* aWorker("patient")
        const running = yield* submit({ duration_ms: 1_500 })
        yield* jobBecomes(running, "processing")
        const waiting = yield* submit({ duration_ms: 10 })
        yield* redis.kill
        yield* readyIs(url, { ready: false, registry: true, queue: false })
        const refused = yield* send(`${url}/jobs`, "POST", { service_required: "simulation" })
        assert.strictEqual(refused.status, 503)
        assert.isNotNull(refused.headers.get("retry-after"))
        // The list of workers is what an operator looks at now.
        const listed = yield* send(`${url}/workers/patient`)
        assert.containSubset(listed.body, { worker: { id: "patient", occupancy: null, current_jobs: null } })
        yield* redis.restart
        yield* eventually("ready", send(`${url}/ready`), ({ status }) => status === 200)
        yield* jobBecomes(running, "completed")
        yield* jobBecomes(waiting, "completed")
      }).pipe(Effect.scoped),
    240_000
  )

  it.effect(
    "starts without its stores and heals when they come",
    () =>
      Effect.gen(function* () {
        const { env, postgres, redis } = yield* Stores
        yield* postgres.stop
        yield* redis.stop
        const early = yield* startBroker("server", env)
        const away = yield* readyIs(early.url, { ready: false, registry: false, queue: false })
        assert.strictEqual(away.status, 503)
        yield* postgres.restart
        yield* redis.restart
        yield* eventually("ready", send(`${early.url}/ready`), ({ status }) => status === 200)
        const answer = yield* send(`${early.url}/jobs`, "POST", { service_required: "nobody-does-this" })
        assert.containSubset(answer.body, { matching: { active: 0, registered: 0 } })
      }).pipe(Effect.scoped),
    240_000
  )
})

it.live(
  "the embedded broker runs a job, and keeps nothing when it stops",
  () =>
    Effect.gen(function* () {
      const up = yield* startBroker("up", {})
      const answer = yield* send(`${up.url}/jobs`, "POST", {
        service_required: "simulation",
        payload: { duration_ms: 100 }
      })
      const { id } = (yield* Schema.decodeUnknownEffect(JobAnswer)(answer.body)).job
      yield* eventually(
        "completed",
        Effect.flatMap(send(`${up.url}/jobs/${id}`), ({ body }) => Schema.decodeUnknownEffect(JobAnswer)(body)),
        (now) => now.job.status === "completed"
      )
      yield* send(`${up.url}/jobs`, "POST", { service_required: "simulation", payload: { duration_ms: 60_000 } })
      yield* up.stop
      yield* up.restart
      assert.strictEqual((yield* send(`${up.url}/jobs/${id}`)).status, 404)
    }).pipe(Effect.scoped),
  240_000
)
