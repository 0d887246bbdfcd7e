/** The contract of the registry port about who could run a job, for any layer of it. */
import { assert, it } from "@effect/vitest"
import type { JobFacts } from "@muster/core/job/Matching"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { type Capabilities, WorkerId } from "@muster/core/worker/Worker"
import { Duration, Effect } from "effect"
import { emptied, facts, type RegistryUnderTest, worker } from "./registryFixtures.ts"

const id = WorkerId.make("worker-1")
const unless = { aliveWithin: Duration.seconds(60), gone: null }

type Offer = Omit<Capabilities, "job_types">

/** One clause of the matching rule at a time: what a job says, and what workers offer that match it or do not. */
const clauses: ReadonlyArray<
  readonly [
    clause: string,
    job: Partial<JobFacts>,
    offers: { readonly match: ReadonlyArray<Offer>; readonly not: ReadonlyArray<Offer> }
  ]
> = [
  [
    "hardware",
    { requirements: { hardware: { gpu_count: 2, gpu_memory_gb: 24 } } },
    {
      match: [{ hardware: { gpu_count: 2, gpu_memory_gb: 24 } }, { hardware: { gpu_count: 8, gpu_memory_gb: 80 } }],
      not: [{ hardware: { gpu_count: 2, gpu_memory_gb: 23 } }, { hardware: { gpu_memory_gb: 80 } }, {}]
    }
  ],
  [
    "models",
    { requirements: { models: ["sdxl", "flux"] } },
    { match: [{ models: ["flux", "other", "sdxl"] }], not: [{ models: ["sdxl"] }, {}] }
  ],
  [
    "labels",
    { requirements: { labels: { tier: "gold", "cuda:x": { gte: 12, lt: 13 }, zone: { not: "a" } } } },
    {
      match: [
        { labels: { tier: ["silver", "gold"], "cuda:x": 12.4 } },
        { labels: { tier: "gold", "cuda:x": 12, zone: "b" } }
      ],
      not: [{ labels: { tier: "gold", "cuda:x": 13 } }, { labels: { tier: "gold", "cuda:x": 12, zone: "a" } }, {}]
    }
  ],
  [
    "exclude",
    { requirements: { exclude: { tier: "spot" } } },
    { match: [{}, { labels: { tier: "gold" } }], not: [{ labels: { tier: ["gold", "spot"] } }] }
  ],
  [
    "customer isolation",
    { requirements: { customer_isolation: "strict" } },
    { match: [{ customers: { isolation: "strict" } }], not: [{ customers: { isolation: "loose" } }, {}] }
  ],
  [
    "customers, for a job of one",
    { customer_id: "acme" },
    {
      match: [{}, { customers: { allow: ["acme", "other"] } }, { customers: { deny: ["other"] } }],
      not: [{ customers: { deny: ["acme"] } }, { customers: { allow: ["other"] } }]
    }
  ],
  [
    "customers, for a job of nobody",
    {},
    { match: [{}, { customers: { deny: ["acme"] } }], not: [{ customers: { allow: ["acme"] } }] }
  ],
  [
    "customers, for a job of a customer whom nobody names",
    { customer_id: "stranger" },
    { match: [{}, { customers: { deny: ["acme"] } }], not: [{ customers: { allow: ["acme"] } }] }
  ],
  [
    "the pinned workflow",
    { workflow_id: "w-1" },
    { match: [{}, { workflow_id: "w-1" }], not: [{ workflow_id: "w-2" }] }
  ],
  [
    "the machine it must be on",
    { requirements: { labels: { machine_id: "m-1" } } },
    {
      match: [{ labels: { machine_id: "m-1" } }, { labels: { machine_id: "m-1", tier: "gold" } }],
      not: [{ labels: { machine_id: "m-2" } }, { labels: { machine_id: "m-\u0000" } }, {}]
    }
  ],
  [
    "the machine it must not be on",
    { requirements: { exclude: { machine_id: "m-1" } } },
    {
      match: [{ labels: { machine_id: "m-2" } }, {}, { labels: { machine_id: ["m-2", "m-3"] } }],
      not: [{ labels: { machine_id: "m-1" } }, { labels: { machine_id: ["m-1", "m-3"] } }]
    }
  ],
  [
    "machines and more",
    { requirements: { labels: { machine_id: { not: "m-1" }, tier: "gold" } } },
    {
      match: [{ labels: { machine_id: "m-2", tier: "gold" } }, { labels: { machine_id: "m-3", tier: "gold" } }],
      not: [{ labels: { machine_id: "m-1", tier: "gold" } }, { labels: { machine_id: "m-2" } }]
    }
  ]
]

export const suite = <R, E>(name: string, { layer, passTime }: RegistryUnderTest<R, E>) =>
  it.layer(layer, { timeout: "2 minutes" })(`Who could run a job (${name})`, (it) => {
    const scenario = <A, E2>(what: string, body: Effect.Effect<A, E2, WorkerRepository | HeartbeatStore | R>) =>
      it.effect(what, () => Effect.andThen(emptied, body))

    // The counts may be a second old, except that nobody matches.
    scenario(
      "counts who matches a job, as workers come, change and go",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const accepting = (type: string) => workers.accepting(facts(type))
        const none = { active: 0, registered: 0 }
        assert.deepStrictEqual(yield* accepting("rare"), none)
        assert.isFalse(yield* workers.acceptsType("rare"))
        yield* workers.insert(worker("worker-1", { capabilities: { job_types: ["common", "rare"] } }))
        assert.deepStrictEqual(yield* accepting("rare"), { active: 0, registered: 1 })
        yield* workers.insert(worker("worker-2", { capabilities: { job_types: ["common"] } }))
        yield* workers.insert(worker("worker-3", { capabilities: { job_types: [] } }))
        yield* workers.move(id, "pending", "active")
        yield* passTime("2 seconds")
        assert.deepStrictEqual(yield* accepting("rare"), { active: 1, registered: 1 })
        assert.deepStrictEqual(yield* accepting("common"), { active: 1, registered: 2 })
        assert.deepStrictEqual(yield* accepting("comm"), none)
        assert.deepStrictEqual(yield* accepting("__proto__"), none)
        assert.isTrue(yield* workers.acceptsType("rare"))
        yield* workers.replace(worker("worker-1", { capabilities: { job_types: ["other"] } }), unless)
        yield* workers.move(id, "active", "offline")
        yield* passTime("2 seconds")
        assert.deepStrictEqual(yield* accepting("rare"), none)
        assert.isFalse(yield* workers.acceptsType("rare"))
        assert.deepStrictEqual(yield* accepting("other"), { active: 0, registered: 1 })
        yield* workers.setStanding(id, "paused")
        assert.deepStrictEqual(yield* accepting("other"), { active: 0, registered: 1 })
        yield* workers.remove(id)
        yield* passTime("2 seconds")
        assert.deepStrictEqual(yield* accepting("other"), none)
      })
    )

    for (const [clause, job, offers] of clauses) {
      scenario(
        `counts by ${clause}`,
        Effect.gen(function* () {
          const workers = yield* WorkerRepository
          const all = [...offers.match, ...offers.not]
          yield* Effect.forEach(all, (offer, at) =>
            workers.insert(worker(`worker-${at}`, { capabilities: { job_types: ["render"], ...offer } }))
          )
          yield* passTime("2 seconds")
          const asked = facts("render", job)
          assert.deepStrictEqual(yield* workers.accepting(asked), { active: 0, registered: offers.match.length })
          // Asked again, what was settled is counted.
          yield* workers.move(WorkerId.make("worker-0"), "pending", "active")
          yield* passTime("2 seconds")
          assert.deepStrictEqual(yield* workers.accepting(asked), { active: 1, registered: offers.match.length })
          yield* Effect.forEach(offers.match, (_, at) => workers.remove(WorkerId.make(`worker-${at}`)))
          yield* passTime("2 seconds")
          assert.deepStrictEqual(yield* workers.accepting(asked), { active: 0, registered: 0 })
        })
      )
    }

    scenario(
      "never overlooks a worker that was registered before, however many ask at once",
      Effect.gen(function* () {
        const workers = yield* WorkerRepository
        for (let round = 0; round < 20; round++) {
          const type = `type-${round}`
          const asked = Effect.replicateEffect(workers.accepting(facts(type)), 5, { concurrency: "unbounded" })
          const registers = Effect.andThen(
            workers.insert(worker(`worker-${round}`, { capabilities: { job_types: [type] } })),
            asked
          )
          const [counts] = yield* Effect.all([registers, asked, asked], { concurrency: "unbounded" })
          for (const { registered } of counts) assert.strictEqual(registered, 1)
        }
      })
    )
  })
