/** The matching rule, clause by clause, from both sides. */
import { assert, describe, it } from "@effect/vitest"
import { type JobFacts, matches, unmetClauses } from "@muster/core/job/Matching"
import type { LabelCondition, Requirements } from "@muster/core/job/Requirements"
import type { Capabilities } from "@muster/core/worker/Worker"

const job = (requirements: Requirements, over: Partial<JobFacts> = {}): JobFacts => ({
  service_required: "render",
  customer_id: null,
  workflow_id: null,
  ...over,
  requirements
})

const worker = (over: Partial<Capabilities> = {}): Capabilities => ({ job_types: ["render", "upscale"], ...over })

/** What is unmet, and that `matches` says the same. */
const unmet = (facts: JobFacts, capabilities: Capabilities) => {
  const clauses = unmetClauses(facts, capabilities)
  assert.strictEqual(matches(facts, capabilities), clauses.length === 0)
  return clauses
}

const isMet = (facts: JobFacts, capabilities: Capabilities): boolean => unmet(facts, capabilities).length === 0

type Offered = NonNullable<Capabilities["labels"]>[string]

/** Whether the condition holds as a label; as an exclusion it must do so exactly when it does not as a label. */
const holds = (condition: LabelCondition, offered: Offered | undefined, name = "it"): boolean => {
  const labelled = worker(offered === undefined ? {} : { labels: own(name, offered) })
  const required = isMet(job({ labels: own(name, condition) }), labelled)
  const excluded = isMet(job({ exclude: own(name, condition) }), labelled)
  assert.strictEqual(excluded, !required)
  return required
}

/** A record with this one key of its own, whatever it is called. */
const own = <Value>(name: string, value: Value): Record<string, Value> =>
  Object.defineProperty({}, name, { value, enumerable: true, configurable: true, writable: true }) as Record<
    string,
    Value
  >

describe("service_required", () => {
  it("must be among the worker's job types, letter for letter", () => {
    assert.isTrue(isMet(job({}), worker()))
    for (const service_required of ["rende", "renderx", "Render", "constructor", "0"]) {
      assert.deepStrictEqual(unmet(job({}, { service_required }), worker()), [
        { clause: "service_required", required: service_required, offered: ["render", "upscale"] }
      ])
    }
    assert.isFalse(isMet(job({}), { job_types: [] }))
  })
})

describe("hardware", () => {
  const has = { gpu_count: 2, gpu_memory_gb: 24, cpu_cores: 16, ram_gb: 64 }

  it("must be at least as much, each for itself", () => {
    assert.isTrue(isMet(job({ hardware: has }), worker({ hardware: has })))
    for (const resource of ["gpu_count", "gpu_memory_gb", "cpu_cores", "ram_gb"] as const) {
      const least = has[resource] + 1
      assert.isTrue(isMet(job({ hardware: { [resource]: 1 } }), worker({ hardware: has })))
      assert.deepStrictEqual(unmet(job({ hardware: { [resource]: least } }), worker({ hardware: has })), [
        { clause: `hardware.${resource}`, required: least, offered: has[resource] }
      ])
    }
    assert.deepStrictEqual(
      unmet(job({ hardware: { ...has, gpu_count: 3, ram_gb: 65 } }), worker({ hardware: has })).map(
        ({ clause }) => clause
      ),
      ["hardware.gpu_count", "hardware.ram_gb"]
    )
  })

  it("that a worker says nothing of is none", () => {
    const clause = { clause: "hardware.gpu_count", required: 1, offered: null }
    assert.deepStrictEqual(unmet(job({ hardware: { gpu_count: 1 } }), worker()), [clause])
    assert.deepStrictEqual(unmet(job({ hardware: { gpu_count: 1 } }), worker({ hardware: { ram_gb: 8 } })), [clause])
    assert.isTrue(isMet(job({ hardware: { gpu_count: 0 } }), worker()))
    assert.isTrue(isMet(job({ hardware: {} }), worker()))
  })

  it("is offered in whole numbers, rounded down", () => {
    const almost = worker({ hardware: { gpu_memory_gb: 23.99 } })
    assert.isTrue(isMet(job({ hardware: { gpu_memory_gb: 23 } }), almost))
    assert.isTrue(isMet(job({ hardware: { gpu_memory_gb: 22.5 } }), almost))
    assert.isFalse(isMet(job({ hardware: { gpu_memory_gb: 23.5 } }), almost))
    assert.isFalse(isMet(job({ hardware: { gpu_memory_gb: 24 } }), almost))
  })
})

describe("models", () => {
  it("must all be there; the missing ones are named", () => {
    const holding = worker({ models: ["sdxl", "flux"] })
    assert.isTrue(isMet(job({ models: ["flux", "sdxl", "flux"] }), holding))
    assert.isTrue(isMet(job({ models: [] }), worker()))
    assert.deepStrictEqual(unmet(job({ models: ["sdxl", "wan", "Flux"] }), holding), [
      { clause: "models", required: ["wan", "Flux"], offered: ["sdxl", "flux"] }
    ])
    assert.deepStrictEqual(unmet(job({ models: ["sdxl"] }), worker()), [
      { clause: "models", required: ["sdxl"], offered: [] }
    ])
  })
})

describe("labels and exclusions", () => {
  it("with one value: equal, or among the worker's", () => {
    assert.isTrue(holds("gold", "gold"))
    assert.isTrue(holds("gold", ["silver", "gold"]))
    assert.isFalse(holds("gold", "golden"))
    assert.isFalse(holds("gold", ["silver"]))
    assert.isFalse(holds("gold", []))
    assert.isFalse(holds("gold", undefined))
    assert.isTrue(holds("", ""))
    assert.isFalse(holds("", undefined))
  })

  it("compare values with their types", () => {
    for (const [condition, offered] of [
      ["4", 4],
      [4, "4"],
      [true, "true"],
      ["false", false],
      [1, true],
      [0, false],
      [0, ""]
    ] as const) {
      assert.isFalse(holds(condition, offered))
      assert.isFalse(holds(condition, [offered]))
      assert.isFalse(holds([condition], [offered]))
      assert.isTrue(holds({ not: condition }, offered))
    }
    assert.isTrue(holds(0, -0))
    assert.isTrue(holds(false, false))
  })

  it("with several values: the worker has all", () => {
    assert.isTrue(holds(["a", 1], [1, "b", "a"]))
    assert.isFalse(holds(["a", 1], ["a"]))
    assert.isFalse(holds(["a", 1], "a"))
    assert.isTrue(holds(["a"], "a"))
    assert.isTrue(holds(["a", "a"], "a"))
    assert.isFalse(holds(["a"], []))
    assert.isFalse(holds(["a"], undefined))
  })

  it("with a range: a number of the worker's lies in it", () => {
    assert.isTrue(holds({ gte: 3 }, 3))
    assert.isFalse(holds({ gt: 3 }, 3))
    assert.isTrue(holds({ lte: 3 }, 3))
    assert.isFalse(holds({ lt: 3 }, 3))
    assert.isTrue(holds({ gt: 2, lt: 4 }, 3))
    assert.isFalse(holds({ gt: 2, lt: 4 }, 4))
    assert.isTrue(holds({ gte: 2, gt: 2, lte: 4, lt: 5 }, 4))
    assert.isTrue(holds({ gte: -1, lte: 0 }, -0.5))
    assert.isTrue(holds({ gte: 3 }, ["a", 2, 4]))
    // One number has to lie within; two on both sides of it do not.
    assert.isFalse(holds({ gte: 2, lte: 4 }, [1, 5]))
    assert.isFalse(holds({ gte: 3 }, "7"))
    assert.isFalse(holds({ gte: 0 }, true))
    assert.isFalse(holds({ gte: 0 }, []))
    assert.isFalse(holds({ gte: 0 }, undefined))
  })

  it("with `not`: neither equal nor among the worker's, and an absent label passes", () => {
    assert.isTrue(holds({ not: "a" }, "b"))
    assert.isFalse(holds({ not: "a" }, "a"))
    assert.isFalse(holds({ not: "a" }, ["b", "a"]))
    assert.isTrue(holds({ not: "a" }, []))
    assert.isTrue(holds({ not: "a" }, undefined))
  })

  it("see nothing under a name that every object knows", () => {
    for (const name of ["constructor", "toString", "hasOwnProperty", "__proto__", "valueOf"]) {
      assert.isFalse(holds("x", undefined, name), name)
      assert.isFalse(holds({ gte: 0 }, undefined, name), name)
      assert.isTrue(holds({ not: "x" }, undefined, name), name)
      assert.isTrue(holds("x", "x", name), name)
      assert.deepStrictEqual(unmet(job({ labels: own(name, "x") }), worker({ labels: {} })), [
        { clause: `labels.${name}`, required: "x", offered: null }
      ])
    }
  })

  it("are told with both sides", () => {
    const labelled = worker({ labels: { tier: "gold", zone: ["a", "b"], vram: 20 } })
    assert.deepStrictEqual(
      unmet(
        job({
          labels: { tier: "gold", zone: "c", vram: { gte: 24 }, rack: 7 },
          exclude: { tier: ["gold"], zone: { not: "c" }, rack: 7, vram: { lt: 4 } }
        }),
        labelled
      ),
      [
        { clause: "labels.zone", required: "c", offered: ["a", "b"] },
        { clause: "labels.vram", required: { gte: 24 }, offered: 20 },
        { clause: "labels.rack", required: 7, offered: null },
        { clause: "exclude.tier", required: ["gold"], offered: "gold" },
        { clause: "exclude.zone", required: { not: "c" }, offered: ["a", "b"] }
      ]
    )
  })
})

describe("customers", () => {
  const of = (customer_id: string | null, requirements: Requirements = {}) => job(requirements, { customer_id })

  it("that a worker denies never come in, whatever it allows", () => {
    const customers = { allow: ["acme", "globex"], deny: ["acme"] }
    assert.deepStrictEqual(unmet(of("acme"), worker({ customers })), [
      { clause: "customers.deny", required: "acme", offered: ["acme"] }
    ])
    assert.isTrue(isMet(of("globex"), worker({ customers })))
    assert.isTrue(isMet(of("other"), worker({ customers: { deny: ["acme"] } })))
    assert.isTrue(isMet(of(null), worker({ customers: { deny: ["acme"] } })))
  })

  it("are the only ones where a worker names some", () => {
    const customers = { allow: ["acme"] }
    assert.isTrue(isMet(of("acme"), worker({ customers })))
    for (const customer_id of ["globex", "constructor", null]) {
      assert.deepStrictEqual(unmet(of(customer_id), worker({ customers })), [
        { clause: "customers.allow", required: customer_id, offered: ["acme"] }
      ])
    }
    assert.isTrue(isMet(of(null), worker({ customers: { allow: [], deny: [] } })))
  })

  it("that must be kept apart go to strict workers only", () => {
    const strict = { customer_isolation: "strict" } as const
    assert.isTrue(isMet(of("acme", strict), worker({ customers: { isolation: "strict" } })))
    for (const isolation of ["loose", "none"] as const) {
      assert.deepStrictEqual(unmet(of("acme", strict), worker({ customers: { isolation } })), [
        { clause: "customer_isolation", required: "strict", offered: isolation }
      ])
      for (const offered of ["strict", "loose", "none"] as const) {
        assert.isTrue(
          isMet(of("acme", { customer_isolation: isolation }), worker({ customers: { isolation: offered } }))
        )
      }
      assert.isTrue(isMet(of("acme", { customer_isolation: isolation }), worker()))
    }
    assert.deepStrictEqual(unmet(of(null, strict), worker()), [
      { clause: "customer_isolation", required: "strict", offered: null }
    ])
    assert.isTrue(isMet(of("acme"), worker({ customers: { isolation: "strict" } })))
  })
})

describe("a pinned worker", () => {
  it("takes its workflow only", () => {
    const pinned = worker({ workflow_id: "nightly" })
    assert.isTrue(isMet(job({}, { workflow_id: "nightly" }), pinned))
    for (const workflow_id of ["nightly-2", null]) {
      assert.deepStrictEqual(unmet(job({}, { workflow_id }), pinned), [
        { clause: "workflow_id", required: workflow_id, offered: "nightly" }
      ])
    }
    assert.isTrue(isMet(job({}, { workflow_id: "any" }), worker()))
  })
})

describe("all clauses", () => {
  it("are told at once, in the order of the rule", () => {
    const facts = job(
      {
        hardware: { gpu_count: 1 },
        models: ["flux"],
        labels: { tier: "gold" },
        exclude: { spot: true },
        customer_isolation: "strict"
      },
      { service_required: "train", customer_id: "acme", workflow_id: "weekly" }
    )
    const capabilities = worker({
      labels: { spot: true },
      customers: { deny: ["acme"], allow: ["globex"] },
      workflow_id: "nightly"
    })
    assert.deepStrictEqual(
      unmet(facts, capabilities).map(({ clause }) => clause),
      [
        ...["service_required", "hardware.gpu_count", "models", "labels.tier", "exclude.spot", "customer_isolation"],
        ...["customers.deny", "customers.allow", "workflow_id"]
      ]
    )
  })
})
