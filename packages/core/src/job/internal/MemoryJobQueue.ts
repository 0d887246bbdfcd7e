/**
 * The queue in memory: what `npm start` runs on, and the plain reference every other layer is compared with. Each
 * method is one synchronous step, so the promises of the port hold by construction; nothing outlives the process.
 */
import { Clock, DateTime, Duration, Effect, Layer, Option } from "effect"
import { InvalidStateTransition } from "../../InvalidStateTransition.ts"
import { canonical } from "../../Json.ts"
import type { WorkerId } from "../../worker/Worker.ts"
import type { LateReport } from "../Attempt.ts"
import { canBecome, type Fence, isHeld, type Job, type JobError, type JobId } from "../Job.ts"
import { InvalidCursor, JobAlreadyExists, JobNotFound, LeaseLost } from "../JobErrors.ts"
import { QueueSettings } from "../QueueSettings.ts"
import {
  type ClaimRequest,
  JobQueue,
  refuseDuplicates,
  type Standing,
  type Submitted,
  type TickReport
} from "./JobQueue.ts"
import * as MemoryJobs from "./MemoryJobs.ts"
import * as PastAttempts from "./PastAttempts.ts"
import { offerOf } from "./WaitingLines.ts"

/** Things that one tick does at most. */
export const tickBound = 40

/** A renewal hands back a job that the worker does not know of, when it was claimed longer ago than this, in ms. */
const unheardFor = 5_000

type Entry = MemoryJobs.Entry

const make = Effect.gen(function* () {
  const settings = yield* QueueSettings
  const jobs = MemoryJobs.make(settings)
  const { entries, idle } = jobs
  const standings = new Map<WorkerId, Standing>()
  let lastTick = 0
  let reapFrom = 0

  const leaseMs = Duration.toMillis(settings.lease)
  const tickMs = Duration.toMillis(settings.tickInterval)

  const lost = (fence: Fence) => new LeaseLost({ id: fence.job_id, attempt: fence.attempt })

  /** Runs a report of the attempt that holds the job. */
  const report = (fence: Fence, act: (entry: Entry, now: number) => void) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const entry = jobs.heldWith(fence)
      return entry === undefined ? Effect.fail(lost(fence)) : Effect.sync(() => act(entry, now))
    })

  /** Runs a report that ends the attempt; repeating it gets the first answer, and one that is too late is kept. */
  const end = (
    fence: Fence,
    ended: LateReport["report"],
    act: (entry: Entry, now: number) => void,
    error: JobError | null = null
  ) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const entry = entries.get(fence.job_id)
      if (entry === undefined) return Effect.fail(lost(fence))
      if (jobs.isHeldBy(entry, fence)) {
        act(entry, now)
        entry.ended = ended
        return Effect.void
      }
      if (entry.ended === ended && entry.nonce === fence.nonce && entry.job.attempt === fence.attempt) {
        return Effect.void
      }
      PastAttempts.keepLate(entry.past, fence.attempt, { report: ended, at: DateTime.makeUnsafe(now), error })
      return Effect.fail(lost(fence))
    })

  const claim = (request: ClaimRequest, now: number): ReadonlyArray<Job> => {
    const { again, capabilities, capacity, limit, nonce, worker_id } = request
    const holding = jobs.heldByWorker(worker_id)
    const given = again === true ? holding.filter((entry) => entry.nonce === nonce) : []
    if (given.length > 0) return given.map(({ job }) => job)
    const free = Math.min(limit, capacity - holding.length)
    if (standings.has(worker_id) || free <= 0) return []
    const offer = offerOf(capabilities)
    const claimed: Array<Job> = []
    while (claimed.length < free) {
      const job = jobs.give(worker_id, offer, nonce, now)
      if (job === undefined) break
      claimed.push(job)
    }
    if (claimed.length === 0) idle.park(worker_id, offer, now)
    return claimed
  }

  const lose = (entry: Entry, now: number): void => {
    const { job, lease } = entry
    const error: JobError =
      now >= jobs.overTimeAt(job)
        ? { kind: "Timeout", message: `ran longer than ${job.timeout_ms} ms` }
        : { kind: "Lost", message: `worker ${lease?.worker} stopped renewing its lease` }
    const retry = job.retry_count < job.max_retries ? { delay: Duration.zero, usesRetry: true } : null
    jobs.tellFenced(entry)
    jobs.fail(entry, now, error, retry)
  }

  /** Does the one thing that time asks of this job now, if any. */
  const look = (entry: Entry, now: number, found: Found): boolean => {
    const { job } = entry
    if (job.finished_at !== null) {
      if (DateTime.toEpochMillis(job.finished_at) + Duration.toMillis(settings.retention) > now) return false
      entries.delete(job.id)
      found.forgotten++
      return true
    }
    if (isHeld(job.status)) {
      if (entry.lease === null || entry.lease.until > now || now < reapFrom) return false
      lose(entry, now)
      found.lost.push(job.id)
      return true
    }
    if (jobs.isExpired(entry, now)) {
      jobs.expire(entry, now)
      found.expired.push(job.id)
      return true
    }
    if (entry.due === null || entry.due > now) return false
    jobs.promote(entry, now)
    found.promoted.push(job.id)
    return true
  }

  /** Moves a job by hand, if it is there. */
  const byHand = (id: JobId, act: (entry: Entry, now: number) => Effect.Effect<Job, InvalidStateTransition>) =>
    Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<Job, JobNotFound | InvalidStateTransition> => {
      const entry = entries.get(id)
      return entry === undefined ? Effect.fail(new JobNotFound({ id })) : act(entry, now)
    })

  const tick = Effect.map(Clock.currentTimeMillis, (now): TickReport => {
    const gap = lastTick > 0 && Math.abs(now - lastTick) > Math.max(2 * tickMs, leaseMs / 2)
    // A clock that was set back must not leave a floor in its former future.
    reapFrom = gap ? now + leaseMs : Math.min(reapFrom, now + leaseMs)
    lastTick = now
    idle.tick(now)
    const found: Found = { promoted: [], expired: [], lost: [], forgotten: 0 }
    let changes = 0
    for (const entry of [...entries.values()]) {
      if (changes === tickBound) break
      if (look(entry, now, found)) changes++
    }
    return { ...found, more: changes === tickBound }
  })

  return JobQueue.of({
    submit: (id, request) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now): Effect.Effect<{ readonly job: Job; readonly created: boolean }, JobAlreadyExists> => {
          const text = canonical(request)
          const known = entries.get(id)
          if (known === undefined) return Effect.succeed({ job: jobs.store(id, request, text, now).job, created: true })
          return known.request === text
            ? Effect.succeed({ job: known.job, created: false })
            : Effect.fail(new JobAlreadyExists({ id }))
        }
      ),

    submitMany: (batch) =>
      Effect.flatMap(
        Effect.andThen(refuseDuplicates(batch), Clock.currentTimeMillis),
        (now): Effect.Effect<ReadonlyArray<Submitted>, JobAlreadyExists> => {
          const all = batch.map((job) => ({ ...job, text: canonical(job.request), known: entries.get(job.id) }))
          const taken = all.find(({ known, text }) => known !== undefined && known.request !== text)
          if (taken !== undefined) return Effect.fail(new JobAlreadyExists({ id: taken.id }))
          return Effect.succeed(
            all.map(({ id, known, request, text }) => {
              if (known === undefined) jobs.store(id, request, text, now)
              return { id, created: known === undefined }
            })
          )
        }
      ),

    claim: (request) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const wake = idle.unpark(request.worker_id)
        const claimed = claim(request, now)
        // It may have been given another job than the one it was woken for.
        if (wake !== undefined) idle.wakeFor(wake, now)
        return claimed
      }),

    signals: idle.signals,

    leaveIdle: (worker) => Effect.map(Clock.currentTimeMillis, (now) => idle.leave(worker, now)),

    setStanding: (worker, standing) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (standing !== "open") {
          standings.set(worker, standing)
          idle.leave(worker, now)
        } else if (standings.delete(worker)) {
          idle.tell(worker, { _tag: "Wake" })
        }
      }),

    standings: Effect.sync(() => new Map(standings)),

    start: (fence) =>
      report(fence, (entry, now) => {
        if (canBecome(entry.job.status, "processing")) {
          jobs.change(entry, { status: "processing", started_at: DateTime.makeUnsafe(now) })
        }
      }),

    progress: (fence, progress) => report(fence, (entry) => jobs.change(entry, { progress })),

    complete: (fence, result) =>
      end(fence, "completed", (entry, now) => jobs.finish(entry, "completed", now, { result, error: null })),

    fail: (fence, error, retry) => end(fence, "failed", (entry, now) => jobs.fail(entry, now, error, retry), error),

    giveBack: (fence) => end(fence, "returned", jobs.handBack),

    renew: ({ claiming, fences, worker_id }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const refused = fences.filter((fence) => {
          const entry = jobs.heldWith(fence)
          return entry === undefined || !jobs.prolong(entry, now)
        })
        for (const entry of jobs.heldByWorker(worker_id)) {
          const { assigned_at } = entry.job
          const heard = entry.nonce === claiming || fences.some((fence) => jobs.heldWith(fence) === entry)
          if (heard || assigned_at === null || DateTime.toEpochMillis(assigned_at) + unheardFor >= now) continue
          jobs.handBack(entry, now)
        }
        return refused
      }),

    cancel: (id) =>
      byHand(id, (entry, now) => {
        const { status } = entry.job
        if (status === "cancelled") return Effect.succeed(entry.job)
        if (!canBecome(status, "cancelled")) {
          return Effect.fail(new InvalidStateTransition({ subject: "job", id, from: status, to: "cancelled" }))
        }
        jobs.tellFenced(entry)
        jobs.finish(entry, "cancelled", now, {})
        return Effect.succeed(entry.job)
      }),

    retry: (id) =>
      byHand(id, (entry, now) => {
        const { status } = entry.job
        if (status !== "failed") {
          return Effect.fail(new InvalidStateTransition({ subject: "job", id, from: status, to: "pending" }))
        }
        jobs.startOver(entry, now)
        return Effect.succeed(entry.job)
      }),

    retryFailed: ({ error_kind, service_required }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const meant = [...entries.values()].filter(
          ({ job }) =>
            job.status === "failed" &&
            (service_required === undefined || job.service_required === service_required) &&
            (error_kind === undefined || job.error?.kind === error_kind)
        )
        for (const entry of meant) jobs.startOver(entry, now)
        return meant.length
      }),

    get: (id) => Effect.sync(() => Option.map(Option.fromUndefinedOr(entries.get(id)), ({ job }) => job)),

    attempts: (id) =>
      Effect.sync(() =>
        Option.map(Option.fromUndefinedOr(entries.get(id)), ({ job, past }) => PastAttempts.attemptsOf(past, job))
      ),

    list: ({ cursor, limit, service_required, status }) =>
      Effect.suspend(() => {
        const before = cursor === undefined ? Infinity : Number(cursor)
        if (cursor !== undefined && !/^[0-9]{1,16}$/.test(cursor)) return Effect.fail(new InvalidCursor({ cursor }))
        const found = [...entries.values()]
          .filter(
            (entry) =>
              entry.sequence < before &&
              (status === undefined || entry.job.status === status) &&
              (service_required === undefined || entry.job.service_required === service_required)
          )
          .toSorted((a, b) => b.sequence - a.sequence)
        const page = found.slice(0, limit)
        return Effect.succeed({
          jobs: page.map(({ job }) => job),
          next_cursor: found.length > limit ? String(page.at(-1)?.sequence) : null
        })
      }),

    heldBy: (workers) =>
      Effect.sync(() => new Map(workers.map((id) => [id, jobs.heldByWorker(id).map(({ job }) => job.id)]))),

    giveBackAll: (worker) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        jobs.heldByWorker(worker).map((entry) => {
          jobs.tellFenced(entry)
          jobs.handBack(entry, now)
          return entry.job.id
        })
      ),

    tick,

    // Nobody else looks after a queue in memory.
    standbyTick: tick,

    ping: Effect.void
  })
})

interface Found {
  readonly promoted: Array<JobId>
  readonly expired: Array<JobId>
  readonly lost: Array<JobId>
  forgotten: number
}

export const layer: Layer.Layer<JobQueue> = Layer.effect(JobQueue, make)
