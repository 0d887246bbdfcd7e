/**
 * The queue port: jobs, their leases and their ends. In memory and on Redis; one contract suite runs on both.
 *
 * Promises of every layer: each method is one atomic step and can be called from any number of processes at once;
 * all times are the store's clock; nothing is half done when a method fails. A method over many jobs says where that
 * holds for each of its steps only. A `StorageError` with `unavailable` leaves open whether the step was done, so every
 * method may be repeated: a repeated submit finds the same job, a repeated report of the same attempt gets the first
 * answer, a repeated retry is told where the job is by now.
 */
import { Context, type Duration, Effect, type Option, type Queue, Schema, type Scope } from "effect"
import type { InvalidStateTransition } from "../../InvalidStateTransition.ts"
import { type Capabilities, type WorkerId, WorkerStanding } from "../../worker/Worker.ts"
import type { Attempt } from "../Attempt.ts"
import type { Fence, Job, JobError, JobErrorKind, JobId, JobRequest, JobStatus, Progress } from "../Job.ts"
import {
  DuplicateJobId,
  type InvalidCursor,
  type JobAlreadyExists,
  type JobNotFound,
  type LeaseLost,
  type StorageError
} from "../JobErrors.ts"

/** One job of a batch. */
export interface Submission {
  readonly id: JobId
  readonly request: JobRequest
}

/** What became of one job of a batch; one that was there before, with an equal request, is not created. */
export interface Submitted {
  readonly id: JobId
  readonly created: boolean
}

/** Refuses a batch that holds an id twice; every layer begins a batch with it. */
export const refuseDuplicates = (jobs: ReadonlyArray<Submission>): Effect.Effect<void, DuplicateJobId> =>
  Effect.suspend(() => {
    const seen = new Set<JobId>()
    for (const [index, { id }] of jobs.entries()) {
      if (seen.has(id)) return Effect.fail(new DuplicateJobId({ id, index }))
      seen.add(id)
    }
    return Effect.void
  })

export interface ClaimRequest {
  readonly worker_id: WorkerId
  /** What the worker offers now: without job types whose connector is unhealthy. */
  readonly capabilities: Capabilities
  /** Jobs the worker may hold at once; enforced by the claim. */
  readonly capacity: number
  /** Jobs wanted now, at most. */
  readonly limit: number
  /** Made by the claimer, random, never used for another claim. */
  readonly nonce: string
  /** The answer to this claim was lost before: the jobs it was given, if any, are given again. */
  readonly again?: boolean | undefined
}

export interface RenewRequest {
  readonly worker_id: WorkerId
  /** Every attempt the worker holds. */
  readonly fences: ReadonlyArray<Fence>
  /** The nonce of the claim whose answer the worker waits for, if any. */
  readonly claiming?: string | undefined
}

/** What a worker is told between its claims. */
export type Signal =
  /** There may be a job for it: it should claim. */
  | { readonly _tag: "Wake" }
  /** This attempt of its does not hold its job any more. */
  | { readonly _tag: "Fenced"; readonly fence: Fence }

/**
 * Whether a worker is given jobs. Paused and draining ones keep what they hold; `gone` was unregistered. What an
 * operator asked for is kept by the registry; the queue is told so that no claim can slip past it.
 */
export const Standing = Schema.Literals([...WorkerStanding.literals, "gone"])
export type Standing = typeof Standing.Type

export interface ListRequest {
  readonly status?: JobStatus | undefined
  readonly service_required?: string | undefined
  /** Continue after the page that handed out this cursor. */
  readonly cursor?: string | undefined
  readonly limit: number
}

/** Which failed jobs are meant; what is left out holds for all of them. */
export interface FailedFilter {
  readonly service_required?: string | undefined
  /** The kind of the error they failed with. */
  readonly error_kind?: JobErrorKind | undefined
}

export interface JobPage {
  /** Newest first. May hold fewer than `limit` jobs although more follow: each page looks at a bounded stretch. */
  readonly jobs: ReadonlyArray<Job>
  /** Null when nothing follows. */
  readonly next_cursor: string | null
}

/** What one bounded look after leases, schedules, expiries and old jobs has changed. */
export interface TickReport {
  readonly promoted: ReadonlyArray<JobId>
  readonly expired: ReadonlyArray<JobId>
  /** Attempts whose lease ran out; their jobs wait again, or failed when no retry was left. */
  readonly lost: ReadonlyArray<JobId>
  readonly forgotten: number
  /** The bound was reached: call again at once. */
  readonly more: boolean
}

/** What becomes of a job whose attempt failed: decided by core, done by the store. */
export interface Retry {
  readonly delay: Duration.Duration
  readonly usesRetry: boolean
  /** For half a minute the job is left to other workers than the one it failed on. */
  readonly elsewhere?: boolean | undefined
}

export class JobQueue extends Context.Service<
  JobQueue,
  {
    /** Stores a job, or finds the one with this id and an equal request. */
    readonly submit: (
      id: JobId,
      request: JobRequest
    ) => Effect.Effect<{ readonly job: Job; readonly created: boolean }, JobAlreadyExists | StorageError>

    /**
     * Stores jobs, in this order, or none: it is refused as a whole when an id stands twice or is taken by a job with
     * another request. Jobs that are there with an equal request stay as they are.
     *
     * On Redis all are checked, and then stored in steps of at most 40 jobs. A failure between two steps leaves the
     * first jobs stored, as does somebody who takes one of the later ids in the meantime; repeating the batch with the
     * same ids stores the rest.
     */
    readonly submitMany: (
      jobs: ReadonlyArray<Submission>
    ) => Effect.Effect<ReadonlyArray<Submitted>, DuplicateJobId | JobAlreadyExists | StorageError>

    /**
     * Gives the next jobs in order that match to a worker, each with a lease and the next attempt number. A claim that
     * finds none parks the worker: when a job comes that it can run, it or another parked worker that can is sent a
     * `Wake`, one for each job. The next claim ends the parking. A worker whose standing is not `open` gets nothing and
     * is woken when it is open again. A wake that is not followed by a claim within a second goes to another worker.
     */
    readonly claim: (request: ClaimRequest) => Effect.Effect<ReadonlyArray<Job>, StorageError>

    /**
     * What this worker is told, for as long as the scope. Signals may be lost and repeated: a worker also claims every
     * few seconds, and learns of a lost attempt at its next renewal.
     */
    readonly signals: (worker: WorkerId) => Effect.Effect<Queue.Dequeue<Signal>, never, Scope.Scope>

    /** The worker will not claim for now: ends its parking, and passes a wake on that it was given. */
    readonly leaveIdle: (worker: WorkerId) => Effect.Effect<void, StorageError>

    /** Sets the standing of a worker; one that is not open any more also leaves the idle ones. */
    readonly setStanding: (worker: WorkerId, standing: Standing) => Effect.Effect<void, StorageError>

    /** The workers whose standing is not open. */
    readonly standings: Effect.Effect<ReadonlyMap<WorkerId, Standing>, StorageError>

    /** The worker has begun: assigned → processing. */
    readonly start: (fence: Fence) => Effect.Effect<void, LeaseLost | StorageError>

    readonly progress: (fence: Fence, progress: Progress) => Effect.Effect<void, LeaseLost | StorageError>

    readonly complete: (fence: Fence, result: unknown) => Effect.Effect<void, LeaseLost | StorageError>

    /** Ends the attempt; the job waits again when a retry is given, and failed when not. */
    readonly fail: (fence: Fence, error: JobError, retry: Retry | null) => Effect.Effect<void, LeaseLost | StorageError>

    /** Hands the job back without using a retry; it keeps its place in the order. */
    readonly giveBack: (fence: Fence) => Effect.Effect<void, LeaseLost | StorageError>

    /**
     * Prolongs the leases that still hold, never past the job's timeout and one lease, and returns the fences that do
     * not. Jobs that this process claimed for the worker and that it does not list, because it never heard of them, go
     * back without using a retry: those assigned more than a few seconds ago and not by the claim under way.
     */
    readonly renew: (request: RenewRequest) => Effect.Effect<ReadonlyArray<Fence>, StorageError>

    /**
     * Ends a job for good, waiting or held; an attempt that held it is fenced off, and its worker told. Repeating it is
     * a no-op.
     */
    readonly cancel: (id: JobId) => Effect.Effect<Job, JobNotFound | InvalidStateTransition | StorageError>

    /**
     * Lets a failed job wait again at once, with all its retries; it keeps its place in the order, its attempt number,
     * and its error until the next attempt ends. Any other job is refused, one that waits again already too: repeating
     * a retry never starts another one. A job past its `expires_at` expires when it is next looked at.
     */
    readonly retry: (id: JobId) => Effect.Effect<Job, JobNotFound | InvalidStateTransition | StorageError>

    /**
     * Retries the failed jobs that the filter means, oldest first, and says how many. On Redis this goes in steps of
     * at most 40 jobs, so a failure leaves the first ones retried and a repeat goes on with the others. However long
     * that takes, only jobs that finished before it began are retried, and each once.
     */
    readonly retryFailed: (filter: FailedFilter) => Effect.Effect<number, StorageError>

    readonly get: (id: JobId) => Effect.Effect<Option.Option<Job>, StorageError>

    /** The attempts of a job, oldest first; the last 100 of them. */
    readonly attempts: (id: JobId) => Effect.Effect<Option.Option<ReadonlyArray<Attempt>>, StorageError>

    readonly list: (request: ListRequest) => Effect.Effect<JobPage, InvalidCursor | StorageError>

    /** Which jobs each of these workers holds. */
    readonly heldBy: (
      workers: ReadonlyArray<WorkerId>
    ) => Effect.Effect<ReadonlyMap<WorkerId, ReadonlyArray<JobId>>, StorageError>

    /** Hands back every job a worker holds, without using retries, and tells the worker. */
    readonly giveBackAll: (worker: WorkerId) => Effect.Effect<ReadonlyArray<JobId>, StorageError>

    /**
     * Promotes due jobs, expires old ones, ends lost leases and forgets jobs finished long ago: a bounded number of
     * things a call, by any number of processes. After an outage of the store no lease ends before one full lease has passed.
     */
    readonly tick: Effect.Effect<TickReport, StorageError>

    /**
     * The same, unless somebody has looked within half of the tick interval: for the many that look only in case
     * nobody else does.
     */
    readonly standbyTick: Effect.Effect<TickReport, StorageError>

    /** Fails when the queue could not claim or store now. */
    readonly ping: Effect.Effect<void, StorageError>
  }
>()("@muster/core/job/internal/JobQueue") {}
