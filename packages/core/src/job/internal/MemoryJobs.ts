/**
 * The jobs of the queue in memory and their moves from state to state. Everything here is one synchronous step.
 */
import { DateTime, Duration } from "effect"
import type { WorkerId } from "../../worker/Worker.ts"
import {
  asSubmitted,
  canBecome,
  type Fence,
  isHeld,
  type Job,
  type JobError,
  type JobId,
  type JobRequest,
  type JobStatus
} from "../Job.ts"
import type { QueueSettings } from "../QueueSettings.ts"
import { rank } from "../Rank.ts"
import * as IdleWorkers from "./IdleWorkers.ts"
import type { Retry } from "./JobQueue.ts"
import * as PastAttempts from "./PastAttempts.ts"
import * as WaitingLines from "./WaitingLines.ts"

/** How long a job that asks for it stays away from the worker it failed on, and how long it then steps aside, in ms. */
const elsewhereFor = 30_000
const stepsAside = 1_000

export interface Entry {
  job: Job
  readonly sequence: number
  readonly rank: number
  readonly line: string
  /** The canonical text of the request, to recognise a repeated submit. */
  readonly request: string
  nonce: string | null
  /** Which worker holds the job, and until when (ms); null when nobody does. */
  lease: { readonly worker: WorkerId; readonly until: number } | null
  /** How the last attempt ended by its own report, so that repeating the report gets the same answer. */
  ended: "completed" | "failed" | "returned" | null
  /** When a scheduled job is due, in ms. */
  due: number | null
  /** The worker that is not given the job up to a time in ms. */
  avoids: { readonly worker: WorkerId; readonly until: number } | null
  readonly past: PastAttempts.PastAttempts
}

type Change = Partial<Omit<Job, "id">>

export const make = (settings: QueueSettings) => {
  const entries = new Map<JobId, Entry>()
  const waiting = WaitingLines.make<Entry>()
  const idle = IdleWorkers.make(waiting)
  const holds = new Map<WorkerId, Set<Entry>>()
  let sequence = 0

  const leaseMs = Duration.toMillis(settings.lease)

  const change = (entry: Entry, changes: Change): void => {
    const { status: from } = entry.job
    if (changes.status !== undefined && !canBecome(from, changes.status)) {
      throw new Error(`bug: job ${entry.job.id} is ${from} and cannot become ${changes.status}`)
    }
    entry.job = { ...entry.job, ...changes }
  }

  const isAvoiding = ({ avoids }: Entry, worker: WorkerId, now: number): boolean =>
    avoids !== null && avoids.worker === worker && now < avoids.until

  const insertWaiting = (entry: Entry, now: number): void => {
    waiting.insert(entry)
    const { avoids } = entry
    idle.wakeFor(entry.line, now, avoids !== null && isAvoiding(entry, avoids.worker, now) ? avoids.worker : undefined)
  }

  const letGo = (entry: Entry): void => {
    if (entry.lease === null) return
    const held = holds.get(entry.lease.worker)
    held?.delete(entry)
    if (held?.size === 0) holds.delete(entry.lease.worker)
    entry.lease = null
  }

  /** Tells the worker that holds a job that it does not any more. */
  const tellFenced = ({ job, lease, nonce }: Entry): void => {
    if (lease === null || nonce === null) return
    idle.tell(lease.worker, { _tag: "Fenced", fence: { job_id: job.id, attempt: job.attempt, nonce } })
  }

  const toWaiting = (entry: Entry, now: number, delay: number, changes: Change): void => {
    letGo(entry)
    entry.due = delay > 0 ? now + delay : null
    change(entry, {
      ...changes,
      status: delay > 0 ? "scheduled" : "pending",
      worker_id: null,
      progress: null,
      assigned_at: null,
      started_at: null
    })
    if (delay <= 0) insertWaiting(entry, now)
  }

  const finish = (entry: Entry, status: JobStatus, now: number, changes: Change): void => {
    if (entry.job.status === "pending") waiting.remove(entry)
    letGo(entry)
    entry.due = null
    change(entry, { ...changes, status, finished_at: DateTime.makeUnsafe(now) })
  }

  const handBack = (entry: Entry, now: number): void => {
    PastAttempts.keepEnded(entry.past, entry.job, DateTime.makeUnsafe(now), null)
    toWaiting(entry, now, 0, {})
  }

  const fail = (entry: Entry, now: number, error: JobError, retry: Retry | null): void => {
    if (retry === null) return finish(entry, "failed", now, { error })
    if (retry.elsewhere === true && entry.lease !== null) {
      entry.avoids = { worker: entry.lease.worker, until: now + elsewhereFor }
    }
    PastAttempts.keepEnded(entry.past, entry.job, DateTime.makeUnsafe(now), error)
    const retry_count = entry.job.retry_count + (retry.usesRetry ? 1 : 0)
    toWaiting(entry, now, Duration.toMillis(retry.delay), { error, retry_count })
  }

  const isExpired = ({ job }: Entry, now: number): boolean =>
    job.expires_at !== null && DateTime.toEpochMillis(job.expires_at) <= now

  const expire = (entry: Entry, now: number): void =>
    finish(entry, "expired", now, { error: { kind: "Expired", message: "waited past expires_at" } })

  const isHeldBy = ({ job, nonce }: Entry, fence: Fence): boolean =>
    isHeld(job.status) && job.attempt === fence.attempt && nonce === fence.nonce

  /** When the attempt that holds a job has run for as long as it may, in ms. */
  const overTimeAt = ({ assigned_at, timeout_ms }: Job): number =>
    assigned_at === null || timeout_ms === null ? Infinity : DateTime.toEpochMillis(assigned_at) + timeout_ms

  return {
    entries,
    idle,
    change,
    isExpired,
    expire,
    finish,
    fail,
    handBack,
    tellFenced,

    store: (id: JobId, request: JobRequest, text: string, now: number): Entry => {
      const due = request.run_at === null ? 0 : DateTime.toEpochMillis(request.run_at)
      const entry: Entry = {
        job: asSubmitted(id, request, due > now ? "scheduled" : "pending", DateTime.makeUnsafe(now)),
        sequence: ++sequence,
        rank: rank(request, now, settings.priorityStep),
        line: WaitingLines.lineOf(request),
        request: text,
        nonce: null,
        lease: null,
        ended: null,
        due: due > now ? due : null,
        avoids: null,
        past: PastAttempts.none()
      }
      entries.set(id, entry)
      if (entry.due === null) insertWaiting(entry, now)
      return entry
    },

    /** Gives the next job that may go to this worker to it. */
    give: (worker: WorkerId, offer: WaitingLines.Offer, nonce: string, now: number): Job | undefined => {
      for (let head = waiting.next(offer); head !== undefined; head = waiting.next(offer)) {
        if (isExpired(head, now)) {
          expire(head, now)
          continue
        }
        waiting.remove(head)
        if (isAvoiding(head, worker, now)) {
          head.due = now + stepsAside
          change(head, { status: "scheduled" })
          continue
        }
        head.nonce = nonce
        head.ended = null
        head.lease = { worker, until: now + leaseMs }
        holds.set(worker, (holds.get(worker) ?? new Set()).add(head))
        change(head, {
          status: "assigned",
          attempt: head.job.attempt + 1,
          worker_id: worker,
          assigned_at: DateTime.makeUnsafe(now)
        })
        return head.job
      }
      return undefined
    },

    promote: (entry: Entry, now: number): void => {
      entry.due = null
      change(entry, { status: "pending" })
      insertWaiting(entry, now)
    },

    /** Lets a job that has failed for good start over. */
    startOver: (entry: Entry, now: number): void => {
      PastAttempts.keepFinal(entry.past, entry.job)
      entry.avoids = null
      toWaiting(entry, now, 0, { retry_count: 0, finished_at: null })
    },

    /** The job that this attempt holds. */
    heldWith: (fence: Fence): Entry | undefined => {
      const entry = entries.get(fence.job_id)
      return entry !== undefined && isHeldBy(entry, fence) ? entry : undefined
    },

    isHeldBy,

    heldByWorker: (worker: WorkerId): ReadonlyArray<Entry> => [...(holds.get(worker) ?? [])],

    overTimeAt,

    /** Prolongs a lease up to the time the attempt may take and one lease; says whether there is any left. */
    prolong: (entry: Entry, now: number): boolean => {
      const until = Math.min(now, overTimeAt(entry.job)) + leaseMs
      if (entry.lease === null || until <= now) return false
      entry.lease = { worker: entry.lease.worker, until }
      return true
    }
  }
}
