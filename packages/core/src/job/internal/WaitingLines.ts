/**
 * The lines in which the jobs of the queue in memory wait: one per requirement class, each in the order of jobs.
 *
 * A claim looks at the heads of the lines alone. Whether a kind of workers matches a line is decided once, for as long
 * as the line has a job; an empty line is forgotten.
 */
import { canonical } from "../../Json.ts"
import { normalCapabilities } from "../../worker/CapabilitySignature.ts"
import type { Capabilities } from "../../worker/Worker.ts"
import type { Job, JobRequest } from "../Job.ts"
import { matches } from "../Matching.ts"
import { requirementsText } from "../RequirementClass.ts"

/** What waits, with its line and its place there: lower rank first, ties by sequence. */
export interface Placed {
  readonly job: Job
  readonly line: string
  readonly rank: number
  readonly sequence: number
}

/** The name of the line for jobs that ask for the same. A customer or workflow has lines of its own. */
export const lineOf = ({ customer_id, requirements, service_required, workflow_id }: JobRequest): string =>
  JSON.stringify([service_required, requirementsText(requirements), customer_id, workflow_id])

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

interface Line<Entry> {
  readonly jobs: Array<Entry>
  readonly outcomes: Map<string, boolean>
}

const byOrder = (a: Placed, b: Placed): number => a.rank - b.rank || a.sequence - b.sequence

export const make = <Entry extends Placed>() => {
  const lines = new Map<string, Line<Entry>>()

  const isFor = ({ jobs: [head], outcomes }: Line<Entry>, offer: Offer): boolean => {
    const known = outcomes.get(offer.name)
    if (known !== undefined || head === undefined) return known === true
    if (outcomes.size === keptOutcomes) outcomes.clear()
    const outcome = matches(head.job, offer.capabilities)
    outcomes.set(offer.name, outcome)
    return outcome
  }

  return {
    insert: (entry: Entry): void => {
      const line = lines.get(entry.line) ?? { jobs: [], outcomes: new Map<string, boolean>() }
      let low = 0
      let high = line.jobs.length
      while (low < high) {
        const middle = (low + high) >>> 1
        const other = line.jobs[middle]
        if (other !== undefined && byOrder(other, entry) < 0) low = middle + 1
        else high = middle
      }
      line.jobs.splice(low, 0, entry)
      lines.set(entry.line, line)
    },

    remove: (entry: Entry): void => {
      const jobs = lines.get(entry.line)?.jobs ?? []
      const at = jobs.indexOf(entry)
      if (at >= 0) jobs.splice(at, 1)
      if (jobs.length === 0) lines.delete(entry.line)
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
    }
  }
}

export type WaitingLines<Entry extends Placed> = ReturnType<typeof make<Entry>>
