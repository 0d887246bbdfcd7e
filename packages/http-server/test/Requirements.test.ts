/** What jobs may ask for, and what of it is refused: by its path, with one sentence, and with nothing stored. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { expectProblem, pathsOf } from "./problems.ts"
import { ask, register, server, submit } from "./TestServer.ts"

const everything = Effect.map(ask("GET", "/jobs?limit=1000"), ({ json }) => json.jobs.length as number)

/** Runs `refusals`, and asserts that nothing was stored and that the server still takes what is right. */
const storesNothing = <E, R>(refusals: Effect.Effect<void, E, R>) =>
  Effect.gen(function* () {
    const before = yield* everything
    yield* refusals
    assert.strictEqual(yield* everything, before)
    assert.isString(yield* submit())
  })

/** The issues of a job that asks for this. */
const refused = Effect.fnUntraced(function* (requirements: unknown) {
  const body = JSON.stringify({ service_required: "simulation", requirements })
  const answer = yield* ask("POST", "/jobs", { raw: body })
  return expectProblem(answer, 400, "InvalidRequest").errors as ReadonlyArray<{
    readonly path: string
    readonly message: string
  }>
})

const formless = `Expected a value, a list of values, a range such as {"gte": 24}, or {"not": value}`

/** As `JSON.parse` makes it: with a key of its own that is called as every object's prototype is. */
const withPrototypeName = (value: string): unknown => JSON.parse(`{"__proto__": ${value}}`)

const deep = (levels: number): unknown => JSON.parse(`${'{"not":'.repeat(levels)}1${"}".repeat(levels)}`)

layer(server())("requirements", (it) => {
  it.effect("of no known kind are refused by their names", () =>
    storesNothing(
      Effect.gen(function* () {
        const issues = yield* refused({
          hardware: { gpus: 1, gpu_count: "4", gpu_memory_gb: null, cpu_cores: -1, ram_gb: 1e7 },
          models: ["", 4, null, "m".repeat(257)],
          labels: { tier: null },
          exclude: "spot",
          customer_isolation: "very",
          gpu_memory_gb: 24
        })
        assert.deepStrictEqual(
          issues.map(({ path }) => path).toSorted(),
          [
            ...["customer_isolation", "exclude", "gpu_memory_gb", "hardware.cpu_cores", "hardware.gpu_count"],
            ...["hardware.gpu_memory_gb", "hardware.gpus", "hardware.ram_gb", "labels.tier", "models[0]", "models[1]"],
            ...["models[2]", "models[3]"]
          ].map((path) => `requirements.${path}`)
        )
      })
    )
  )

  it.effect("of another shape are refused as a whole", () =>
    storesNothing(
      Effect.gen(function* () {
        for (const shape of [null, [], "gpu", 4, true]) {
          assert.deepStrictEqual(yield* refused(shape), [{ path: "requirements", message: "Expected object" }])
        }
        for (const clause of ["hardware", "models", "labels", "exclude", "customer_isolation"]) {
          for (const shape of [null, 4, [[]]]) {
            const [issue, ...others] = yield* refused({ [clause]: shape })
            assert.lengthOf(others, 0)
            assert.match(issue?.path ?? "", new RegExp(`^requirements\\.${clause}(\\[0\\])?$`))
          }
        }
      })
    )
  )

  it.effect("with a label condition of no form are told once, where it stands", () =>
    storesNothing(
      Effect.gen(function* () {
        const none: ReadonlyArray<unknown> = [
          ...[null, { near: 3 }, { gte: 1, near: 3 }, { not: 1, gte: 1 }, { eq: "a" }, { "": 1 }],
          ...[{ GTE: 4 }, withPrototypeName("4"), { constructor: 1 }]
        ]
        for (const condition of none) {
          for (const clause of ["labels", "exclude"]) {
            assert.deepStrictEqual(yield* refused({ [clause]: { tier: condition } }), [
              { path: `requirements.${clause}.tier`, message: formless }
            ])
          }
        }
      })
    )
  )

  it.effect("with a label condition that is nearly one say what is wrong with it", () =>
    storesNothing(
      Effect.gen(function* () {
        const nearly: ReadonlyArray<readonly [condition: unknown, at: string, message: RegExp]> = [
          [{ gte: "24" }, ".gte", /^Expected number$/],
          [{ gte: null, lt: 80 }, ".gte", /^Expected number$/],
          [{ not: null }, ".not", /string \| number \| boolean/],
          [{ not: ["a"] }, ".not", /string \| number \| boolean/],
          [deep(200), ".not", /string \| number \| boolean/],
          [{}, "", /at least one of gte, gt, lte and lt/],
          [{ gte: 5, lt: 5 }, "", /a range that some number lies in/],
          [{ gt: 5, lte: 4 }, "", /a range that some number lies in/],
          [{ gt: 5, lt: 5 }, "", /a range that some number lies in/],
          [[], "", /at least 1/],
          [["a", null], "[1]", /string \| number \| boolean/],
          [["a", ["b"]], "[1]", /string \| number \| boolean/],
          [Array.from({ length: 101 }, (_, n) => n), "", /at most 100 values/],
          ["v".repeat(257), "", /at most 256/]
        ]
        for (const [condition, at, message] of nearly) {
          const [issue, ...others] = yield* refused({ labels: { tier: condition } })
          assert.deepStrictEqual(others, [])
          assert.strictEqual(issue?.path, `requirements.labels.tier${at}`)
          assert.match(issue?.message ?? "", message)
        }
      })
    )
  )

  it.effect("with a label that is no name are refused by it", () =>
    storesNothing(
      Effect.gen(function* () {
        const names = ["", " ", "a b", "-a", "ü", "a\u0000", "k".repeat(129), "k".repeat(100_000)]
        for (const name of names) {
          const [issue, ...others] = yield* refused({ labels: { [name]: 1 } })
          assert.deepStrictEqual(others, [])
          assert.strictEqual(
            issue?.path,
            `requirements.labels[${JSON.stringify(name.slice(0, 128))}]`.replace(/\["(k+)"\]$/, ".$1")
          )
          assert.match(issue?.message ?? "", /^Expected a name: letters, digits/)
        }
        const [prototype] = yield* refused({ labels: withPrototypeName('"x"') })
        assert.deepInclude(prototype, { path: "requirements.labels.__proto__" })
      })
    )
  )

  it.effect("beyond their bounds are refused, however many they are", () =>
    storesNothing(
      Effect.gen(function* () {
        const labels = (count: number, value: unknown) =>
          Object.fromEntries(Array.from({ length: count }, (_, n) => [`label-${n}`, value]))
        assert.deepStrictEqual(yield* refused({ labels: labels(10_000, 1) }), [
          { path: "requirements.labels", message: "Expected at most 100 labels" }
        ])
        assert.deepStrictEqual(yield* refused({ exclude: labels(101, 1) }), [
          { path: "requirements.exclude", message: "Expected at most 100 labels" }
        ])
        assert.lengthOf(yield* refused({ labels: labels(10_000, null) }), 100)
        const models = Array.from({ length: 101 }, (_, n) => `model-${n}`)
        assert.deepStrictEqual(yield* refused({ models }), [
          { path: "requirements.models", message: "Expected at most 100 models" }
        ])
        const long = Array.from({ length: 100 }, (_, n) => `${n}-${"m".repeat(200)}`)
        assert.deepStrictEqual(yield* refused({ models: long }), [
          { path: "requirements", message: "Expected at most 16384 characters of JSON" }
        ])
      })
    )
  )

  it.effect("nested without end are refused", () =>
    storesNothing(
      Effect.gen(function* () {
        for (const levels of [1_000, 100_000]) {
          const nested = `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`
          for (const requirements of [nested, `{"labels":${nested}}`, `{"labels":{"a":{"not":${nested}}}}`]) {
            const raw = `{"service_required":"simulation","requirements":${requirements}}`
            const problem = expectProblem(yield* ask("POST", "/jobs", { raw }), 400, "InvalidRequest")
            assert.match(problem.errors[0].path, /^requirements/)
          }
        }
      })
    )
  )

  it.effect("that ask for nothing are as good as none", () =>
    Effect.gen(function* () {
      for (const requirements of [{}, { labels: {} }, { models: [], hardware: {}, customer_isolation: "none" }]) {
        const answer = yield* ask("POST", "/jobs", { body: { service_required: "simulation", requirements } })
        assert.strictEqual(answer.status, 201)
        assert.deepStrictEqual(answer.json.job.requirements, requirements)
      }
      const id = yield* submit({ requirements: {} })
      const again = yield* ask("POST", "/jobs", { body: { id, service_required: "simulation" } })
      assert.strictEqual(again.status, 200)
    })
  )

  it.effect("at their bounds are taken", () =>
    Effect.gen(function* () {
      const requirements = {
        models: Array.from({ length: 100 }, (_, n) => `model-${n}`),
        labels: Object.fromEntries(
          Array.from({ length: 100 }, (_, n) => [
            `${n}${"k".repeat(n)}`,
            n > 0 ? n : Array.from({ length: 100 }, String)
          ])
        ),
        exclude: { constructor: { not: "" }, hasOwnProperty: [true, "true", 1], toString: { gt: -1e300, lt: 1e300 } }
      }
      const id = yield* submit({ requirements })
      assert.deepStrictEqual((yield* ask("GET", `/jobs/${id}`)).json.job.requirements, requirements)
    })
  )
})

layer(server())("jobs of a batch", (it) => {
  it.effect("are all refused with the index of each that is wrong", () =>
    storesNothing(
      Effect.gen(function* () {
        const good = { service_required: "simulation" }
        const jobs = [
          { ...good, id: "good" },
          { ...good, priority: 101 },
          { ...good, requirements: { labels: { tier: { near: 3 } } } },
          { ...good, requirements: { hardware: { gpu_count: "2" } } },
          { ...good, run_at: "2026-02-30T00:00:00Z" },
          null
        ]
        const problem = expectProblem(yield* ask("POST", "/jobs/batch", { body: { jobs } }), 400, "InvalidRequest")
        assert.deepStrictEqual(pathsOf(problem), [
          ...["jobs[1].priority", "jobs[2].requirements.labels.tier", "jobs[3].requirements.hardware.gpu_count"],
          ...["jobs[4].run_at", "jobs[5]"]
        ])
        expectProblem(yield* ask("GET", "/jobs/good"), 404, "JobNotFound")
      })
    )
  )

  it.effect("are refused when they are too many or none", () =>
    storesNothing(
      Effect.gen(function* () {
        const job = { service_required: "simulation" }
        for (const jobs of [[], Array.from({ length: 1_001 }, () => job), null, {}, "jobs"]) {
          const problem = expectProblem(yield* ask("POST", "/jobs/batch", { body: { jobs } }), 400, "InvalidRequest")
          assert.deepStrictEqual(pathsOf(problem), ["jobs"])
        }
        const wrong = Array.from({ length: 20_000 }, () => ({}))
        const problem = expectProblem(
          yield* ask("POST", "/jobs/batch", { body: { jobs: wrong } }),
          400,
          "InvalidRequest"
        )
        assert.lengthOf(problem.errors, 100)
        const pad = "x".repeat(1_100)
        const large = Array.from({ length: 1_000 }, () => ({ ...job, payload: pad }))
        expectProblem(yield* ask("POST", "/jobs/batch", { body: { jobs: large } }), 413, "PayloadTooLarge")
        expectProblem(yield* ask("POST", "/jobs/batch", { body: { jobs: [job], more: 1 } }), 400, "InvalidRequest")
      })
    )
  )
})

layer(server())("other fields of a job", (it) => {
  it.effect("outside their bounds are refused by name", () =>
    storesNothing(
      Effect.gen(function* () {
        const wrong: Readonly<Record<string, ReadonlyArray<unknown>>> = {
          priority: [-1, 101, 1.5, "50", null, 1e308, true, [50]],
          workflow_priority: [-1, 101, 0.5, "0", null],
          max_retries: [-1, 101, "3", null],
          timeout_ms: [0, -5, 1.5, "1s", 604_800_001, null],
          run_at: ["", "now", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", 1_700_000_000_000, null, "🕐", {}],
          expires_at: ["tomorrow", 5, null, "0000"],
          workflow_datetime: ["yesterday", 5, null, "+999999-01-01T00:00:00Z"],
          if_unmatchable: ["perhaps", null, 1],
          customer_id: ["", "a b", null, 5],
          workflow_id: ["", "a/b", null],
          metadata: [null, [], "text", 4]
        }
        for (const [field, values] of Object.entries(wrong)) {
          for (const value of values) {
            const body = { service_required: "simulation", [field]: value }
            const problem = expectProblem(yield* ask("POST", "/jobs", { body }), 400, "InvalidRequest")
            assert.deepStrictEqual([...new Set(pathsOf(problem))], [field], JSON.stringify(value))
          }
        }
      })
    )
  )
})

layer(server())("jobs with requirements", (it) => {
  it.effect("count the workers that meet them, and are refused where none could", () =>
    Effect.gen(function* () {
      yield* register("small", { capabilities: { job_types: ["simulation"], hardware: { gpu_memory_gb: 8 } } })
      yield* register("large", {
        capabilities: { job_types: ["simulation"], hardware: { gpu_memory_gb: 48 }, labels: { tier: "gold" } }
      })
      const matching = (requirements: unknown) =>
        Effect.map(
          ask("POST", "/jobs", { body: { service_required: "simulation", requirements } }),
          ({ json }) => json.matching.registered
        )
      assert.strictEqual(yield* matching({}), 2)
      assert.strictEqual(yield* matching({ hardware: { gpu_memory_gb: 24 } }), 1)
      assert.strictEqual(yield* matching({ labels: { tier: "gold" } }), 1)
      assert.strictEqual(yield* matching({ exclude: { tier: "gold" } }), 1)
      assert.strictEqual(yield* matching({ labels: { region: "eu", machine_type: "gpu" } }), 2)
      assert.strictEqual(yield* matching({ hardware: { gpu_memory_gb: 80 } }), 0)
      const reject = { service_required: "simulation", if_unmatchable: "reject" }
      const never = { ...reject, requirements: { hardware: { gpu_memory_gb: 80 } } }
      expectProblem(yield* ask("POST", "/jobs", { body: never }), 409, "NotMatchable")
      expectProblem(yield* ask("POST", "/jobs/batch", { body: { jobs: [reject, never] } }), 409, "NotMatchable")
      const now = { ...reject, requirements: { hardware: { gpu_memory_gb: 40 } } }
      assert.strictEqual((yield* ask("POST", "/jobs", { body: now })).status, 201)
    })
  )
})
