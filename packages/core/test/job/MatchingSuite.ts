/** Which jobs a claim gives: those whose every clause its capabilities meet, whatever comes first. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { type JobRequest, request } from "@muster/core/job/Job"
import { matches } from "@muster/core/job/Matching"
import type { Requirements } from "@muster/core/job/Requirements"
import type { Capabilities } from "@muster/core/worker/Worker"
import {
  claim,
  claimedBy,
  claimOne,
  idsOf,
  inSeconds,
  jobId,
  jobNow,
  offer,
  on,
  passTicking,
  type QueueLayer,
  submit
} from "./QueueTest.ts"

interface Clause {
  readonly job: Partial<JobRequest>
  readonly fits: ReadonlyArray<Partial<Capabilities>>
  readonly fails: ReadonlyArray<Partial<Capabilities>>
}

const needs = (requirements: Requirements): Partial<JobRequest> => ({ requirements })
const has = (labels: NonNullable<Capabilities["labels"]>): Partial<Capabilities> => ({ labels })

const clauses: Record<string, Clause> = {
  "the job type": { job: { service_required: "a" }, fits: [{ job_types: ["b", "a"] }], fails: [{ job_types: ["b"] }] },
  "hardware, at least": {
    job: needs({ hardware: { gpu_memory_gb: 24, cpu_cores: 4 } }),
    fits: [{ hardware: { gpu_memory_gb: 24, cpu_cores: 4 } }, { hardware: { gpu_memory_gb: 80.5, cpu_cores: 16 } }],
    fails: [{}, { hardware: { gpu_memory_gb: 24 } }, { hardware: { gpu_memory_gb: 23.9, cpu_cores: 64 } }]
  },
  "no hardware at all": { job: needs({ hardware: { gpu_count: 0 } }), fits: [{}], fails: [{ job_types: [] }] },
  "every model": {
    job: needs({ models: ["sdxl", "flux"] }),
    fits: [{ models: ["flux", "other", "sdxl"] }],
    fails: [{}, { models: ["sdxl"] }]
  },
  "a label that is equal, or in a list": {
    job: needs({ labels: { tier: "gold" } }),
    fits: [has({ tier: "gold" }), has({ tier: ["silver", "gold"] })],
    fails: [{}, has({ tier: "silver" }), has({ tier: ["silver"] }), has({ level: "gold" })]
  },
  "a label of the same type": {
    job: needs({ labels: { level: 1 } }),
    fits: [has({ level: 1 })],
    fails: [has({ level: "1" }), has({ level: true })]
  },
  "all of a list": {
    job: needs({ labels: { zone: ["a", "b"] } }),
    fits: [has({ zone: ["b", "c", "a"] })],
    fails: [has({ zone: "a" }), has({ zone: ["a", "c"] })]
  },
  "a range of numbers": {
    job: needs({ labels: { version: { gte: 2, lt: 3 } } }),
    fits: [has({ version: 2 }), has({ version: [1, 2.9] })],
    fails: [{}, has({ version: 3 }), has({ version: "2" })]
  },
  "anything but": {
    job: needs({ labels: { region: { not: "us" } } }),
    fits: [{}, has({ region: "eu" })],
    fails: [has({ region: "us" }), has({ region: ["eu", "us"] })]
  },
  "none that is excluded": {
    job: needs({ exclude: { region: "us", beta: true } }),
    fits: [{}, has({ region: "eu", beta: false })],
    fails: [has({ region: "us" }), has({ beta: true })]
  },
  "customers kept apart": {
    job: { customer_id: "c1", ...needs({ customer_isolation: "strict" }) },
    fits: [{ customers: { isolation: "strict" } }],
    fails: [{}, { customers: { isolation: "loose" } }]
  },
  "a customer the worker allows": {
    job: { customer_id: "c1" },
    fits: [{}, { customers: { allow: [] } }, { customers: { allow: ["c2", "c1"] } }],
    fails: [{ customers: { allow: ["c2"] } }]
  },
  "no customer, where only some are allowed": {
    job: {},
    fits: [{ customers: { deny: ["c1"] } }],
    fails: [{ customers: { allow: ["c1"] } }]
  },
  "no customer the worker denies": {
    job: { customer_id: "c1" },
    fits: [{ customers: { deny: ["c2"] } }],
    fails: [{ customers: { deny: ["c1"] } }, { customers: { allow: ["c1"], deny: ["c1"] } }]
  },
  "the workflow the worker is pinned to": {
    job: { workflow_id: "p1" },
    fits: [{}, { workflow_id: "p1" }],
    fails: [{ workflow_id: "p2" }]
  },
  "no workflow": { job: {}, fits: [{}], fails: [{ workflow_id: "p1" }] },
  "the machine": {
    job: needs({ labels: { machine_id: "m1" } }),
    fits: [has({ machine_id: "m1" })],
    fails: [{}, has({ machine_id: "m2" })]
  },
  "another machine": {
    job: needs({ exclude: { machine_id: "m1" } }),
    fits: [{}, has({ machine_id: "m2" })],
    fails: [has({ machine_id: "m1" })]
  }
}

/** Jobs that differ in all that matters, and workers that do. */
const jobs: ReadonlyArray<Partial<JobRequest>> = [
  ...Object.values(clauses).map(({ job }) => job),
  { customer_id: "c2", workflow_id: "p1" },
  { customer_id: "c3", workflow_id: "p2", ...needs({ models: ["sdxl"] }) },
  { customer_id: "c1", ...needs({ labels: { machine_id: { not: "m2" } } }) }
]
const fleet: ReadonlyArray<Partial<Capabilities>> = [
  ...Object.values(clauses).flatMap(({ fails, fits }) => [...fits, ...fails]),
  {
    hardware: { gpu_memory_gb: 48, cpu_cores: 8 },
    models: ["sdxl", "flux"],
    labels: { tier: "gold", level: 1, zone: ["a", "b"], version: 2.5, machine_id: "m1" },
    customers: { isolation: "strict" }
  }
]

const requestOf = (over: Partial<JobRequest>): JobRequest => request({ service_required: "simulation", ...over })
const matching = (capabilities: Partial<Capabilities>) =>
  jobs.flatMap((job, n) => (matches(requestOf(job), offer(capabilities)) ? [`j${n}`] : []))

const submitAll = Effect.gen(function* () {
  const queue = yield* JobQueue
  yield* queue.submitMany(jobs.map((job, n) => ({ id: jobId(`j${n}`), request: requestOf(job) })))
})

/** All that such a worker is given, which it hands back. */
const offered = (capabilities: Partial<Capabilities>) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const claimed = yield* claim({ limit: 100, capabilities: offer(capabilities) })
    for (const { fence } of claimed) yield* queue.giveBack(fence)
    return idsOf(claimed)
  })

export const matchingSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  for (const [name, { fails, fits, job }] of Object.entries(clauses)) {
    test(
      `a job goes to workers with ${name}`,
      Effect.gen(function* () {
        yield* submit("j", job)
        for (const capabilities of fails) assert.deepStrictEqual(yield* offered(capabilities), [])
        for (const capabilities of fits) assert.deepStrictEqual(yield* offered(capabilities), ["j"])
        for (const capabilities of fails) assert.deepStrictEqual(yield* offered(capabilities), [])
      })
    )
  }

  test(
    "everyMatchingJobClaimable: workers of each kind get all jobs they can run, in order, and no other",
    Effect.gen(function* () {
      yield* submitAll
      for (let round = 0; round < 2; round++) {
        for (const capabilities of fleet) {
          assert.deepStrictEqual(yield* offered(capabilities), matching(capabilities), JSON.stringify(capabilities))
        }
      }
    })
  )

  test(
    "everyMatchingJobClaimable: jobs that come after the workers are as good as those before them",
    Effect.gen(function* () {
      for (const capabilities of fleet) assert.deepStrictEqual(yield* offered(capabilities), [])
      yield* submitAll
      for (const capabilities of fleet.toReversed()) {
        assert.deepStrictEqual(yield* offered(capabilities), matching(capabilities), JSON.stringify(capabilities))
      }
    })
  )

  test(
    "everyMatchingJobClaimable: workers and jobs that come at once find each other",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const [claims] = yield* Effect.all(
        [
          Effect.forEach(
            fleet,
            (capabilities, n) =>
              Effect.map(claim({ worker: `w${n}`, limit: 2, capabilities: offer(capabilities) }), (claimed) => ({
                capabilities,
                claimed
              })),
            { concurrency: "unbounded" }
          ),
          Effect.forEach(jobs, (job, n) => submit(`j${n}`, job), { concurrency: "unbounded" })
        ],
        { concurrency: "unbounded" }
      )
      for (const { capabilities, claimed } of claims) {
        assert.includeMembers([...matching(capabilities)], [...idsOf(claimed)])
        for (const { fence } of claimed) yield* queue.giveBack(fence)
      }
      for (const capabilities of fleet) {
        assert.sameMembers([...(yield* offered(capabilities))], [...matching(capabilities)])
      }
    })
  )

  test(
    "a worker may claim with other capabilities each time",
    Effect.gen(function* () {
      yield* submit("plain")
      yield* submit("model", needs({ models: ["sdxl"] }))
      yield* submit("other", { service_required: "other" })
      assert.deepStrictEqual(yield* offered({ job_types: ["other"] }), ["other"])
      assert.deepStrictEqual(yield* offered({}), ["plain"])
      assert.deepStrictEqual(yield* offered({ models: ["sdxl"] }), ["plain", "model"])
      assert.deepStrictEqual(yield* offered({}), ["plain"])
    })
  )

  test(
    "requirements that say the same in other words are the same",
    Effect.gen(function* () {
      yield* submit("a", needs({ labels: { zone: ["x", "y"], tier: ["gold"] }, models: ["m", "n"] }))
      yield* submit("b", needs({ models: ["n", "m", "n"], labels: { tier: "gold", zone: ["y", "x"] }, exclude: {} }))
      const capabilities = { models: ["n", "m"], ...has({ tier: "gold", zone: ["y", "x"] }) }
      assert.deepStrictEqual(yield* claimedBy(capabilities), ["a", "b"])
    })
  )

  /** Jobs of customer c1 in every state from which they may be given, and one of nobody. */
  const manyWays = Effect.gen(function* () {
    const queue = yield* JobQueue
    for (const id of ["returned", "retried", "delayed", "lost", "by-hand"]) yield* submit(id, { customer_id: "c1" })
    const [returned, retried, delayed, , byHand] = yield* claim({ worker: "first", limit: 5 })
    yield* submit("waiting", { customer_id: "c1" })
    yield* submit("scheduled", { customer_id: "c1", run_at: yield* inSeconds(10) })
    yield* submit("free")
    return Effect.gen(function* () {
      const late = { kind: "Timeout", message: "late" } as const
      yield* queue.giveBack(returned!.fence)
      yield* queue.fail(retried!.fence, late, { delay: Duration.zero, usesRetry: true })
      yield* queue.fail(delayed!.fence, late, { delay: Duration.seconds(10), usesRetry: true })
      yield* queue.fail(byHand!.fence, late, null)
      yield* queue.retry(jobId("by-hand"))
      yield* submit("new", { customer_id: "c1" })
      yield* passTicking("35 seconds")
    })
  })
  const theirs = ["returned", "retried", "delayed", "lost", "by-hand", "waiting", "scheduled", "new"]

  for (const [how, restricted] of Object.entries<Partial<Capabilities>>({
    denies: { customers: { deny: ["c1"] } },
    "does not allow": { customers: { allow: ["c2"] } },
    "is pinned away from": { workflow_id: "p1" }
  })) {
    test(
      `deniedNeverClaimed: a worker that ${how} a customer, since when its jobs waited already, never gets one`,
      Effect.gen(function* () {
        const comeBack = yield* manyWays
        const free = how === "denies" ? ["free"] : []
        assert.deepStrictEqual(yield* claimedBy(restricted, "restricted"), free)
        yield* comeBack
        // Meanwhile the lease of the free job ended too.
        assert.deepStrictEqual(yield* claimedBy(restricted, "restricted"), free)
        for (const id of theirs) assert.strictEqual((yield* jobNow(id)).status, "pending", id)
        const rest = free.length === 0 ? [...theirs, "free"] : theirs
        assert.sameMembers([...(yield* claimedBy({}, "open"))], rest)
      })
    )
  }

  test(
    "deniedNeverClaimed: workers that begin to deny while jobs come and go",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const customers = ["c1", "c2", "c3"]
      const submits = Array.from({ length: 90 }, (_, n) => ({ id: `j${n}`, customer_id: customers[n % 3]! }))
      const claims = Array.from({ length: 60 }, (_, n) => ({ worker: `w${n}`, deny: [customers[n % 3]!] }))
      const [claimed] = yield* Effect.all(
        [
          Effect.forEach(
            claims,
            ({ deny, worker }) =>
              Effect.map(claim({ worker, limit: 1, capabilities: offer({ customers: { deny } }) }), (got) => ({
                deny,
                got
              })),
            { concurrency: "unbounded" }
          ),
          Effect.forEach(submits, ({ customer_id, id }) => submit(id, { customer_id }), { concurrency: "unbounded" })
        ],
        { concurrency: "unbounded" }
      )
      const got = claimed.flatMap(({ deny, got }) => got.map(({ fence, job }) => ({ deny, fence, job })))
      for (const { deny, job } of got) assert.notInclude(deny, job.customer_id)
      for (const { fence } of got) yield* queue.giveBack(fence)
      for (const customer of customers) {
        const expected = submits.filter(({ customer_id }) => customer_id !== customer).map(({ id }) => id)
        assert.sameMembers([...(yield* offered({ customers: { deny: [customer] } }))], expected)
      }
    })
  )

  test(
    "a machine is found by its id, whatever the id is made of",
    Effect.gen(function* () {
      for (const [n, machine_id] of ["a b", "a\nb", "\n", "a%0Ab", "100%", "ü@x", "x|y\0"].entries()) {
        const [on, off] = [`on${n}`, `off${n}`]
        yield* submit(on, needs({ labels: { machine_id } }))
        yield* submit(off, needs({ exclude: { machine_id } }))
        assert.deepStrictEqual(yield* claimedBy(has({ machine_id: "b" })), [off])
        yield* submit(`again-${off}`, needs({ exclude: { machine_id } }))
        assert.deepStrictEqual(yield* claimedBy(has({ machine_id })), [on])
        assert.deepStrictEqual(yield* claimedBy({}), [`again-${off}`])
      }
    })
  )

  test(
    "everyMatchingJobClaimable: what one worker cannot run holds up nothing behind it",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.submitMany(
        Array.from({ length: 300 }, (_, n) => ({
          id: jobId(`ahead${n}`),
          request: requestOf({ priority: 100, ...needs({ labels: { rack: n % 7 } }) })
        }))
      )
      yield* submit("mine", needs({ labels: { rack: 8 } }))
      assert.deepStrictEqual(yield* claimedBy(has({ rack: 8 })), ["mine"])
      assert.strictEqual((yield* claimedBy(has({ rack: [3, 8] }))).length, 43)
      const { job } = yield* Effect.andThen(submit("plain", { priority: 0 }), claimOne("w9"))
      assert.strictEqual(job.id, jobId("plain"))
    })
  )
}
