/**
 * Commands on jobs. A store decides each in one atomic step; what a rule decides is decided here and handed to it.
 */
import { Array, Duration, Effect, Option, Random, Schema } from "effect"
import { afterFailure, type ConnectorFailure } from "../connector/ConnectorFailure.ts"
import { WorkerRepository } from "../worker/internal/WorkerRepository.ts"
import { type ClaimRequest, type FailedFilter, JobQueue } from "./internal/JobQueue.ts"
import { type Fence, type Job, type IfUnmatchable, JobId, type JobRequest, type Progress } from "./Job.ts"
import { NotMatchable } from "./JobErrors.ts"
import * as RequirementClass from "./RequirementClass.ts"

/** An id for a job whose caller gave none: random, so that submitting needs no round trip for it. */
const newJobId = Effect.sync(() => Schema.decodeSync(JobId)(globalThis.crypto.randomUUID()))

/** How long a submit waits to be told who matches the job: what takes longer is not worth a late answer. */
const matchingWithin = Duration.millis(300)

/** A job as a caller submits it. */
export interface Submission {
  readonly id?: JobId | undefined
  readonly request: JobRequest
  readonly if_unmatchable?: typeof IfUnmatchable.Type | undefined
}

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
 * The same id with an equal request finds the job that is there; with another request it is refused.
 */
export const submitJob = Effect.fn("JobUseCases.submitJob")(function* (submission: Submission) {
  const queue = yield* JobQueue
  const workers = yield* WorkerRepository
  const { request } = submission
  const id = submission.id ?? (yield* newJobId)
  const mayWait = submission.if_unmatchable !== "reject"
  const counts = workers.accepting(request)
  const matching = yield* mayWait
    ? counts.pipe(
        Effect.timeoutOrElse({ duration: matchingWithin, orElse: () => Effect.succeed(null) }),
        Effect.catchIf(
          (error) => error.unavailable,
          () => Effect.succeed(null)
        )
      )
    : counts
  if (!mayWait && matching?.registered === 0) {
    // A job that was accepted once stays accepted, however the fleet has changed since.
    const known = yield* queue.get(id)
    if (Option.isNone(known)) return yield* notMatchable(request.service_required)
  }
  const { created, job } = yield* queue.submit(id, request)
  return { job, created, matching }
})

/** How many questions a batch asks a store at once. */
const concurrency = 16

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
  yield* refuseUnmatchable(submissions.filter(({ if_unmatchable }) => if_unmatchable === "reject"))
  const jobs = yield* Effect.forEach(submissions, ({ id, request }) =>
    Effect.map(id === undefined ? newJobId : Effect.succeed(id), (id) => ({ id, request }))
  )
  return yield* queue.submitMany(jobs)
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

/** Ends a job for good. An attempt that holds it is fenced off at once. */
export const cancelJob = Effect.fn("JobUseCases.cancelJob")(function* (id: JobId) {
  const queue = yield* JobQueue
  return yield* queue.cancel(id)
})

/** Lets a job that failed start over, with all its retries. */
export const retryJob = Effect.fn("JobUseCases.retryJob")(function* (id: JobId) {
  const queue = yield* JobQueue
  return yield* queue.retry(id)
})

/** The same for all failed jobs that the filter means; says how many. */
export const retryFailedJobs = Effect.fn("JobUseCases.retryFailedJobs")(function* (filter: FailedFilter) {
  const queue = yield* JobQueue
  return yield* queue.retryFailed(filter)
})
