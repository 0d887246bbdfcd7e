/**
 * Commands on jobs. A store decides each in one atomic step; what a rule decides is decided here and handed to it.
 */
import { Array, Duration, Effect, Option, Random, Schema } from "effect"
import { afterFailure, type ConnectorFailure } from "../connector/ConnectorFailure.ts"
import { WorkerRepository } from "../worker/internal/WorkerRepository.ts"
import { InvalidStateTransition } from "../InvalidStateTransition.ts"
import { canonical } from "../Json.ts"
import { JobArchive } from "./internal/JobArchive.ts"
import { type ClaimRequest, type FailedFilter, JobQueue, type Placed, refuseDuplicates } from "./internal/JobQueue.ts"
import {
  canBecome,
  type Fence,
  type Job,
  type IfUnmatchable,
  JobId,
  type JobRequest,
  type Progress,
  requestOf
} from "./Job.ts"
import { JobAlreadyExists, JobNotFound, NotMatchable } from "./JobErrors.ts"
import * as JobHistory from "./JobHistory.ts"
import * as RequirementClass from "./RequirementClass.ts"

/** An id for a job whose caller gave none: random, so that submitting needs no round trip for it. */
const newJobId = Effect.sync(() => Schema.decodeSync(JobId)(globalThis.crypto.randomUUID()))

/**
 * How long a submit waits to be told who matches the job, and whether the archive knows its id: what takes longer is not
 * worth a late answer.
 */
const answerWithin = Duration.millis(300)

/** A job as a caller submits it. */
export interface Submission {
  readonly id?: JobId | undefined
  readonly request: JobRequest
  readonly if_unmatchable?: typeof IfUnmatchable.Type | undefined
}

/** How many questions a batch asks a store at once. */
const concurrency = 16

/**
 * Jobs with these ids that only the archive knows. Callers chose them, so they may have been used long ago. While the
 * archive is away none is known: taking jobs needs the queue alone.
 */
const onlyArchived = Effect.fnUntraced(function* (ids: ReadonlyArray<JobId>) {
  const queue = yield* JobQueue
  const archive = yield* JobArchive
  if (!archive.keeps || ids.length === 0) return new Map<JobId, Job>()
  const found = yield* archive.find(ids).pipe(
    Effect.timeoutOrElse({ duration: answerWithin, orElse: () => Effect.succeed<ReadonlyArray<Placed>>([]) }),
    Effect.catchIf(
      (error) => error.unavailable,
      () => Effect.succeed<ReadonlyArray<Placed>>([])
    )
  )
  const gone = yield* Effect.filter(found, ({ job }) => Effect.map(queue.get(job.id), Option.isNone), { concurrency })
  return new Map(gone.map(({ job }) => [job.id, job]))
})

/** Fails unless the job was submitted with this request. */
const refuseOther = (job: Job, request: JobRequest) =>
  canonical(requestOf(job)) === canonical(request)
    ? Effect.succeed(job)
    : Effect.fail(new JobAlreadyExists({ id: job.id }))

/** Why nobody who is registered could run a job. */
const notMatchable = Effect.fnUntraced(function* (service_required: string) {
  const workers = yield* WorkerRepository
  const type_accepted = yield* workers.acceptsType(service_required)
  return yield* new NotMatchable({ service_required, type_accepted })
})

/**
 * Stores a job, and says how many workers match it: null when the registry cannot be asked now. Taking jobs needs the
 * queue alone, except for a job that asks to be rejected.
 *
 * The same id with an equal request finds the job that is there, or was, as far as the archive goes back; with another
 * request it is refused.
 */
export const submitJob = Effect.fn("JobUseCases.submitJob")(function* (submission: Submission) {
  const queue = yield* JobQueue
  const workers = yield* WorkerRepository
  const { request } = submission
  const id = submission.id ?? (yield* newJobId)
  const mayWait = submission.if_unmatchable !== "reject"
  const counts = workers.accepting(request)
  const asked = mayWait
    ? counts.pipe(
        Effect.timeoutOrElse({ duration: answerWithin, orElse: () => Effect.succeed(null) }),
        Effect.catchIf(
          (error) => error.unavailable,
          () => Effect.succeed(null)
        )
      )
    : counts
  // An id that was made here is in no archive.
  const [matching, archived] =
    submission.id === undefined
      ? [yield* asked, undefined]
      : yield* Effect.all([asked, onlyArchived([submission.id])], { concurrency: 2 })
  const before = archived?.get(id)
  if (before !== undefined) return { job: yield* refuseOther(before, request), created: false, matching }
  if (!mayWait && matching?.registered === 0) {
    // A job that was accepted once stays accepted, however the fleet has changed since.
    const known = yield* queue.get(id)
    if (Option.isNone(known)) return yield* notMatchable(request.service_required)
  }
  const { created, job } = yield* queue.submit(id, request)
  return { job, created, matching }
})

/** Fails when one of the jobs is new and no registered worker matches it. Jobs of one class are asked about together. */
const refuseUnmatchable = Effect.fnUntraced(function* (submissions: ReadonlyArray<Submission>) {
  const queue = yield* JobQueue
  const workers = yield* WorkerRepository
  const classes = Object.values(Array.groupBy(submissions, ({ request }) => RequirementClass.textOf(request)))
  const isUnmatchable = ([{ request }]: (typeof classes)[number]) =>
    Effect.map(workers.accepting(request), ({ registered }) => registered === 0)
  const unmatchable = yield* Effect.filter(classes, isUnmatchable, { concurrency })
  for (const { id, request } of unmatchable.flat()) {
    // A job that was accepted once stays accepted, however the fleet has changed since.
    const known = id === undefined ? Option.none() : yield* queue.get(id)
    if (Option.isNone(known)) return yield* notMatchable(request.service_required)
  }
})

/**
 * Stores jobs in the order given, or none of them, as `submitJob` does each; says their ids and which are new.
 * The registry is asked only for jobs that want to be rejected, once for each requirement class.
 *
 * Repeating a batch after a failure is harmless for jobs whose ids the caller gave: an id made here is another one
 * the next time.
 */
export const submitJobs = Effect.fn("JobUseCases.submitJobs")(function* (submissions: ReadonlyArray<Submission>) {
  const queue = yield* JobQueue
  const jobs = yield* Effect.forEach(submissions, ({ id, if_unmatchable, request }) =>
    Effect.map(id === undefined ? newJobId : Effect.succeed(id), (id) => ({ id, if_unmatchable, request }))
  )
  yield* refuseDuplicates(jobs)
  const archived = yield* onlyArchived(submissions.flatMap(({ id }) => (id === undefined ? [] : [id])))
  for (const { id, request } of jobs) {
    const known = archived.get(id)
    if (known !== undefined) yield* refuseOther(known, request)
  }
  const others = jobs.filter(({ id }) => !archived.has(id))
  yield* refuseUnmatchable(others.filter(({ if_unmatchable }) => if_unmatchable === "reject"))
  const submitted = yield* queue.submitMany(others.map(({ id, request }) => ({ id, request })))
  const created = new Map(submitted.map((job) => [job.id, job.created]))
  return jobs.map(({ id }) => ({ id, created: created.get(id) ?? false }))
})

/** Takes the next jobs a worker may run. */
export const claimJobs = Effect.fnUntraced(function* (request: ClaimRequest) {
  const queue = yield* JobQueue
  return yield* queue.claim(request)
})

export const startJob = Effect.fnUntraced(function* (fence: Fence) {
  const queue = yield* JobQueue
  yield* queue.start(fence)
})

export const reportProgress = Effect.fnUntraced(function* (fence: Fence, progress: Progress) {
  const queue = yield* JobQueue
  yield* queue.progress(fence, progress)
})

export const completeJob = Effect.fnUntraced(function* (fence: Fence, result: unknown) {
  const queue = yield* JobQueue
  yield* queue.complete(fence, result)
})

/** Ends an attempt that failed: the kind of the failure decides whether and when the job is tried again. */
export const failJob = Effect.fnUntraced(function* (
  fence: Fence,
  failure: Pick<ConnectorFailure, "kind" | "message" | "retry_after_ms">,
  job: Pick<Job, "attempt" | "retry_count" | "max_retries">
) {
  const queue = yield* JobQueue
  const next = afterFailure(failure, job, yield* Random.next)
  const error = { kind: failure.kind, message: failure.message }
  yield* queue.fail(fence, error, next._tag === "Retry" ? next : null)
})

/** Hands a job back without using one of its retries. */
export const returnJob = Effect.fnUntraced(function* (fence: Fence) {
  const queue = yield* JobQueue
  yield* queue.giveBack(fence)
})

/** A job that the queue does not have, if the archive does. */
const archivedOr = Effect.fnUntraced(function* (error: JobNotFound) {
  const found = yield* JobHistory.findArchived(error.id)
  if (Option.isNone(found)) return yield* error
  return found.value
})

/** Ends a job for good. An attempt that holds it is fenced off at once. */
export const cancelJob = Effect.fn("JobUseCases.cancelJob")(function* (id: JobId) {
  const queue = yield* JobQueue
  return yield* queue
    .cancel(id)
    .pipe(
      Effect.catchTag("JobNotFound", (error) =>
        Effect.flatMap(archivedOr(error), ({ job }) =>
          job.status === "cancelled"
            ? Effect.succeed(job)
            : Effect.fail(new InvalidStateTransition({ subject: "job", id, from: job.status, to: "cancelled" }))
        )
      )
    )
})

/** Takes a job in again that only the archive knows; somebody else may do the same. */
const revive = Effect.fnUntraced(function* (failed: Placed) {
  const queue = yield* JobQueue
  const { id, status } = failed.job
  if (!canBecome(status, "pending")) {
    return yield* new InvalidStateTransition({ subject: "job", id, from: status, to: "pending" })
  }
  return yield* Effect.catchTag(queue.revive(failed), "JobAlreadyExists", () => queue.retry(id))
})

/** Lets a job that failed start over, with all its retries, however long ago that was. */
export const retryJob = Effect.fn("JobUseCases.retryJob")(function* (id: JobId) {
  const queue = yield* JobQueue
  return yield* queue
    .retry(id)
    .pipe(Effect.catchTag("JobNotFound", (error) => Effect.flatMap(archivedOr(error), revive)))
})

/** The same for all failed jobs in the queue that the filter means; says how many. */
export const retryFailedJobs = Effect.fn("JobUseCases.retryFailedJobs")(function* (filter: FailedFilter) {
  const queue = yield* JobQueue
  return yield* queue.retryFailed(filter)
})
