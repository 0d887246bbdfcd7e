/**
 * What time does to the jobs of the queue in memory, and what of them is kept for an archive. Events that nobody
 * archives are trimmed here too: nobody else looks after a broker in memory.
 */
import { Clock, DateTime, Duration, Effect } from "effect"
import type { MemoryLog } from "../../event/internal/MemoryEventLog.ts"
import { isFinished, isHeld, type JobError } from "../Job.ts"
import type { QueueSettings } from "../QueueSettings.ts"
import type { JobQueue, TickReport } from "./JobQueue.ts"
import type { Entry, MemoryJobs } from "./MemoryJobs.ts"
import * as PastAttempts from "./PastAttempts.ts"

/** Jobs that one tick changes at most. */
export const tickBound = 40

/** In the order in which one tick looks after them. */
const phases = ["lost", "expired", "promoted", "forgotten"] as const

interface Duty {
  readonly entry: Entry
  readonly phase: (typeof phases)[number]
  /** Since when, in ms. */
  readonly at: number
}

/** When a job ended, in ms. */
const endOf = ({ job: { finished_at } }: Entry): number =>
  finished_at === null ? 0 : DateTime.toEpochMillis(finished_at)

export const make = (settings: QueueSettings, jobs: MemoryJobs, log: MemoryLog["Service"]) => {
  const leaseMs = Duration.toMillis(settings.lease)
  const tickMs = Duration.toMillis(settings.tickInterval)
  const retentionMs = Duration.toMillis(settings.retention)
  let lastTick = 0
  let reapFrom = 0
  let isArchived = false

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

  /** Since when time asks something of this job, in ms, and what; undefined when it does not now. */
  const duty = (entry: Entry, now: number): Duty | undefined => {
    const { archived, due, job, lease } = entry
    const dueAt = (phase: Duty["phase"], at: number): Duty | undefined => (at <= now ? { entry, phase, at } : undefined)
    if (isFinished(job.status))
      return isArchived && !archived ? undefined : dueAt("forgotten", endOf(entry) + retentionMs)
    if (isHeld(job.status)) return lease === null || now < reapFrom ? undefined : dueAt("lost", lease.until)
    if (job.expires_at !== null && jobs.isExpired(entry, now)) {
      return dueAt("expired", DateTime.toEpochMillis(job.expires_at))
    }
    return due === null ? undefined : dueAt("promoted", due)
  }

  const act = ({ entry, phase }: Duty, now: number): void => {
    if (phase === "lost") lose(entry, now)
    else if (phase === "expired") jobs.expire(entry, now)
    else if (phase === "promoted") jobs.promote(entry, now)
    else jobs.forget(entry)
  }

  const tick = Effect.map(Clock.currentTimeMillis, (now): TickReport => {
    const gap = lastTick > 0 && Math.abs(now - lastTick) > Math.max(2 * tickMs, leaseMs / 2)
    // A clock that was set back must not leave a floor in its former future.
    reapFrom = gap ? now + leaseMs : Math.min(reapFrom, now + leaseMs)
    lastTick = now
    jobs.idle.tick(now)
    jobs.waiting.tick(now)
    // Found before anything changes, so that no job changes twice.
    const duties = [...jobs.entries.values()]
      .flatMap((entry) => duty(entry, now) ?? [])
      .toSorted((a, b) => phases.indexOf(a.phase) - phases.indexOf(b.phase) || a.at - b.at)
      .slice(0, tickBound)
    for (const one of duties) act(one, now)
    if (!isArchived) log.trim(null, now)
    const done = (wanted: Duty["phase"]) => duties.flatMap(({ entry, phase }) => (phase === wanted ? entry.job.id : []))
    return {
      promoted: done("promoted"),
      expired: done("expired"),
      lost: done("lost"),
      forgotten: done("forgotten").length,
      more: duties.length === tickBound
    }
  })

  const unarchived = (): ReadonlyArray<Entry> =>
    [...jobs.entries.values()].filter(({ archived, job }) => !archived && isFinished(job.status))

  const archiving: Pick<JobQueue["Service"], "keepForArchive" | "unarchived" | "markArchived"> = {
    keepForArchive: Effect.sync(() => {
      isArchived = true
    }),

    unarchived: (limit) =>
      Effect.sync(() =>
        unarchived()
          .toSorted((a, b) => endOf(a) - endOf(b))
          .slice(0, limit)
          .map(({ job, past, sequence }) => ({
            position: String(sequence),
            job,
            attempts: PastAttempts.attemptsOf(past, job)
          }))
      ),

    markArchived: (ends) =>
      Effect.sync(() => {
        for (const { finished_at, id } of ends) {
          const entry = jobs.entries.get(id)
          if (entry !== undefined && endOf(entry) === DateTime.toEpochMillis(finished_at)) entry.archived = true
        }
      })
  }

  /** How many finished jobs the archive does not have; null when there is none. */
  const countUnarchived = (): number | null => (isArchived ? unarchived().length : null)

  return { archiving, countUnarchived, tick }
}
