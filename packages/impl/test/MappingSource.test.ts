/** The mapping of a process: the file that comes along, bad files, missing variables, and connectors of one's own. */
import { assert, describe, it } from "@effect/vitest"
import { connectors } from "@muster/connectors/Registry"
import * as MemoryQuotaBudget from "@muster/core/connector/internal/MemoryQuotaBudget"
import { sentence } from "@muster/core/mapping/Finding"
import { servicesUsed } from "@muster/core/mapping/Routing"
import * as ConnectorLayers from "@muster/impl/ConnectorLayers"
import * as MappingSource from "@muster/impl/MappingSource"
import * as ShippedMapping from "@muster/impl/ShippedMapping"
import * as WorkerConnectors from "@muster/impl/WorkerConnectors"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A folder with these files, for as long as the scope. */
const folderWith = (files: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const folder = await mkdtemp(join(tmpdir(), "muster-mapping-"))
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
      return folder
    }),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )

const mapping = (connector: string, path: string | undefined, more: object = {}) =>
  JSON.stringify({
    workers: {
      mine: {
        services: ["mine"],
        job_service_required_map: [{ job_service_required: "upper_case", worker_service: "mine" }]
      }
    },
    connectors: { [connector]: path === undefined ? {} : { path } },
    services: { mine: { connector, type: "internal", ...more } }
  })

const own = (name: string) => `export const connector = { name: "${name}", variables: {}, acquire: () => undefined }`

const problemsOf = (file: string, types: ReadonlyArray<string> = ["mine"], environment = {}) =>
  Effect.map(Effect.flip(MappingSource.load(file, types, environment)), ({ problems }) => problems)

describe("the mapping that comes along", () => {
  it.effect("has nothing wrong, and reaches every connector there is", () =>
    Effect.gen(function* () {
      const { findings, mapping } = yield* MappingSource.check(ShippedMapping.file)
      assert.deepStrictEqual(findings.map(sentence), [])
      const reached = new Set(
        Object.keys(mapping?.workers ?? {}).flatMap((worker) =>
          [...servicesUsed(mapping!, worker)].map((service) => mapping?.services[service]?.connector)
        )
      )
      const unreached = connectors.filter(
        ({ aliases, connector }) => ![connector.name, ...aliases].some((name) => reached.has(name))
      )
      assert.deepStrictEqual(
        unreached.map(({ connector }) => connector.name),
        []
      )
    })
  )

  it.effect("asks only for the variables of the worker types that run", () =>
    Effect.gen(function* () {
      yield* MappingSource.load(ShippedMapping.file, ["simulation"], {})
      yield* MappingSource.load(ShippedMapping.file, ["openai"], { OPENAI_API_KEY: "sk-1" })
      const missing = yield* problemsOf(ShippedMapping.file, ["openai", "runpod", "replicate"])
      for (const name of ["OPENAI_API_KEY", "RUNPOD_API_KEY", "RUNPOD_ENDPOINT_ID", "REPLICATE_API_TOKEN"]) {
        assert.strictEqual(missing.filter((problem) => problem.startsWith(`${name} is not set`)).length, 1, name)
      }
      assert.strictEqual(missing.length, 4)
    })
  )
})

describe("a mapping file", () => {
  it.effect("that is not there, is a folder, or is no JSON, is refused with its name", () =>
    Effect.gen(function* () {
      const folder = yield* folderWith({ "broken.json": "{" })
      assert.deepStrictEqual(yield* problemsOf(join(folder, "none.json")), [
        `${folder}/none.json: there is no such file`
      ])
      assert.deepStrictEqual(yield* problemsOf(folder), [`${folder}: it is a folder`])
      const [problem = ""] = yield* problemsOf(join(folder, "broken.json"))
      assert.include(problem, `${folder}/broken.json: the file is not JSON`)
    })
  )

  it.effect("is refused with all that is wrong, each with its place", () =>
    Effect.gen(function* () {
      const text = mapping("NoConnector", undefined, { ports: [0], build_stage: "gpux" })
      const folder = yield* folderWith({ "mapping.json": text })
      const problems = yield* problemsOf(join(folder, "mapping.json"))
      assert.deepStrictEqual(
        problems.map((problem) => problem.slice(folder.length).split(": ")[1]),
        ["connectors.NoConnector", "services.mine.build_stage", "services.mine.ports[0]"]
      )
    })
  )
})

describe("a connector of one's own", () => {
  it.effect("is imported from the folder of the mapping", () =>
    Effect.gen(function* () {
      const folder = yield* folderWith({
        "mapping.json": mapping("UpperCase", "./UpperCase.mjs"),
        "UpperCase.mjs": own("UpperCase")
      })
      const loaded = yield* MappingSource.load(join(folder, "mapping.json"), ["mine"], {})
      assert.strictEqual(loaded.connectorOf("UpperCase")?.name, "UpperCase")
    })
  )

  it.effect("is not imported by a process that does not run it", () =>
    Effect.gen(function* () {
      const folder = yield* folderWith({ "mapping.json": mapping("UpperCase", "./nowhere.mjs") })
      const loaded = yield* MappingSource.load(join(folder, "mapping.json"), [], {})
      assert.strictEqual(loaded.connectorOf("UpperCase"), undefined)
    })
  )

  it.effect("that is not there, is none, or has another name, is refused", () =>
    Effect.gen(function* () {
      const refusal = Effect.fnUntraced(function* (module: string | undefined) {
        const folder = yield* folderWith({
          "mapping.json": mapping("UpperCase", "./UpperCase.mjs"),
          ...(module === undefined ? {} : { "UpperCase.mjs": module })
        })
        const [problem = ""] = yield* problemsOf(join(folder, "mapping.json"))
        assert.isTrue(problem.startsWith(join(folder, "UpperCase.mjs: ")), problem)
        return problem
      })
      assert.include(yield* refusal(undefined), "cannot be imported")
      assert.include(yield* refusal("export const other = 1"), "exports no `connector`")
      assert.include(yield* refusal('throw new Error("at home")'), "at home")
      assert.include(yield* refusal(own("LowerCase")), "called LowerCase, and the mapping calls it UpperCase")
    })
  )

  it.effect("whose module waits for something for ever is not waited for", () =>
    Effect.gen(function* () {
      const folder = yield* folderWith({
        "mapping.json": mapping("UpperCase", "./UpperCase.mjs"),
        "UpperCase.mjs": `await new Promise(() => {}); ${own("UpperCase")}`
      })
      const loading = yield* Effect.forkChild(problemsOf(join(folder, "mapping.json")))
      while (loading.pollUnsafe() === undefined) {
        yield* TestClock.adjust("10 seconds")
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      assert.match((yield* Fiber.join(loading))[0] ?? "", /UpperCase.mjs: is not imported within 30s/)
    })
  )
})

describe("a worker type", () => {
  it.effect("that the mapping does not have is refused with a guess", () =>
    Effect.gen(function* () {
      const workspace = yield* folderWith({})
      const loaded = yield* MappingSource.load(ShippedMapping.file, ["simulatoin"], {})
      const error = yield* WorkerConnectors.acquire(loaded, "simulatoin", {}).pipe(
        Effect.provide([
          ConnectorLayers.layer({ workspace, assets: { provider: "folder" }, fetchFrom: false }),
          MemoryQuotaBudget.layer
        ]),
        Effect.flip
      )
      assert.include(error.message, "did you mean simulation?")
    })
  )
})
