/**
 * How far each group of workers is from a job: what it does not meet, and by how much. Groups that match come first,
 * then the nearest misses. All of it is a matter of groups, of which there are few.
 */
import { unlikeness } from "../DidYouMean.ts"
import type { Wanted } from "../worker/internal/WorkerRepository.ts"
import type { WorkerGroup } from "../worker/WorkerGroup.ts"
import { type JobFacts, unmetClauses, type UnmetClause } from "./Matching.ts"

/** How a group stands to a job that its workers match by what they offer; `miss` when they do not. */
export type Standing = "open" | "paused" | "draining" | "unhealthy" | "offline" | "gone" | "miss"

const standings: ReadonlyArray<Standing> = ["open", "unhealthy", "paused", "draining", "offline", "gone", "miss"]

export interface Judged {
  readonly group: WorkerGroup
  readonly standing: Standing
  /** What keeps the job from its workers, the health of their connector included. */
  readonly unmet: ReadonlyArray<UnmetClause>
  /** How much is missing, all clauses together: 0 is nothing. */
  readonly distance: number
}

/** The clause of a worker that accepts the job type, and whose connector for it is unhealthy. */
export const unhealthyClause = "connector_unhealthy"

const isNumber = (value: unknown): value is number => typeof value === "number"

const listOf = (value: unknown): ReadonlyArray<unknown> =>
  Array.isArray(value) ? value : value === null ? [] : [value]

/** How far the number that is nearest is outside of a range, as a share of the bound. */
const outside = (range: object, offered: ReadonlyArray<unknown>): number => {
  const gaps = offered.filter(isNumber).map((value) =>
    Object.values(range)
      .filter(isNumber)
      .reduce((gap, bound) => Math.max(gap, Math.abs(bound - value) / Math.max(1, Math.abs(bound))), 0)
  )
  return Math.min(1, ...gaps)
}

/** From 0 to 1: how much of what one clause asks for is missing. */
const gapOf = ({ clause, offered, required }: UnmetClause): number => {
  if (clause === unhealthyClause) return 0
  if (clause.startsWith("hardware.") && isNumber(required)) {
    return Math.min(1, Math.max(0, required - (isNumber(offered) ? offered : 0)) / required)
  }
  // Of the models those that are missing; their own number tells little against that of all.
  if (clause === "models") return 1 - 1 / (1 + listOf(required).length)
  if (clause === "service_required") {
    return Math.min(1, ...listOf(offered).map((type) => unlikeness(String(required), String(type))))
  }
  if (!clause.startsWith("labels.") || offered === null) return 1
  const values = listOf(offered)
  if (typeof required === "string") {
    return Math.min(1, ...values.map((value) => unlikeness(required, String(value))))
  }
  if (Array.isArray(required)) return required.filter((value) => !values.includes(value)).length / required.length
  return typeof required === "object" && required !== null ? outside(required, values) : 1
}

const standingOf = (group: WorkerGroup, matches: boolean, healthy: boolean): Standing => {
  if (!matches) return "miss"
  if (group.status === "gone" || group.status === "offline") return group.status
  if (group.standing !== "open") return group.standing
  return healthy ? "open" : "unhealthy"
}

/** What an offer misses for a job, and by how much. */
interface Missing {
  readonly unmet: ReadonlyArray<UnmetClause>
  readonly distance: number
}

const judge = (job: JobFacts, group: WorkerGroup, { distance, unmet }: Missing): Judged => {
  const type = job.service_required
  const healthy = !group.unhealthy_job_types.includes(type)
  const accepts = group.capabilities.job_types.includes(type)
  return {
    group,
    standing: standingOf(group, unmet.length === 0, healthy),
    unmet:
      healthy || !accepts
        ? unmet
        : [...unmet, { clause: unhealthyClause, required: type, offered: group.unhealthy_job_types }],
    distance
  }
}

const statuses: ReadonlyArray<WorkerGroup["status"]> = ["active", "pending", "offline", "gone"]

/** Those that match first, in the order in which they may take the job; then by how many clauses miss, and by how much. */
const byNearness = (a: Judged, b: Judged): number =>
  standings.indexOf(a.standing) - standings.indexOf(b.standing) ||
  a.unmet.length - b.unmet.length ||
  a.distance - b.distance ||
  statuses.indexOf(a.group.status) - statuses.indexOf(b.group.status) ||
  (a.group.kind < b.group.kind ? -1 : a.group.kind > b.group.kind ? 1 : 0)

/** The groups as the job sees them, the nearest first. */
export const judgeAll = (job: JobFacts, groups: ReadonlyArray<WorkerGroup>): ReadonlyArray<Judged> => {
  // Workers of one kind are several groups.
  const known = new Map<string, Missing>()
  const missing = ({ capabilities, kind, machine }: WorkerGroup): Missing => {
    const name = machine === null ? kind : `${kind} ${machine}`
    const found = known.get(name)
    if (found !== undefined) return found
    const unmet = unmetClauses(job, capabilities)
    const added = { unmet, distance: unmet.reduce((sum, clause) => sum + gapOf(clause), 0) }
    known.set(name, added)
    return added
  }
  return groups.map((group) => judge(job, group, missing(group))).toSorted(byNearness)
}

/** Workers that match and may be free, looked at one by one: whoever has more has one that is. */
const lookedAt = 300

/**
 * Which workers to look at: all that may be free, up to a few hundred, and of the others the nearest, some of each group.
 * Of groups that `tell` names somebody at least one.
 */
export const wanted = (
  judged: ReadonlyArray<Judged>,
  limit: number,
  tell: ReadonlyArray<WorkerGroup> = []
): ReadonlyArray<Wanted> => {
  const told = new Set(tell)
  let open = lookedAt
  let others = limit
  return judged.flatMap(({ group, standing }): ReadonlyArray<Wanted> => {
    const atLeast = told.has(group) ? 1 : 0
    if (standing === "open") {
      const some = Math.min(open, group.workers)
      open -= some
      return some === 0 ? [] : [{ ...group, limit: some }]
    }
    // A miss that hundreds share is shown by a few of them, so that the next one is seen too.
    const most = standing === "miss" ? Math.ceil(limit / 5) : limit
    const some = Math.min(most, others, group.workers)
    others -= some
    return Math.max(some, atLeast) === 0 ? [] : [{ ...group, limit: Math.max(some, atLeast) }]
  })
}
