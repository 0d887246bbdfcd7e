/**
 * What the queue in memory keeps of the attempts of one job: those that ended while the job went on, and reports that
 * came too late. The attempt that holds the job, or ended it, is read from the job itself.
 */
import type { DateTime } from "effect"
import type { Attempt, AttemptOutcome, LateReport } from "../Attempt.ts"
import type { Job, JobError } from "../Job.ts"

const keptAttempts = 100
const keptReports = 20

type Told = Omit<Attempt, "late_reports">

export interface PastAttempts {
  readonly ended: Array<Told>
  readonly late: Array<LateReport & { readonly attempt: number }>
}

export const none = (): PastAttempts => ({ ended: [], late: [] })

const keepLast = <Value>(values: Array<Value>, value: Value, most: number): void => {
  values.push(value)
  if (values.length > most) values.shift()
}

/** How an attempt ended that did with this error. */
export const outcomeOf = (error: JobError | null): AttemptOutcome =>
  error?.kind === "Timeout" ? "timed_out" : error?.kind === "Lost" ? "lost" : "failed"

/** The attempt that holds the job or ended it; none while it waits. */
const lastOf = (job: Job): Told | undefined => {
  const { assigned_at, attempt, error, finished_at, started_at, status, worker_id } = job
  if (assigned_at === null || worker_id === null) return undefined
  const told = { attempt, worker_id, outcome: null, assigned_at, started_at, ended_at: finished_at, error: null }
  if (status === "failed") return { ...told, outcome: outcomeOf(error), error }
  return status === "completed" || status === "cancelled" ? { ...told, outcome: status } : told
}

/** Keeps the attempt that held `job` and ended with this error, or because the job was handed back. */
export const keepEnded = (past: PastAttempts, job: Job, at: DateTime.Utc, error: JobError | null): void => {
  const last = lastOf(job)
  if (last === undefined) return
  const outcome = error === null ? "returned" : outcomeOf(error)
  keepLast(past.ended, { ...last, outcome, ended_at: at, error }, keptAttempts)
}

/** Keeps the attempt that ended `job`, which starts over. */
export const keepFinal = (past: PastAttempts, job: Job): void => {
  const last = lastOf(job)
  if (last !== undefined) keepLast(past.ended, last, keptAttempts)
}

export const keepLate = (past: PastAttempts, attempt: number, report: LateReport): void =>
  keepLast(past.late, { attempt, ...report }, keptReports)

/** The attempts of a job, oldest first. */
export const attemptsOf = (past: PastAttempts, job: Job): ReadonlyArray<Attempt> => {
  const last = lastOf(job)
  const all = last === undefined ? past.ended : [...past.ended, last]
  return all.slice(-keptAttempts).map((told) => ({
    ...told,
    late_reports: past.late
      .filter(({ attempt }) => attempt === told.attempt)
      .map(({ at, error, report }) => ({ report, at, error }))
  }))
}
