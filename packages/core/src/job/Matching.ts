/**
 * The matching rule, written once. Stores never evaluate it: they keep its outcome.
 */
import type { Capabilities } from "../worker/Worker.ts"
import type { JobRequest } from "./Job.ts"

/** A clause that does not hold, with both sides, so that a waiting job can be explained. */
export interface UnmetClause {
  readonly clause: "service_required"
  readonly required: unknown
  readonly offered: unknown
}

/** The clauses of `job` that a worker with these capabilities does not meet; empty means it may run the job. */
export const unmetClauses = (
  job: Pick<JobRequest, "service_required">,
  capabilities: Pick<Capabilities, "job_types">
): ReadonlyArray<UnmetClause> =>
  capabilities.job_types.includes(job.service_required)
    ? []
    : [{ clause: "service_required", required: job.service_required, offered: capabilities.job_types }]

/** Whether nothing is unmet. */
export const matches = (
  job: Pick<JobRequest, "service_required">,
  capabilities: Pick<Capabilities, "job_types">
): boolean => unmetClauses(job, capabilities).length === 0
