/** What an operator is told, and that no verdict contradicts the matching rule. */
import { assert, describe, it } from "@effect/vitest"
import type { JobRequest } from "@muster/core/job/Job"
import { matches } from "@muster/core/job/Matching"
import type { Requirements } from "@muster/core/job/Requirements"
import { type Capabilities, WorkerId } from "@muster/core/worker/Worker"
import { Schema } from "effect"
import { explain, job, type Kind, later } from "./explaining.ts"

const hintsFor = (asked: Partial<JobRequest>, ...offers: ReadonlyArray<Partial<Capabilities>>) =>
  explain({ job: job(asked), fleet: offers.map((offer, at): Kind => ({ ids: [`w-${at + 1}`], offer })) }).hints

/** The hint for a worker that accepts the job type and misses one clause. */
const missing = (requirements: Requirements, offer: Partial<Capabilities>, over: Partial<JobRequest> = {}) =>
  hintsFor({ requirements, ...over }, offer).at(-1)

describe("hints about names", () => {
  it("a job type that differs by a slip, with a worker that accepts what may have been meant", () => {
    const fleet: ReadonlyArray<Kind> = [
      { ids: ["w-1"], offer: { job_types: ["openai_text"] } },
      { ids: ["w-7"], offer: { job_types: ["simulationx"] } }
    ]
    const [hint] = explain({ job: job({ service_required: "simulation-x" }), fleet }).hints
    assert.strictEqual(hint, `no worker accepts "simulation-x"; did you mean "simulationx", accepted by worker w-7?`)
    // The trap of a worker that lists its internal service as a job type.
    assert.deepStrictEqual(explain({ job: job({ service_required: "simulation" }), fleet }).hints, [
      `no worker accepts "simulation"; did you mean "simulationx", accepted by worker w-7?`,
      `if "simulation" is right, worker w-7 may list the name of an internal service among its job types: ` +
        "correct its service mapping"
    ])
  })

  it("names a worker of the type that was meant, however far it is otherwise", () => {
    const near = Array.from({ length: 30 }, (_, at): Kind => ({
      ids: [`near-${at}`],
      offer: { job_types: [`z${at}`] }
    }))
    const far: Kind = { ids: ["far"], offer: { job_types: ["rendr"] }, status: "offline" }
    const requirements = { labels: { a: 1 }, models: ["x"] }
    const fleet = [...near.map((kind) => ({ ...kind, offer: { ...kind.offer, labels: { a: 1 }, models: ["x"] } })), far]
    const answer = explain({ job: job({ requirements }), fleet, limit: 5 })
    assert.strictEqual(answer.hints[0], `no worker accepts "render"; did you mean "rendr", accepted by worker far?`)
    assert.lengthOf(answer.workers, 5)
  })

  it("an internal name where a job type belongs", () => {
    const offer = {
      job_types: ["comfyui_remote", "upscale"],
      labels: { worker_type: "comfy-far", connectors: ["ComfyUIRemoteConnector"] }
    }
    assert.deepStrictEqual(hintsFor({ service_required: "comfy-far" }, offer), [
      `no worker accepts "comfy-far": it is the name of a worker type, not of a job type; worker w-1, which has it, ` +
        `accepts "comfyui_remote", "upscale"`
    ])
    assert.include(hintsFor({ service_required: "ComfyUIRemoteConnector" }, offer)[0], "it is the name of a connector")
  })

  it("a job type like no other, and a registry with none", () => {
    assert.deepStrictEqual(hintsFor({ service_required: "paint" }, { job_types: ["chat", "sing"] }), [
      `no worker accepts "paint"; job types that are accepted: "chat", "sing"`
    ])
    assert.deepStrictEqual(hintsFor({}, { job_types: [] }), [
      `no worker accepts "render": those that are registered accept no job type at all`
    ])
    assert.deepStrictEqual(explain({ fleet: [] }).hints, [
      "no worker is registered: start one, or see why none could register"
    ])
  })

  it("a job type that only worker types of the mapping accept: which one to start", () => {
    const start = 'no worker that is registered accepts "render"; start one that does: CONNECTORS=gpu (or gpu-remote)'
    const hints = (...job_types: ReadonlyArray<string>) => {
      const fleet = job_types.length === 0 ? [] : [{ ids: ["w-1"], offer: { job_types } }]
      return explain({ fleet, startable: ["gpu", "gpu-remote"] }).hints
    }
    assert.deepStrictEqual([hints()[0], hints("chat")[0]], [start, start])
    // A worker that lists a name so alike is the likelier mistake, and is told first.
    assert.include(hints("rendering")[0], 'did you mean "rendering", accepted by worker w-1?')
    assert.strictEqual(hints("rendering")[2], start)
  })

  it("models, labels, their values, and customers", () => {
    const offer = { models: ["flux.dev"], labels: { tier: ["gold", "silver"] }, customers: { allow: ["acme"] } }
    const hints = (asked: Partial<JobRequest>) => hintsFor(asked, offer)
    assert.include(
      hints({ requirements: { models: ["flux-dev"] } }),
      `no worker holds model "flux-dev"; did you mean "flux.dev"?`
    )
    assert.include(
      hints({ requirements: { labels: { teir: "gold" } } }),
      'no worker has a label teir; did you mean "tier"?'
    )
    assert.include(
      hints({ requirements: { labels: { tier: "golden" } } }),
      `no worker has label tier "golden"; did you mean "gold"?`
    )
    assert.include(hints({ customer_id: "acme-" }), `no worker names customer "acme-"; did you mean "acme"?`)
    assert.include(hints({ requirements: { models: ["wan"] } }), `no worker holds model "wan"`)
  })
})

describe("hints about what the nearest misses", () => {
  it("each clause in words", () => {
    for (const [requirements, offer, words] of [
      [{ hardware: { gpu_count: 2 } }, { hardware: { gpu_count: 1 } }, "misses 1 GPU (it has 1, the job asks for 2)"],
      [{ hardware: { gpu_count: 4 } }, {}, "misses 4 GPUs (it has 0, the job asks for 4)"],
      [
        { hardware: { ram_gb: 7.5 } },
        { hardware: { ram_gb: 7 } },
        "misses 0.5 GB of RAM (it has 7, the job asks for 7.5)"
      ],
      [
        { hardware: { cpu_cores: 3 } },
        { hardware: { cpu_cores: 2 } },
        "misses 1 CPU core (it has 2, the job asks for 3)"
      ],
      [{ models: ["a", "b"] }, { models: ["b"] }, `does not hold model "a"`],
      [{ labels: { tier: "gold" } }, {}, `has no label tier (the job asks for "gold")`],
      [
        { labels: { cuda: { gte: 12, lt: 13 } } },
        { labels: { cuda: 11 } },
        "has label cuda 11 (the job asks for >= 12 and < 13)"
      ],
      [
        { labels: { zone: ["a", "b"] } },
        { labels: { zone: "a" } },
        `has label zone "a" (the job asks for all of "a", "b")`
      ],
      [
        { labels: { zone: { not: "a" } } },
        { labels: { zone: "a" } },
        `has label zone "a" (the job asks for anything but "a")`
      ],
      [{ exclude: { spot: true } }, { labels: { spot: true } }, "has label spot true, which the job excludes"],
      [
        { customer_isolation: "strict" },
        { customers: { isolation: "loose" } },
        "does not keep customers apart strictly"
      ]
    ] as ReadonlyArray<readonly [Requirements, Partial<Capabilities>, string]>) {
      assert.strictEqual(missing(requirements, offer), `worker w-1 ${words}`)
    }
    assert.strictEqual(
      missing({}, { customers: { deny: ["acme"] } }, { customer_id: "acme" }),
      `worker w-1 refuses jobs of customer "acme"`
    )
    assert.strictEqual(
      missing({}, { customers: { allow: ["a", "b"] } }, { customer_id: "c" }),
      `worker w-1 takes jobs of customers "a", "b" only (the job is of "c")`
    )
    assert.strictEqual(
      missing({}, { customers: { allow: ["a"] } }),
      `worker w-1 takes jobs of customer "a" only (the job names no customer)`
    )
    assert.strictEqual(missing({}, { workflow_id: "w" }), `worker w-1 takes jobs of workflow "w" only`)
  })

  it("the nearest by clauses, then by how much is missing, and not more than a few", () => {
    const memory = (gb: number) => ({ hardware: { gpu_memory_gb: gb } })
    const hints = hintsFor(
      { requirements: { ...memory(24), models: ["flux"] } },
      { ...memory(8), models: ["flux"] },
      { ...memory(23) },
      { ...memory(20), models: ["flux"] },
      { ...memory(24) },
      { ...memory(1) }
    )
    assert.deepStrictEqual(
      hints.map((hint) => hint.split(" ")[1]),
      ["w-3", "w-4", "w-1"]
    )
  })
})

const Few = <S extends Schema.Constraint>(value: S) => Schema.Array(value).check(Schema.isMaxLength(2))
const Type = Schema.Literals(["render", "rendr", "chat"])
const Fleet = Schema.Array(
  Schema.Struct({
    types: Few(Type),
    gpu_memory_gb: Schema.Literals([0, 8, 24]),
    models: Few(Schema.Literals(["flux", "sdxl"])),
    tier: Schema.Literals(["gold", "silver"]),
    status: Schema.Literals(["pending", "active", "offline", "gone"]),
    standing: Schema.Literals(["open", "paused", "draining"]),
    unhealthy: Few(Type),
    workers: Schema.Literals([1, 2, 7]),
    holds: Schema.Literals([0, 1])
  })
).check(Schema.isMaxLength(6))
const Asked = Schema.Struct({
  gpu_memory_gb: Schema.Literals([0, 8, 24]),
  models: Few(Schema.Literals(["flux", "sdxl"])),
  tier: Schema.Literals(["gold", "silver", "any"]),
  avoids: Schema.Boolean
})

describe("verdicts", () => {
  it.prop(
    "say of each fleet what the matching rule says",
    { fleet: Fleet, asked: Asked },
    ({ asked, fleet }) => {
      const { avoids, gpu_memory_gb, models, tier } = asked
      const requirements = { hardware: { gpu_memory_gb }, models, ...(tier === "any" ? {} : { labels: { tier } }) }
      const kinds = fleet.map((one, at): Kind => ({
        ids: Array.from({ length: one.workers }, (_, n) => `w-${at}-${n}`),
        offer: {
          job_types: one.types,
          hardware: { gpu_memory_gb: one.gpu_memory_gb },
          models: one.models,
          labels: { tier: one.tier }
        },
        status: one.status,
        standing: one.status === "gone" ? "open" : one.standing,
        unhealthy: one.status === "gone" ? [] : one.unhealthy,
        holds: one.holds
      }))
      const facts = { service_required: "render", requirements, customer_id: null, workflow_id: null }
      const offers = (kind: Kind) => matches(facts, { job_types: [], ...kind.offer })
      const matching = kinds.filter(offers)
      const living = matching.filter(({ status }) => status === "active" || status === "pending")
      const free = living
        .filter(
          ({ holds, standing, unhealthy }) =>
            standing === "open" && unhealthy?.includes("render") !== true && holds === 0
        )
        .flatMap(({ ids }) => ids)
      const avoided = avoids ? (free[0] ?? null) : null
      const others = free.filter((id) => id !== avoided)
      const alone = free.length > 0 && living.flatMap(({ ids }) => ids).length === 1
      const expected =
        others.length > 0
          ? "next"
          : alone
            ? "later"
            : living.length > 0
              ? "busy"
              : matching.length > 0
                ? "offline"
                : "impossible"
      const place = { avoids: avoided === null ? null : WorkerId.make(avoided) }
      const answer = explain({ job: job({ requirements }), place, fleet: kinds, limit: 1_000 })
      assert.strictEqual(answer.verdict, expected)
      assert.strictEqual(answer.workers.length + answer.workers_left_out, kinds.flatMap(({ ids }) => ids).length)
      for (const { unmet, worker_id } of answer.workers) {
        const kind = kinds.find(({ ids }) => ids.includes(worker_id))!
        const missed = unmet.filter(({ clause }) => clause !== "connector_unhealthy")
        assert.strictEqual(missed.length === 0, offers(kind), worker_id)
      }
      const sum = Object.values(answer.matching!).reduce((total, count) => total + count, 0)
      assert.strictEqual(sum, matching.flatMap(({ ids }) => ids).length)
      // Whatever the verdict: the same job at its time, and not before.
      const due_at = later(60)
      const scheduled = explain({
        job: job({ requirements }, { status: "scheduled" }),
        place: { due_at },
        fleet: kinds
      })
      assert.strictEqual(scheduled.verdict, "later")
    },
    { arbitrary: { runs: 2_000 } }
  )
})
