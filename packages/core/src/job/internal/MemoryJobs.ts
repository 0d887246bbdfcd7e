/**
 * The jobs of the queue in memory and their moves from state to state, each of which is told as an event. Everything
 * here is one synchronous step.
 */
import { DateTime, Duration } from "effect"
import type { JobEventType, NewEvent } from "../../event/Event.ts"
import { canonical } from "../../Json.ts"
import type { WorkerId } from "../../worker/Worker.ts"
import type { AttemptOutcome } from "../Attempt.ts"
import {
  asSubmitted,
  canBecome,
  type Fence,
  isHeld,
  type Job,
  type JobError,
  type JobId,
  type JobRequest,
  type JobStatus,
  requestOf,
  type Progress
} from "../Job.ts"
import type { QueueSettings } from "../QueueSettings.ts"
import { rank } from "../Rank.ts"
import * as IdleWorkers from "./IdleWorkers.ts"
import type { Placed, Retry } from "./JobQueue.ts"
import * as PastAttempts from "./PastAttempts.ts"
import * as WaitingLines from "./WaitingLines.ts"

/** How long a job that asks for it stays away from the worker it failed on, and how long it then steps aside, in ms. */
const elsewhereFor = 30_000
const stepsAside = 1_000

export interface Entry extends WaitingLines.Waiter {
  job: Job
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
  /** The archive has this end of the job. */
  archived: boolean
}

type FinalStatus = "completed" | "failed" | "cancelled" | "expired"
type Change = Partial<Omit<Job, "id">>

/** `tell` is given each event, within the step that makes it. */
export const make = (settings: QueueSettings, tell: (event: NewEvent, now: number) => void) => {
  const entries = new Map<JobId, Entry>()
  const counts = new Map<JobStatus, number>()
  const waiting = WaitingLines.make<Entry>()
  const idle = IdleWorkers.make(waiting)
  const holds = new Map<WorkerId, Set<Entry>>()
  let position = 0

  const leaseMs = Duration.toMillis(settings.lease)

  const count = (status: JobStatus, by: number): void => {
    counts.set(status, (counts.get(status) ?? 0) + by)
  }

  const change = (entry: Entry, changes: Change): void => {
    const { status: from } = entry.job
    if (changes.status !== undefined) {
      if (!canBecome(from, changes.status)) {
        throw new Error(`bug: job ${entry.job.id} is ${from} and cannot become ${changes.status}`)
      }
      count(from, -1)
      count(changes.status, 1)
    }
    entry.job = { ...entry.job, ...changes }
  }

  /** Tells what a job has become; `more` is what the event says beside that. */
  const say = (entry: Entry, type: JobEventType, now: number, more: Partial<NewEvent> = {}): void => {
    const { attempt, customer_id, id, service_required, status, workflow_id } = entry.job
    const { requirement_class } = entry
    const event: NewEvent = {
      at: DateTime.makeUnsafe(now),
      type,
      job_id: id,
      status,
      attempt,
      service_required,
      ...(customer_id === null ? {} : { customer_id }),
      ...(workflow_id === null ? {} : { workflow_id }),
      ...(requirement_class === undefined ? {} : { requirement_class }),
      ...more
    }
    tell(event, now)
  }

  const holderOf = ({ lease }: Entry): Partial<NewEvent> => (lease === null ? {} : { worker_id: lease.worker })

  /** How the attempt ended that held the job. */
  const endOf = ({ lease }: Entry, outcome: AttemptOutcome): Partial<NewEvent> =>
    lease === null ? {} : { worker_id: lease.worker, outcome }

  const isAvoiding = ({ avoids }: Entry, worker: WorkerId, now: number): boolean =>
    avoids !== null && avoids.worker === worker && now < avoids.until

  const insertWaiting = (entry: Entry, now: number): void => {
    waiting.insert(entry, now)
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

  const end = (entry: Entry, status: FinalStatus, now: number, changes: Change, more: Partial<NewEvent>): void => {
    if (entry.job.status === "pending") waiting.remove(entry)
    letGo(entry)
    entry.due = null
    entry.archived = false
    change(entry, { ...changes, status, finished_at: DateTime.makeUnsafe(now) })
    say(entry, `job.${status}`, now, more)
  }

  const handBack = (entry: Entry, now: number): void => {
    const more = endOf(entry, "returned")
    PastAttempts.keepEnded(entry.past, entry.job, DateTime.makeUnsafe(now), null)
    toWaiting(entry, now, 0, {})
    say(entry, "job.requeued", now, more)
  }

  const fail = (entry: Entry, now: number, error: JobError, retry: Retry | null): void => {
    const more = { ...endOf(entry, PastAttempts.outcomeOf(error)), error }
    if (retry === null) return end(entry, "failed", now, { error }, more)
    if (retry.elsewhere === true && entry.lease !== null) {
      entry.avoids = { worker: entry.lease.worker, until: now + elsewhereFor }
    }
    PastAttempts.keepEnded(entry.past, entry.job, DateTime.makeUnsafe(now), error)
    const retry_count = entry.job.retry_count + (retry.usesRetry ? 1 : 0)
    toWaiting(entry, now, Duration.toMillis(retry.delay), { error, retry_count })
    say(entry, "job.requeued", now, more)
  }

  const isExpired = ({ job }: Entry, now: number): boolean =>
    job.expires_at !== null && DateTime.toEpochMillis(job.expires_at) <= now

  const expire = (entry: Entry, now: number): void => {
    const error: JobError = { kind: "Expired", message: "waited past expires_at" }
    end(entry, "expired", now, { error }, { error })
  }

  const isHeldBy = ({ job, nonce }: Entry, fence: Fence): boolean =>
    isHeld(job.status) && job.attempt === fence.attempt && nonce === fence.nonce

  /** When the attempt that holds a job has run for as long as it may, in ms. */
  const overTimeAt = ({ assigned_at, timeout_ms }: Job): number =>
    assigned_at === null || timeout_ms === null ? Infinity : DateTime.toEpochMillis(assigned_at) + timeout_ms

  /** A place in lists, which rises with time; also a sequence of submits. */
  const nextPosition = (now: number): number => {
    position = Math.max(position + 1, Math.floor(now) * 1_000)
    return position
  }

  const add = (
    job: Job,
    request: JobRequest,
    text: string,
    ranked: JobRequest,
    now: number,
    sequence = nextPosition(now)
  ): Entry => {
    const entry: Entry = {
      job,
      sequence,
      rank: rank(ranked, now, settings.priorityStep),
      base: WaitingLines.baseOf(request),
      line: "",
      requirement_class: undefined,
      request: text,
      nonce: null,
      lease: null,
      ended: null,
      due: job.status === "scheduled" && request.run_at !== null ? DateTime.toEpochMillis(request.run_at) : null,
      avoids: null,
      past: PastAttempts.none(),
      archived: false
    }
    entries.set(job.id, entry)
    count(job.status, 1)
    if (entry.due === null) insertWaiting(entry, now)
    return entry
  }

  /** Gives a waiting job that nothing keeps from this worker to it. */
  const give = (entry: Entry, worker: WorkerId, nonce: string, now: number): Job => {
    entry.nonce = nonce
    entry.ended = null
    entry.lease = { worker, until: now + leaseMs }
    holds.set(worker, (holds.get(worker) ?? new Set()).add(entry))
    change(entry, {
      status: "assigned",
      attempt: entry.job.attempt + 1,
      worker_id: worker,
      assigned_at: DateTime.makeUnsafe(now)
    })
    say(entry, "job.assigned", now, { worker_id: worker })
    return entry.job
  }

  return {
    entries,
    waiting,
    idle,
    isExpired,
    expire,
    fail,
    handBack,
    tellFenced,

    /** How many jobs have one of these statuses. */
    countOf: (...statuses: ReadonlyArray<JobStatus>): number =>
      statuses.reduce((sum, status) => sum + (counts.get(status) ?? 0), 0),

    store: (id: JobId, request: JobRequest, text: string, now: number): Entry => {
      const isLater = request.run_at !== null && DateTime.toEpochMillis(request.run_at) > now
      const job = asSubmitted(id, request, isLater ? "scheduled" : "pending", DateTime.makeUnsafe(now))
      const entry = add(job, request, text, request, now)
      say(entry, "job.submitted", now)
      return entry
    },

    /** Takes a failed job in that only the archive knows. */
    revive: (failed: Placed, now: number): Entry => {
      const request = requestOf(failed.job)
      const job: Job = {
        ...failed.job,
        status: "pending",
        retry_count: 0,
        worker_id: null,
        progress: null,
        assigned_at: null,
        started_at: null,
        finished_at: null
      }
      const ranked = { ...request, run_at: null, workflow_datetime: null }
      const entry = add(job, request, canonical(request), ranked, now, Number(failed.position))
      say(entry, "job.retried", now)
      return entry
    },

    forget: (entry: Entry): void => {
      entries.delete(entry.job.id)
      count(entry.job.status, -1)
    },

    /** A worker that offers this claims: jobs wait in other lines from now on when it names more than others did. */
    meet: (offer: WaitingLines.Offer, now: number): void => {
      for (const entry of waiting.meet(offer, now)) insertWaiting(entry, now)
    },

    /** Gives the next job that may go to this worker to it. */
    giveNext: (worker: WorkerId, offer: WaitingLines.Offer, nonce: string, now: number): Job | undefined => {
      for (let head = waiting.next(offer); head !== undefined; head = waiting.next(offer)) {
        if (isExpired(head, now)) {
          expire(head, now)
          continue
        }
        waiting.remove(head)
        if (!isAvoiding(head, worker, now)) return give(head, worker, nonce, now)
        head.due = now + stepsAside
        change(head, { status: "scheduled" })
        say(head, "job.deferred", now, { worker_id: worker })
      }
      return undefined
    },

    start: (entry: Entry, now: number): void => {
      if (!canBecome(entry.job.status, "processing")) return
      change(entry, { status: "processing", started_at: DateTime.makeUnsafe(now) })
      say(entry, "job.started", now, holderOf(entry))
    },

    progress: (entry: Entry, progress: Progress, now: number): void => {
      change(entry, { progress })
      say(entry, "job.progress", now, { ...holderOf(entry), progress })
    },

    complete: (entry: Entry, result: unknown, now: number): void =>
      end(entry, "completed", now, { result, error: null }, endOf(entry, "completed")),

    cancel: (entry: Entry, now: number): void => {
      tellFenced(entry)
      end(entry, "cancelled", now, {}, endOf(entry, "cancelled"))
    },

    promote: (entry: Entry, now: number): void => {
      entry.due = null
      change(entry, { status: "pending" })
      insertWaiting(entry, now)
      say(entry, "job.promoted", now)
    },

    /** Lets a job that has failed for good start over. */
    startOver: (entry: Entry, now: number): void => {
      PastAttempts.keepFinal(entry.past, entry.job)
      entry.avoids = null
      toWaiting(entry, now, 0, { retry_count: 0, finished_at: null })
      say(entry, "job.retried", now)
    },

    /** The job that this attempt holds. */
    heldWith: (fence: Fence): Entry | undefined => {
      const entry = entries.get(fence.job_id)
      return entry !== undefined && isHeldBy(entry, fence) ? entry : undefined
    },

    isHeldBy,

    /** The worker that is not given the job for now. */
    avoidedBy: (entry: Entry, now: number): WorkerId | null =>
      entry.avoids !== null && isAvoiding(entry, entry.avoids.worker, now) ? entry.avoids.worker : null,

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

export type MemoryJobs = ReturnType<typeof make>
