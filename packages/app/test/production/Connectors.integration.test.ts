/** Workers as processes whose services are away, come, and go; and a connector that is not part of Muster. */
import { assert, it } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { once } from "node:events"
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { join } from "node:path"
import { freePort } from "../../../../tools/servers/ServerProcess.ts"
import { startPostgres, startRedis } from "../../../../tools/servers/testServers.ts"
import { startBroker, startWorker } from "./processes.ts"

const Explained = Schema.Struct({ verdict: Schema.String, hints: Schema.Array(Schema.String) })
const Job = Schema.Struct({ job: Schema.Struct({ status: Schema.String, result: Schema.Unknown }) })
const Worker = Schema.Struct({
  worker: Schema.Struct({
    unhealthy_job_types: Schema.Array(Schema.String),
    connectors: Schema.Array(Schema.Struct({ name: Schema.String, status: Schema.String }))
  })
})

/** Looks again until it holds; what happens here takes real time. */
const eventually = <A, E, R>(what: string, look: Effect.Effect<A, E, R>, holds: (a: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("100 millis") }),
    Effect.timeoutOrElse({
      duration: "60 seconds",
      orElse: () => Effect.die(new Error(`${what}: not within 60 s`))
    })
  )

/** A connector of somebody else's: well while its service answers. */
const module = `
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Effect } from "effect"

export const connector = {
  name: "ShoutConnector",
  variables: { SHOUT_URL: "\${SHOUT_URL}" },
  acquire: ({ SHOUT_URL }) =>
    Effect.succeed({
      health: Effect.tryPromise({
        try: () => fetch(SHOUT_URL),
        catch: () => new ConnectorFailure({ kind: "ServiceUnavailable", message: "nobody shouts" })
      }).pipe(Effect.asVoid),
      process: (job) => Effect.succeed({ shouted: String(job.payload).toUpperCase() })
    })
}
`

const mapping = {
  workers: {
    both: {
      services: ["simulation", "shout"],
      job_service_required_map: [
        { job_service_required: "simulation", worker_service: "simulation" },
        { job_service_required: "shout", worker_service: "shout" }
      ]
    }
  },
  connectors: { ShoutConnector: { path: "./ShoutConnector.mjs" } },
  services: {
    simulation: { connector: "SimulationConnector", type: "internal" },
    shout: { connector: "ShoutConnector", type: "external" }
  }
}

/** Below this package, so that the module finds what it imports. */
const folder = Effect.acquireRelease(
  Effect.promise(async () => {
    const dist = join(import.meta.dirname, "../../dist")
    await mkdir(dist, { recursive: true })
    const folder = await mkdtemp(join(dist, "own-connector-"))
    await writeFile(join(folder, "mapping.json"), JSON.stringify(mapping))
    await writeFile(join(folder, "ShoutConnector.mjs"), module)
    return folder
  }),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

/** A port that nobody listens on, and how to begin to. */
const service = Effect.gen(function* () {
  const server = yield* Effect.acquireRelease(
    Effect.sync(() => createServer((_, response) => response.end("ok"))),
    (server) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )
  const port = yield* Effect.promise(freePort)
  const open = Effect.promise(() => once(server.listen(port, "127.0.0.1"), "listening"))
  return { url: `http://127.0.0.1:${port}`, open }
})

it.live(
  "a job waits for a connector that is ill, is told why, and runs as soon as it is well; others run meanwhile",
  () =>
    Effect.gen(function* () {
      const [postgres, redis] = yield* Effect.all([startPostgres(), startRedis()], { concurrency: 2 })
      const shouting = yield* service
      const MUSTER_MAPPING = join(yield* folder, "mapping.json")
      const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, MUSTER_MAPPING }
      const server = yield* startBroker("server", env)
      yield* startWorker({
        ...env,
        MUSTER_URL: server.url,
        WORKER_ID: "w-1",
        CONNECTORS: "both",
        SHOUT_URL: shouting.url
      })
      const get = <S extends Schema.ConstraintDecoder<unknown>>(path: string, schema: S) =>
        Effect.flatMap(
          Effect.promise(async () => (await fetch(server.url + path)).json() as Promise<unknown>),
          Schema.decodeUnknownEffect(schema)
        )
      const submit = (id: string, service_required: string, payload: unknown) =>
        Effect.promise(async () => {
          const headers = { "content-type": "application/json" }
          const body = JSON.stringify({ id, service_required, payload })
          assert.strictEqual((await fetch(`${server.url}/jobs`, { method: "POST", headers, body })).status, 201)
        })
      const ended = (id: string) =>
        eventually(`${id} completes`, get(`/jobs/${id}`, Job), ({ job }) => job.status === "completed")

      yield* submit("s", "shout", "hello")
      yield* submit("t", "simulation", { duration_ms: 10 })
      yield* ended("t")
      const { hints, verdict } = yield* get("/jobs/s/explain", Explained)
      assert.strictEqual(verdict, "busy")
      assert.match(
        hints.join(),
        /connector ShoutConnector on w-1, which matches, is unhealthy since .*: ServiceUnavailable: nobody shouts/
      )
      const { worker } = yield* get("/workers/w-1", Worker)
      assert.deepStrictEqual(worker.unhealthy_job_types, ["shout"])

      yield* shouting.open
      const { job } = yield* ended("s")
      assert.deepStrictEqual(job.result, { shouted: "HELLO" })
      yield* eventually(
        "the registry hears of it",
        get("/workers/w-1", Worker),
        ({ worker }) => worker.unhealthy_job_types.length === 0
      )
    }).pipe(Effect.scoped),
  240_000
)
