/**
 * How many workers match a job, from the counts of their kinds. Which kinds a class of jobs matches is settled once for
 * as long as the kinds are the same, so that counting is a sum over kinds.
 */
import { type JobFacts, matches } from "@muster/core/job/Matching"
import * as RequirementClass from "@muster/core/job/RequirementClass"
import { namesIn, onMachine } from "@muster/core/worker/CapabilitySignature"
import type { Acceptance } from "@muster/core/worker/internal/WorkerRepository"
import type { Capabilities } from "@muster/core/worker/Worker"
import * as CapabilityKey from "./CapabilityKey.ts"

/** The workers of one kind. */
export interface KindCount extends Acceptance {
  readonly capability_key: string
}

/** Those of them on one machine; null stands for every machine that was not asked about. */
export interface LocatedCount extends KindCount {
  readonly machine_key: string | null
}

interface Kind {
  /** What its workers offer, without the machine. */
  readonly offer: Capabilities
  count: Acceptance
}

interface Class {
  readonly kinds: ReadonlyArray<Kind>
  /** Their sum, and of which update. */
  counted: { readonly update: number; readonly count: Acceptance } | undefined
}

/** Pairs of a class and a kind that it matches, remembered at most: 8 MB. */
const mostPairs = 1_000_000

const sum = (counts: Iterable<Acceptance>, sign: 1 | -1 = 1): Acceptance => {
  let [active, registered] = [0, 0]
  for (const count of counts) {
    active += sign * count.active
    registered += sign * count.registered
  }
  return { active, registered }
}

export const make = (most = mostPairs) => {
  let kinds: ReadonlyMap<string, Kind> = new Map()
  let kindsOfType: ReadonlyMap<string, ReadonlyArray<Kind>> = new Map()
  let customers: ReadonlySet<string> = new Set()
  let workflows: ReadonlySet<string> = new Set()
  const classes = new Map<string, Class>()
  let updates = 0
  let pairs = 0

  const takeOver = (known: ReadonlyMap<string, Kind>) => {
    kinds = known
    const offers = [...kinds.values()].map(({ offer }) => offer)
    const names = offers.map(namesIn)
    customers = new Set(names.flatMap((named) => named.customers))
    workflows = new Set(names.flatMap((named) => named.workflows))
    const byType = new Map<string, Array<Kind>>()
    for (const kind of kinds.values()) {
      for (const type of kind.offer.job_types) {
        const others = byType.get(type)
        if (others === undefined) byType.set(type, [kind])
        else others.push(kind)
      }
    }
    kindsOfType = byType
    classes.clear()
    pairs = 0
  }

  /** Customers and workflows that no kind names are all the same to the rule, and would each be a class of its own. */
  const asClass = (facts: JobFacts): JobFacts => ({
    service_required: facts.service_required,
    requirements: facts.requirements,
    customer_id: facts.customer_id !== null && customers.has(facts.customer_id) ? facts.customer_id : null,
    workflow_id: facts.workflow_id !== null && workflows.has(facts.workflow_id) ? facts.workflow_id : null
  })

  /** The kinds that match, on a machine that the job does not name. */
  const matching = (job: JobFacts): Class => {
    const facts = asClass(job)
    const text = RequirementClass.textOf(facts)
    const known = classes.get(text)
    if (known !== undefined) return known
    const found = (kindsOfType.get(facts.service_required) ?? []).filter(({ offer }) => matches(facts, offer))
    // A class that matches nothing takes room as well.
    pairs += found.length + 1
    for (const [oldest, forgotten] of classes) {
      if (pairs <= most) break
      classes.delete(oldest)
      pairs -= forgotten.kinds.length + 1
    }
    const settled: Class = { kinds: found, counted: undefined }
    classes.set(text, settled)
    return settled
  }

  const count = (facts: JobFacts): Acceptance => {
    const settled = matching(facts)
    if (settled.counted?.update === updates) return settled.counted.count
    const total = sum(settled.kinds.map((kind) => kind.count))
    settled.counted = { update: updates, count: total }
    return total
  }

  /** Of these workers, those that match where they are. */
  const countLocated = (
    facts: JobFacts,
    machines: ReadonlyArray<string>,
    located: ReadonlyArray<LocatedCount>
  ): Acceptance => {
    const machineOf = new Map(machines.map((machine) => [CapabilityKey.keyOfMachine(machine), machine]))
    return sum(
      located.filter(({ capability_key, machine_key }) => {
        const kind = kinds.get(capability_key)
        const machine = machine_key === null ? "" : (machineOf.get(machine_key) ?? "")
        return kind !== undefined && matches(facts, onMachine(kind.offer, machine))
      })
    )
  }

  return {
    /** Of these keys, those of no known kind. */
    unknown: (keys: Iterable<string>): ReadonlyArray<string> => [...keys].filter((key) => !kinds.has(key)),

    /** How many kinds there are. */
    size: () => kinds.size,

    /** Takes over the counts of all kinds; `offers` says what those offer that were unknown. */
    update: (counts: ReadonlyArray<KindCount>, offers: ReadonlyMap<string, Capabilities>): void => {
      updates++
      const known = new Map<string, Kind>()
      for (const { active, capability_key, registered } of counts) {
        const offer = offers.get(capability_key)
        const kind = kinds.get(capability_key) ?? (offer === undefined ? undefined : { offer, count: sum([]) })
        // One whose last worker left before it could be asked what it offers.
        if (kind === undefined) continue
        kind.count = { active, registered }
        known.set(capability_key, kind)
      }
      if (known.size !== kinds.size || [...known.keys()].some((key) => !kinds.has(key))) takeOver(known)
    },

    acceptsType: (service_required: string): boolean => kindsOfType.has(service_required),

    /** How many workers match a job, on machines that it does not name. */
    count,

    /** Whether some workers on machines that the job does not name match it. */
    matchesAnywhere: (facts: JobFacts): boolean => matching(facts).kinds.length > 0,

    countLocated,

    /**
     * How many workers match a job that names machines: as all others, except for those `located` on them. The two were
     * not counted at the same moment, so this says nothing sure when it says that there is none.
     */
    countAround: (
      facts: JobFacts,
      machines: ReadonlyArray<string>,
      located: ReadonlyArray<LocatedCount>
    ): Acceptance => {
      const asOthers = located.filter(({ capability_key }) => {
        const kind = kinds.get(capability_key)
        return kind !== undefined && matches(facts, kind.offer)
      })
      const { active, registered } = sum([count(facts), sum(asOthers, -1), countLocated(facts, machines, located)])
      return { active: Math.max(0, Math.min(active, registered)), registered: Math.max(0, registered) }
    }
  }
}
