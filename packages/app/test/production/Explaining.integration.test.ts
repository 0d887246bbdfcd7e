/** Why a job is not running, asked over HTTP and by the command, of processes on real stores that come and go. */
import { assert, it } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { startPostgres, startRedis } from "../../../../tools/servers/testServers.ts"
import { muster } from "../operator/operator.ts"
import { startBroker, startWorker } from "./processes.ts"

const Explained = Schema.Struct({
  verdict: Schema.NullOr(Schema.String),
  status: Schema.String,
  summary: Schema.String,
  ahead: Schema.NullOr(Schema.Int),
  worker_id: Schema.NullOr(Schema.String),
  workers: Schema.Array(
    Schema.Struct({
      worker_id: Schema.String,
      status: Schema.String,
      standing: Schema.String,
      holds: Schema.NullOr(Schema.Int),
      unmet: Schema.Array(Schema.Struct({ clause: Schema.String }))
    })
  ),
  hints: Schema.Array(Schema.String)
})
type Explained = typeof Explained.Type

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
    MUSTER_ACTIVATION_INTERVAL: "200ms",
    MUSTER_STALE_INTERVAL: "300ms",
    MUSTER_REACTIVATION_INTERVAL: "300ms",
    MUSTER_HEARTBEAT_TIMEOUT: "5s",
    MUSTER_HEARTBEAT_INTERVAL: "500ms",
    MUSTER_LEASE: "6s"
  }
  const server = yield* startBroker("server", env)
  const send = (method: string, path: string, body?: unknown) =>
    Effect.promise(async () => {
      const headers = { "content-type": "application/json" }
      const given = body === undefined ? {} : { body: JSON.stringify(body), headers }
      const answer = await fetch(server.url + path, { method, ...given })
      const text = await answer.text()
      return { status: answer.status, body: (text === "" ? undefined : JSON.parse(text)) as unknown }
    })
  yield* eventually("ready", send("GET", "/ready"), ({ status }) => status === 200)
  return {
    postgres,
    redis,
    send,
    submit: (id: string, service_required: string, duration_ms = 10) =>
      Effect.map(send("POST", "/jobs", { id, service_required, payload: { duration_ms } }), ({ status }) =>
        assert.strictEqual(status, 201)
      ),
    explain: (id: string) =>
      Effect.flatMap(send("GET", `/jobs/${id}/explain`), ({ body }) => Schema.decodeUnknownEffect(Explained)(body)),
    aWorker: (name: string) =>
      startWorker({ ...env, MUSTER_URL: server.url, WORKER_ID: name, CONNECTORS: "simulation" }),
    command: (...args: ReadonlyArray<string>) => muster(args, { env: { MUSTER_URL: server.url } })
  }
})

it.live(
  "a job that does not run is explained, whatever becomes of the fleet and the stores",
  () =>
    Effect.gen(function* () {
      const { aWorker, command, explain, postgres, redis, send, submit } = yield* production
      const becomes = (id: string, verdict: string | null) =>
        eventually(`${id} is ${verdict}`, explain(id), (answer: Explained) => answer.verdict === verdict)

      // A worker that lists the name of its internal service where a job type belongs.
      yield* send("POST", "/workers", {
        id: "w-7",
        region: "eu",
        capacity: 1,
        capabilities: { job_types: ["simulationx"] }
      })
      yield* submit("first", "simulation")
      const wrong = yield* explain("first")
      assert.strictEqual(wrong.verdict, "impossible")
      assert.deepStrictEqual(
        wrong.workers.map(({ unmet, worker_id }) => [worker_id, unmet.map(({ clause }) => clause)]),
        [["w-7", ["service_required"]]]
      )
      const hint = `no worker accepts "simulation"; did you mean "simulationx", accepted by worker w-7?`
      assert.strictEqual(wrong.hints[0], hint)
      const start = `no worker that is registered accepts "simulation"; start one that does: CONNECTORS=simulation`
      assert.isTrue(wrong.hints.at(-1)?.startsWith(start), wrong.hints.at(-1))
      const told = yield* command("job", "explain", "first")
      assert.strictEqual(told.code, 0)
      assert.include(told.stdout, "job first waits (impossible)")
      assert.include(told.stdout, hint)
      const queue = yield* command("queue")
      assert.match(queue.stdout, /^simulation +1 .* nobody +-$/m)

      // One that accepts it takes it at once.
      const worker = yield* aWorker("own")
      yield* eventually("done", explain("first"), ({ status }) => status === "completed")

      yield* submit("long", "simulation", 600_000)
      yield* eventually("held", explain("long"), ({ status }) => status === "processing")
      yield* submit("next", "simulation")
      const full = yield* becomes("next", "busy")
      assert.deepInclude(full.workers[0], { worker_id: "own", holds: 1, standing: "open" })
      yield* send("POST", "/workers/own/pause")
      // A worker that had no time to beat is offline for a while.
      const pause = "the only worker that matches is paused: muster workers resume own"
      yield* eventually("told of the pause", explain("next"), ({ hints }) => hints.includes(pause))
      yield* send("POST", "/workers/own/resume")

      // Killed: nobody says goodbye.
      yield* worker.kill
      const lost = yield* becomes("next", "offline")
      assert.match(lost.hints[0] ?? "", /^worker own matches and was last seen .*: /)
      yield* becomes("long", "offline")
      yield* send("DELETE", "/workers/own")
      const gone = yield* explain("next")
      assert.strictEqual(gone.verdict, "offline")
      assert.deepInclude(gone.workers[0], { worker_id: "own", status: "gone" })

      // The registry away: nobody guesses. The queue away: nothing is known.
      yield* postgres.kill
      assert.strictEqual((yield* send("GET", "/jobs/next/explain")).status, 503)
      assert.deepInclude(yield* explain("first"), { status: "completed", verdict: null })
      const view = yield* command("queue")
      assert.strictEqual(view.code, 0)
      assert.match(view.stdout, /^simulation +2 .* unknown +-$/m)
      yield* postgres.restart
      yield* becomes("next", "offline")
      yield* redis.kill
      assert.strictEqual((yield* send("GET", "/jobs/next/explain")).status, 503)
      assert.strictEqual((yield* send("GET", "/queue")).status, 503)
      yield* redis.restart
      yield* eventually("back", send("GET", "/jobs/next/explain"), ({ status }) => status === 200)
      assert.strictEqual((yield* explain("next")).verdict, "offline")
    }).pipe(Effect.scoped),
  240_000
)
