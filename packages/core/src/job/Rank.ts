/**
 * The one order of jobs, the same on every path: lower rank first, ties by submission sequence.
 *
 * rank = effective time in ms − effective priority × priority step in ms. One priority point thus holds back an
 * older job by at most one step: waiting is bounded, and nothing stored is ever rewritten to age it. Ranks are exact
 * integers below 2^53. Source: design, sections 4 (order) and broker rules 2 and 3.
 */
import { DateTime, Duration } from "effect"
import type { JobRequest } from "./Job.ts"

const oneDay = 24 * 3_600_000

/** The priority that counts: the workflow's when there is one, 0 included. */
export const effectivePriority = (job: Pick<JobRequest, "priority" | "workflow_priority">): number =>
  job.workflow_priority ?? job.priority

/**
 * The time that counts, in ms: the workflow's, never later than the job's creation nor more than 24 h before it;
 * without a workflow time the creation, or `run_at` where that is later.
 */
export const effectiveTime = (job: Pick<JobRequest, "workflow_datetime" | "run_at">, createdAt: number): number => {
  const inherited =
    job.workflow_datetime === null
      ? createdAt
      : Math.max(createdAt - oneDay, Math.min(createdAt, DateTime.toEpochMillis(job.workflow_datetime)))
  return job.run_at === null ? inherited : Math.max(inherited, DateTime.toEpochMillis(job.run_at))
}

/** The rank of a job created at `createdAt` (ms, the store's clock). */
export const rank = (
  job: Pick<JobRequest, "priority" | "workflow_priority" | "workflow_datetime" | "run_at">,
  createdAt: number,
  priorityStep: Duration.Duration
): number => effectiveTime(job, createdAt) - effectivePriority(job) * Duration.toMillis(priorityStep)
