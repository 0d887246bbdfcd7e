/**
 * The queue in memory: what `npm start` runs on, and the plain reference every other layer is compared with. Each
 * method is one synchronous step, so the promises of the port hold by construction; nothing outlives the process.
 */
import { Clock, DateTime, Effect, Layer } from "effect"
import type { EventLog } from "../../event/internal/EventLog.ts"
import * as MemoryEventLog from "../../event/internal/MemoryEventLog.ts"
import { InvalidStateTransition } from "../../InvalidStateTransition.ts"
import { canonical } from "../../Json.ts"
import type { WorkerId } from "../../worker/Worker.ts"
import type { LateReport } from "../Attempt.ts"
import { canBecome, type Fence, type Job, type JobError, type JobId } from "../Job.ts"
import { JobAlreadyExists, JobNotFound, LeaseLost, StorageError } from "../JobErrors.ts"
import { QueueSettings } from "../QueueSettings.ts"
import { type ClaimRequest, JobQueue, refuseDuplicates, type Standing, type Submitted } from "./JobQueue.ts"
import * as MemoryJobs from "./MemoryJobs.ts"
import * as MemoryReads from "./MemoryReads.ts"
import * as MemoryTick from "./MemoryTick.ts"
import * as PastAttempts from "./PastAttempts.ts"
import { offerOf } from "./WaitingLines.ts"

/** A renewal hands back a job that the worker does not know of, when it was claimed longer ago than this, in ms. */
const unheardFor = 5_000

type Entry = MemoryJobs.Entry

/** There is no room for the events of another job; there will be when some are archived or old. */
const overfull = (method: string) =>
  new StorageError({
    operation: `JobQueue.${method}`,
    detail: "the event log is full: no job is taken until it has been archived",
    unavailable: true,
    cause: "the log holds twice its maxBytes"
  })

const make = Effect.gen(function* () {
  const settings = yield* QueueSettings
  const log = yield* MemoryEventLog.MemoryLog
  const jobs = MemoryJobs.make(settings, (event, now) => log.add([event], now))
  const { archiving, countUnarchived, tick } = MemoryTick.make(settings, jobs, log)
  const { entries, idle } = jobs
  const standings = new Map<WorkerId, Standing>()

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
    if (standings.has(worker_id)) return []
    const offer = offerOf(capabilities)
    jobs.meet(offer, now)
    if (free <= 0) return []
    const claimed: Array<Job> = []
    while (claimed.length < free) {
      const job = jobs.giveNext(worker_id, offer, nonce, now)
      if (job === undefined) break
      claimed.push(job)
    }
    if (claimed.length === 0) idle.park(worker_id, offer, now)
    return claimed
  }

  /** Moves a job by hand, if it is there. */
  const byHand = (id: JobId, act: (entry: Entry, now: number) => Effect.Effect<Job, InvalidStateTransition>) =>
    Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<Job, JobNotFound | InvalidStateTransition> => {
      const entry = entries.get(id)
      return entry === undefined ? Effect.fail(new JobNotFound({ id })) : act(entry, now)
    })

  return JobQueue.of({
    ...MemoryReads.make(jobs, log, countUnarchived),
    ...archiving,

    submit: (id, request) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now): Effect.Effect<{ readonly job: Job; readonly created: boolean }, JobAlreadyExists | StorageError> => {
          const text = canonical(request)
          const known = entries.get(id)
          if (known !== undefined) {
            return known.request === text
              ? Effect.succeed({ job: known.job, created: false })
              : Effect.fail(new JobAlreadyExists({ id }))
          }
          if (log.isOverfull()) return Effect.fail(overfull("submit"))
          return Effect.succeed({ job: jobs.store(id, request, text, now).job, created: true })
        }
      ),

    submitMany: (batch) =>
      Effect.flatMap(
        Effect.andThen(refuseDuplicates(batch), Clock.currentTimeMillis),
        (now): Effect.Effect<ReadonlyArray<Submitted>, JobAlreadyExists | StorageError> => {
          const all = batch.map((job) => ({ ...job, text: canonical(job.request), known: entries.get(job.id) }))
          const taken = all.find(({ known, text }) => known !== undefined && known.request !== text)
          if (taken !== undefined) return Effect.fail(new JobAlreadyExists({ id: taken.id }))
          if (log.isOverfull() && all.some(({ known }) => known === undefined))
            return Effect.fail(overfull("submitMany"))
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

    start: (fence) => report(fence, jobs.start),

    progress: (fence, progress) => report(fence, (entry, now) => jobs.progress(entry, progress, now)),

    complete: (fence, result) => end(fence, "completed", (entry, now) => jobs.complete(entry, result, now)),

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
        jobs.cancel(entry, now)
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

    revive: (failed) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        entries.has(failed.job.id)
          ? Effect.fail(new JobAlreadyExists({ id: failed.job.id }))
          : Effect.succeed(jobs.revive(failed, now).job)
      ),

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

/** With the log that it writes its events into. */
export const layer: Layer.Layer<JobQueue | EventLog> = Layer.effect(JobQueue, make).pipe(
  Layer.provideMerge(MemoryEventLog.layer)
)
