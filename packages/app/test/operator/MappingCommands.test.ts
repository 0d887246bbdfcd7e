/** The mapping by the real command, good and bad. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assertHarmless, field, muster } from "./operator.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "muster-mapping-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

const defective = {
  workers: { render: { services: ["simulatio"], job_types_accepted: ["simulation", "simulation"] } },
  services: { simulation: { connector: "SimulationConector\u001b[31m", type: "internal" } }
}

describe("muster mapping", () => {
  it.live("check finds nothing wrong with the mapping that comes along", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* muster(["mapping", "check"])
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.match(stdout, /service-mapping\.json: all is well \(\d+ worker types, \d+ services\)\n$/)
    })
  )

  it.live("check names everything that is wrong, for people and for programs, and ends with 1", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "mapping.json")
      yield* Effect.promise(() => writeFile(file, JSON.stringify(defective)))
      const [told, json] = yield* Effect.all(
        [muster(["mapping", "check", file]), muster(["mapping", "check", "--json"], { env: { MUSTER_MAPPING: file } })],
        { concurrency: 2 }
      )
      assert.deepStrictEqual([told.code, told.stderr], [1, ""])
      assert.include(told.stdout, "error    workers.render.services[0]: there is no service simulatio; did you mean")
      assert.include(told.stdout, "simulation is mapped twice within render")
      assert.match(told.stdout, /\d errors, \d warnings? \(1 worker type, 0 services\)\n$/)
      assertHarmless(told.stdout)
      assert.deepStrictEqual([json.code, json.stderr], [1, ""])
      assert.strictEqual(field(json.stdout, "ok"), false)
      assert.strictEqual(field(json.stdout, "file"), file)
    })
  )

  it.live("a file that is none fails in one line", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* muster(["mapping", "check", "/nowhere/mapping.json"])
      assert.deepStrictEqual([code, stdout, stderr], [1, "", "error: /nowhere/mapping.json: there is no such file\n"])
    })
  )

  it.live("explain follows a job type to its connector, and says where it breaks", () =>
    Effect.gen(function* () {
      const [known, unknown, json] = yield* Effect.all(
        [
          muster(["mapping", "explain", "openai_image"]),
          muster(["mapping", "explain", "openai-image"]),
          muster(["mapping", "explain", "comfui", "--json"])
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(known.code, 0)
      assert.include(known.stdout, "worker type openai → openai-image → OpenAIText2ImgConnector")
      assert.strictEqual(unknown.code, 1)
      assert.include(unknown.stdout, `"openai-image" is the name of a service; jobs reach it by "openai_image"`)
      assert.strictEqual(json.code, 1)
      assert.deepStrictEqual(field(json.stdout, "routes"), [])
    })
  )
})

describe("a start with a mapping that is wrong", () => {
  it.live(
    "ends with 2 and says all of it, whatever is started",
    () =>
      Effect.gen(function* () {
        const file = join(yield* folder, "mapping.json")
        yield* Effect.promise(() => writeFile(file, JSON.stringify(defective)))
        const inMemory = { MUSTER_MAPPING: file, MUSTER_URL: "http://127.0.0.1:1" }
        const env = { ...inMemory, WORKER_ID: "w", CONNECTORS: "render", REDIS_URL: "redis://127.0.0.1:1" }
        const starts = [
          ["server", inMemory],
          ["up", inMemory],
          ["worker", env]
        ] as const
        yield* Effect.forEach(
          starts,
          Effect.fnUntraced(function* ([command, given]) {
            const { code, stderr } = yield* muster([command], { env: given })
            assert.strictEqual(code, 2, command)
            assert.include(stderr, "workers.render.services[0]", command)
            assert.include(stderr, "services.simulation", command)
          }),
          { concurrency: 3 }
        )
      }),
    120_000
  )

  it.live("a broker with workers says that there is no such worker type, before it listens", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* muster(["up", "--port", "0"], { env: { CONNECTORS: "comfyuii" } })
      assert.strictEqual(code, 2)
      assert.include(stderr, "CONNECTORS: there is no worker type comfyuii; did you mean comfyui?")
      assert.strictEqual(stdout, "")
    })
  )

  it.live("a worker says which variables are missing, before it registers", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* muster(["worker"], {
        env: {
          WORKER_ID: "w",
          CONNECTORS: "runpod",
          REDIS_URL: "redis://127.0.0.1:1",
          MUSTER_URL: "http://127.0.0.1:1"
        }
      })
      assert.strictEqual(code, 2)
      assert.include(stderr, "RUNPOD_API_KEY is not set")
      assert.include(stderr, "RUNPOD_ENDPOINT_ID is not set")
    })
  )
})
