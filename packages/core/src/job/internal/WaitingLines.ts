/**
 * The lines in which the jobs of the queue in memory wait: one per requirement class, each in the order of jobs.
 *
 * A claim looks at the heads of the lines alone. Whether a kind of workers matches a line is decided once, for as long
 * as the line has a job; an empty line is forgotten, and its number a while later. A customer or workflow has lines of
 * its own only while some kind of workers names it: jobs that wait when that begins are filed anew.
 */
import { canonical } from "../../Json.ts"
import { namesIn, normalCapabilities } from "../../worker/CapabilitySignature.ts"
import type { Capabilities } from "../../worker/Worker.ts"
import type { Job, JobRequest } from "../Job.ts"
import { type JobFacts, matches } from "../Matching.ts"
import { requirementsText } from "../RequirementClass.ts"

/** What waits, with its line and its place there: lower rank first, ties by sequence. */
export interface Waiter {
  readonly job: Job
  /** The part of its line's name that never changes. */
  readonly base: string
  /** The line it waits in, or did last; empty before the first. */
  line: string
  /** The number of that line, as events name it. */
  requirement_class: string | undefined
  readonly rank: number
  readonly sequence: number
}

export const baseOf = ({ requirements, service_required }: JobRequest): string =>
  JSON.stringify([service_required, requirementsText(requirements)])

/** What a worker offers, in the form and under the name that equal offers share. */
export interface Offer {
  readonly name: string
  readonly capabilities: Capabilities
}

/** Most workers claim with the same object again and again. */
const offers = new WeakMap<Capabilities, Offer>()

export const offerOf = (said: Capabilities): Offer => {
  const known = offers.get(said)
  if (known !== undefined) return known
  const capabilities = normalCapabilities(said)
  const offer = { name: canonical(capabilities), capabilities }
  offers.set(said, offer)
  return offer
}

/** Kinds of workers whose outcome a line keeps; past that it decides anew. */
const keptOutcomes = 1_000
/** A kind of workers that has not claimed for so long is forgotten, in ms. */
const kindForgotten = 3_600_000
/** The number of a line that was empty for so long is forgotten, in ms. */
const numberForgotten = 600_000

export interface Line<Entry> {
  readonly id: number
  readonly facts: JobFacts
  /** At least one. */
  readonly jobs: Array<Entry>
  readonly outcomes: Map<string, boolean>
}

interface Kind {
  readonly offer: Offer
  /** When such a worker last claimed, in ms. */
  at: number
}

const byOrder = (a: Waiter, b: Waiter): number => a.rank - b.rank || a.sequence - b.sequence

const namesOf = ({ capabilities }: Offer): ReadonlyArray<string> => {
  const { customers, workflows } = namesIn(capabilities)
  return [...customers.map((id) => `customer ${id}`), ...workflows.map((id) => `workflow ${id}`)]
}

/** How many jobs of a line come before this one. */
const countBefore = <Entry extends Waiter>(jobs: ReadonlyArray<Entry>, entry: Entry): number => {
  let low = 0
  let high = jobs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const other = jobs[middle]
    if (other !== undefined && byOrder(other, entry) < 0) low = middle + 1
    else high = middle
  }
  return low
}

export const make = <Entry extends Waiter>() => {
  const lines = new Map<string, Line<Entry>>()
  const numbers = new Map<string, { readonly id: number; at: number }>()
  const kinds = new Map<string, Kind>()
  let named: ReadonlySet<string> = new Set()
  let lastNumber = 0

  const nameAll = (): void => {
    named = new Set([...kinds.values()].flatMap(({ offer }) => namesOf(offer)))
  }

  /** What of a job the rule reads: a customer or workflow that nobody names is like none. */
  const factsOf = ({ customer_id, requirements, service_required, workflow_id }: Job): JobFacts => ({
    service_required,
    requirements,
    customer_id: named.has(`customer ${customer_id}`) ? customer_id : null,
    workflow_id: named.has(`workflow ${workflow_id}`) ? workflow_id : null
  })

  const lineOf = ({ base, job }: Entry): string => {
    const { customer_id, workflow_id } = factsOf(job)
    return `${base} ${customer_id ?? ""} ${workflow_id ?? ""}`
  }

  const isFor = ({ facts, outcomes }: Line<Entry>, offer: Offer): boolean => {
    const known = outcomes.get(offer.name)
    if (known !== undefined) return known
    if (outcomes.size === keptOutcomes) outcomes.clear()
    const outcome = matches(facts, offer.capabilities)
    outcomes.set(offer.name, outcome)
    return outcome
  }

  const numberOf = (line: string, now: number): number => {
    const number = numbers.get(line) ?? { id: ++lastNumber, at: now }
    number.at = now
    numbers.set(line, number)
    return number.id
  }

  const remove = (entry: Entry): void => {
    const jobs = lines.get(entry.line)?.jobs ?? []
    const at = countBefore(jobs, entry)
    if (jobs[at] === entry) jobs.splice(at, 1)
    if (jobs.length === 0) lines.delete(entry.line)
  }

  return {
    /** Files a job, under the line it belongs to now. */
    insert: (entry: Entry, now: number): void => {
      const name = lineOf(entry)
      const id = numberOf(name, now)
      const line = lines.get(name) ?? { id, facts: factsOf(entry.job), jobs: [], outcomes: new Map<string, boolean>() }
      line.jobs.splice(countBefore(line.jobs, entry), 0, entry)
      lines.set(name, line)
      entry.line = name
      entry.requirement_class = String(id)
    },

    remove,

    /** Notes that such a worker claims; takes the jobs out of their lines that belong to others by now. */
    meet: (offer: Offer, now: number): ReadonlyArray<Entry> => {
      const known = kinds.get(offer.name)
      if (known !== undefined) known.at = now
      else kinds.set(offer.name, { offer, at: now })
      if (known !== undefined || namesOf(offer).every((name) => named.has(name))) return []
      nameAll()
      const misfiled = [...lines.values()].flatMap(({ jobs }) => jobs.filter((entry) => lineOf(entry) !== entry.line))
      for (const entry of misfiled) remove(entry)
      return misfiled
    },

    /** Forgets kinds of workers, and numbers of lines, that nobody has used for long. */
    tick: (now: number): void => {
      const silent = [...kinds].filter(([, { at }]) => at + kindForgotten <= now)
      for (const [name] of silent) kinds.delete(name)
      if (silent.length > 0) nameAll()
      for (const [line, { at }] of numbers) {
        if (!lines.has(line) && at + numberForgotten <= now) numbers.delete(line)
      }
    },

    /** Which of the jobs that such a worker can run comes next. */
    next: (offer: Offer): Entry | undefined => {
      let best: Entry | undefined
      for (const line of lines.values()) {
        const head = line.jobs[0]
        if (head === undefined || (best !== undefined && byOrder(best, head) < 0)) continue
        if (isFor(line, offer)) best = head
      }
      return best
    },

    /** How many jobs wait in a line. */
    length: (line: string): number => lines.get(line)?.jobs.length ?? 0,

    /** Whether a job waits in a line that such a worker can run. */
    hasFor: (line: string, offer: Offer): boolean => {
      const known = lines.get(line)
      return known !== undefined && isFor(known, offer)
    },

    /** Lines by rising number, after one. */
    after: (id: number, limit: number): ReadonlyArray<Line<Entry>> =>
      [...lines.values()]
        .filter((line) => line.id > id)
        .toSorted((a, b) => a.id - b.id)
        .slice(0, limit),

    /** Whether any kind of workers matches a line. */
    hasKinds: (line: Line<Entry>): boolean => [...kinds.values()].some(({ offer }) => isFor(line, offer)),

    /** Jobs that workers which match a waiting job would be given before it. */
    countAhead: (entry: Entry): number => {
      const own = lines.get(entry.line)
      if (own === undefined) return 0
      const matching = [...kinds.values()].filter(({ offer }) => isFor(own, offer))
      let ahead = 0
      for (const line of lines.values()) {
        const isShared = line === own || matching.some(({ offer }) => isFor(line, offer))
        if (isShared) ahead += countBefore(line.jobs, entry)
      }
      return ahead
    }
  }
}

export type WaitingLines<Entry extends Waiter> = ReturnType<typeof make<Entry>>
