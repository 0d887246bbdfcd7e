/**
 * The queue port: jobs, their leases and their ends. In memory and on Redis; one contract suite runs on both.
 *
 * Promises of every layer: each method is one atomic step and can be called from any number of processes at once;
 * all times are the store's clock; nothing is half done when a method fails. A method over many jobs says where that
 * holds for each of its steps only. A `StorageError` with `unavailable` leaves open whether the step was done, so every
 * method may be repeated: a repeated submit finds the same job, a repeated report of the same attempt gets the first
 * answer, a repeated retry is told where the job is by now.
 */
import { Context, type DateTime, type Duration, Effect, type Option, type Queue, Schema, type Scope } from "effect"
import type { EventCursor } from "../../event/EventCursor.ts"
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
import type { JobFacts } from "../Matching.ts"
import type { FinishedJob } from "./JobArchive.ts"

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
  /**
   * When it finds nothing, the queue may go on with it by itself as soon as the worker is woken, and tell its `signals`
   * what it was given, which spares the worker a claim. That ends with the worker's next claim, and when it leaves.
   */
  readonly standing?: boolean | undefined
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
  /** In place of a wake: its standing claim, by its nonce, was given these jobs. */
  | {
      readonly _tag: "Given"
      readonly nonce: string
      readonly jobs: ReadonlyArray<Job>
      /** Monotonic time in ns before which none of their leases began. */
      readonly askedAt: bigint
    }
  /** Nobody knows what its standing claim was given, if anything: it should claim `again` by this nonce. */
  | { readonly _tag: "Unheard"; readonly nonce: string }

/**
 * Whether a worker is given jobs. Paused and draining ones keep what they hold; `gone` was unregistered. What an
 * operator asked for is kept by the registry; the queue is told so that no claim can slip past it.
 */
export const Standing = Schema.Literals([...WorkerStanding.literals, "gone"])
export type Standing = typeof Standing.Type

/** Which jobs: all of which everything said here holds. */
export interface ListRequest {
  readonly status?: JobStatus | undefined
  readonly service_required?: string | undefined
  readonly customer_id?: string | undefined
  readonly workflow_id?: string | undefined
  /** Held by one of these workers now, or last. */
  readonly workers?: ReadonlyArray<WorkerId> | undefined
  /** Submitted at this time or later. */
  readonly created_from?: DateTime.Utc | undefined
  /** Submitted before this time. */
  readonly created_before?: DateTime.Utc | undefined
  /** Continue after the page that handed out this cursor. */
  readonly cursor?: string | undefined
  readonly limit: number
}

/** A job with its place in lists. */
export interface Placed {
  /**
   * Decimal, up to 16 digits: the time of the submit in µs, or a little more when many come at once or the clock is set
   * back. It rises from submit to submit, also over the loss of a store, so that one order holds over queue and archive.
   */
  readonly position: string
  readonly job: Job
}

/** Which failed jobs are meant; what is left out holds for all of them. */
export interface FailedFilter {
  readonly service_required?: string | undefined
  /** The kind of the error they failed with. */
  readonly error_kind?: JobErrorKind | undefined
}

export interface JobPage {
  /** Newest first. May hold fewer than `limit` jobs although more follow: each page looks at a bounded stretch. */
  readonly jobs: ReadonlyArray<Placed>
  /** The position down to which was looked; null when nothing follows. */
  readonly next_cursor: string | null
}

/** How many jobs there are, by what they do; none of it is counted one by one. */
export interface QueueCounts {
  readonly scheduled: number
  readonly pending: number
  /** Assigned or processing. */
  readonly held: number
  /** Ended, and still kept in the queue. */
  readonly finished: number
  /** Of these, not archived yet; null when there is no archive. */
  readonly unarchived: number | null
}

/** The jobs of one requirement class that wait. */
export interface ClassDepth {
  /** As events name it; names nothing any more once the class is forgotten. */
  readonly id: string
  readonly facts: JobFacts
  readonly pending: number
  /** When the job that is next was submitted: with equal priorities, the oldest. */
  readonly next_created_at: DateTime.Utc
  /** Whether any kind of worker that claims, or did lately, matches. */
  readonly has_claimers: boolean
}

export interface ClassPage {
  readonly classes: ReadonlyArray<ClassDepth>
  /** Null when nothing follows. */
  readonly next: string | null
}

/** Where a waiting job stands. */
export interface Place {
  /** Waiting jobs that workers which match would be given before it; 0 while it is scheduled. */
  readonly ahead: number
  /** There are too many classes to count: it is at least so many. */
  readonly at_least: boolean
  /** When a scheduled job is due; null for one that waits to be claimed. */
  readonly due_at: DateTime.Utc | null
  /** The worker that is not given the job for now, because it failed there. */
  readonly avoids: WorkerId | null
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
     * On Redis all are checked, and then stored in steps of at most 64 jobs. A failure between two steps leaves the
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

    /** A job and the end of the event log, both of one moment: its next events come after that. */
    readonly observe: (
      id: JobId
    ) => Effect.Effect<Option.Option<{ readonly job: Job; readonly position: EventCursor }>, StorageError>

    /** Where a waiting job stands; none when it does not wait or is unknown. Looks at classes, never at jobs. */
    readonly place: (id: JobId) => Effect.Effect<Option.Option<Place>, StorageError>

    readonly counts: Effect.Effect<QueueCounts, StorageError>

    /** The classes that have jobs waiting to be claimed, a bounded page after another, in no special order. */
    readonly classes: (after: string | null) => Effect.Effect<ClassPage, StorageError>

    /** From now on, for good, no finished job is forgotten before it was marked as archived. */
    readonly keepForArchive: Effect.Effect<void, StorageError>

    /** Some finished jobs that are not marked as archived, those that ended first before others. */
    readonly unarchived: (limit: number) => Effect.Effect<ReadonlyArray<FinishedJob>, StorageError>

    /** The archive has these ends of jobs. One that was retried since, and ended again, is not meant. */
    readonly markArchived: (
      jobs: ReadonlyArray<{ readonly id: JobId; readonly finished_at: DateTime.Utc }>
    ) => Effect.Effect<void, StorageError>

    /**
     * Takes a failed job in again that only the archive knows: it waits at once, as after a retry, at the end of its
     * priority's line; its attempts go on counting from where they were. It keeps its place in lists: elsewhere it would
     * be in them twice while the archive still has its old end.
     */
    readonly revive: (failed: Placed) => Effect.Effect<Job, JobAlreadyExists | StorageError>

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
