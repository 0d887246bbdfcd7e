/** Counting by kinds against the rule itself, asked of each worker. */
import { assert, describe, it } from "@effect/vitest"
import { type JobFacts, matches } from "@muster/core/job/Matching"
import { machinesNamed } from "@muster/core/job/RequirementClass"
import type { Capabilities } from "@muster/core/worker/Worker"
import * as CapabilityKey from "@muster/db/postgres/CapabilityKey"
import * as KindCounts from "@muster/db/postgres/KindCounts"
import { facts } from "../../../core/test/worker/registryFixtures.ts"

interface Worker {
  readonly capabilities: Capabilities
  readonly active: boolean
}

/** The counts that the database would give. */
const counted = (workers: ReadonlyArray<Worker>, machines: ReadonlyArray<string> | null) => {
  const named = new Set(machines?.map(CapabilityKey.keyOfMachine))
  const rows = new Map<string, KindCounts.LocatedCount>()
  for (const { active, capabilities } of workers) {
    const { capability_key, machine_key: at } = CapabilityKey.keysOf(capabilities)
    const machine_key = at !== null && named.has(at) ? at : null
    const before = rows.get(`${capability_key} ${machine_key}`) ?? { active: 0, registered: 0 }
    rows.set(`${capability_key} ${machine_key}`, {
      capability_key,
      machine_key,
      active: before.active + (active ? 1 : 0),
      registered: before.registered + 1
    })
  }
  return [...rows.values()]
}

const offersOf = (workers: ReadonlyArray<Worker>) =>
  new Map(
    workers.map(({ capabilities }) => [
      CapabilityKey.keysOf(capabilities).capability_key,
      CapabilityKey.offerOf(capabilities)
    ])
  )

const byRule = (workers: ReadonlyArray<Worker>, job: JobFacts) => {
  const matching = workers.filter(({ capabilities }) => matches(job, capabilities))
  return { active: matching.filter(({ active }) => active).length, registered: matching.length }
}

/** Numbers that look random and are the same each time. */
const dice = (seed: number) => {
  let state = seed
  return (sides: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >> 8) % sides
  }
}

const randomWorker = (roll: (sides: number) => number): Worker => {
  const machine = [undefined, "m-1", "m-2", "m-3", ["m-1", "m-2"]][roll(5)]
  const customers = [undefined, { allow: ["acme"] }, { deny: ["acme", "zeus"] }, { isolation: "strict" as const }][
    roll(4)
  ]
  return {
    active: roll(2) === 0,
    capabilities: {
      job_types: roll(2) === 0 ? ["a", "b"] : ["b"],
      hardware: { gpu_count: roll(3) },
      ...(roll(2) === 0 ? {} : { models: ["x", "y"].slice(roll(2)) }),
      labels: { tier: roll(3), ...(machine === undefined ? {} : { machine_id: machine }) },
      ...(customers === undefined ? {} : { customers }),
      ...(roll(4) === 0 ? { workflow_id: "w-1" } : {})
    }
  }
}

const randomFacts = (roll: (sides: number) => number): JobFacts =>
  facts(["a", "b", "c"][roll(3)] ?? "a", {
    customer_id: [null, "acme", "zeus", "stranger"][roll(4)] ?? null,
    workflow_id: [null, "w-1", "w-2"][roll(3)] ?? null,
    requirements: [
      {},
      { hardware: { gpu_count: roll(3) } },
      { models: ["x"] },
      { labels: { tier: { gte: 1 } } },
      { customer_isolation: "strict" as const },
      { labels: { machine_id: "m-1" } },
      { labels: { machine_id: { not: "m-1" } } },
      { exclude: { machine_id: "m-2" }, hardware: { gpu_count: 1 } },
      { exclude: { machine_id: ["m-1", "m-2"] } },
      { labels: { machine_id: { gte: 1 } } }
    ][roll(10)]!
  })

describe("counting by kinds", () => {
  it("is counting by workers, however they change", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const roll = dice(seed)
      const kinds = KindCounts.make()
      let workers: ReadonlyArray<Worker> = []
      for (let round = 0; round < 5; round++) {
        workers = [...workers.filter(() => roll(3) > 0), ...Array.from({ length: roll(20) }, () => randomWorker(roll))]
        const rows = counted(workers, null)
        const unknown = new Set(kinds.unknown(rows.map(({ capability_key }) => capability_key)))
        kinds.update(rows, new Map([...offersOf(workers)].filter(([key]) => unknown.has(key))))
        for (let asked = 0; asked < 20; asked++) {
          const job = randomFacts(roll)
          const machines = machinesNamed(job.requirements)
          const expected = byRule(workers, job)
          const say = `seed ${seed}: ${JSON.stringify(job)}`
          if (machines.length === 0) assert.deepStrictEqual(kinds.count(job), expected, say)
          const everywhere = counted(workers, machines)
          const there = everywhere.filter(({ machine_key }) => machine_key !== null)
          assert.deepStrictEqual(kinds.countAround(job, machines, there), expected, say)
          assert.deepStrictEqual(kinds.countLocated(job, machines, everywhere), expected, say)
        }
      }
    }
  })

  it("remembers no more than it may, and counts right all the same", () => {
    const kinds = KindCounts.make(1_000)
    const workers = Array.from({ length: 100 }, (_, tier): Worker => ({
      active: true,
      capabilities: { job_types: ["a"], labels: { tier } }
    }))
    kinds.update(counted(workers, null), offersOf(workers))
    const asked = (gte: number) => facts("a", { requirements: { labels: { tier: { gte } } } })
    for (const round of [1, 2]) {
      for (let gte = 0; gte < 40; gte++) {
        assert.strictEqual(kinds.count(asked(gte)).registered, 100 - gte, `round ${round}`)
      }
    }
  })
})
