/** The attempts of a job: what became of each claim, and what was reported too late to count. */
import { Schema } from "effect"
import { WorkerId } from "../worker/Worker.ts"
import { JobError } from "./Job.ts"

/** How an attempt ended. One that timed out or was lost uses a retry; one that was returned does not. */
export const AttemptOutcome = Schema.Literals(["completed", "failed", "timed_out", "cancelled", "returned", "lost"])
export type AttemptOutcome = typeof AttemptOutcome.Type

/** A report of an attempt that did not hold the job any more: it changed nothing, and is kept as evidence. */
export const LateReport = Schema.Struct({
  report: Schema.Literals(["completed", "failed", "returned"]),
  at: Schema.DateTimeUtc,
  /** What a failed one said. */
  error: Schema.NullOr(JobError)
})
export type LateReport = typeof LateReport.Type

export const Attempt = Schema.Struct({
  attempt: Schema.Int,
  worker_id: WorkerId,
  /** Null while it holds the job. */
  outcome: Schema.NullOr(AttemptOutcome),
  assigned_at: Schema.DateTimeUtc,
  started_at: Schema.NullOr(Schema.DateTimeUtc),
  ended_at: Schema.NullOr(Schema.DateTimeUtc),
  error: Schema.NullOr(JobError),
  late_reports: Schema.Array(LateReport)
})
export type Attempt = typeof Attempt.Type
