/**
 * What time does to the jobs of the queue in memory, and what of them is kept for an archive. Events that nobody
 * archives are trimmed here too: nobody else looks after a broker in memory.
 */
import { Clock, DateTime, Duration, Effect } from "effect"
import type { MemoryLog } from "../../event/internal/MemoryEventLog.ts"
import { isFinished, isHeld, type JobError, type JobId } from "../Job.ts"
import type { QueueSettings } from "../QueueSettings.ts"
import type { JobQueue, TickReport } from "./JobQueue.ts"
import type { Entry, MemoryJobs } from "./MemoryJobs.ts"
import * as PastAttempts from "./PastAttempts.ts"

/** Jobs that one tick changes at most. */
export const tickBound = 40

interface Found {
  readonly promoted: Array<JobId>
  readonly expired: Array<JobId>
  readonly lost: Array<JobId>
  forgotten: number
}

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

  const mayForget = ({ archived, job: { finished_at } }: Entry, now: number): boolean =>
    finished_at !== null && DateTime.toEpochMillis(finished_at) + retentionMs <= now && (archived || !isArchived)

  /** Does the one thing that time asks of this job now, if any. */
  const look = (entry: Entry, now: number, found: Found): boolean => {
    const { job } = entry
    if (isFinished(job.status)) {
      if (!mayForget(entry, now)) return false
      jobs.forget(entry)
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

  const tick = Effect.map(Clock.currentTimeMillis, (now): TickReport => {
    const gap = lastTick > 0 && Math.abs(now - lastTick) > Math.max(2 * tickMs, leaseMs / 2)
    // A clock that was set back must not leave a floor in its former future.
    reapFrom = gap ? now + leaseMs : Math.min(reapFrom, now + leaseMs)
    lastTick = now
    jobs.idle.tick(now)
    jobs.waiting.tick(now)
    const found: Found = { promoted: [], expired: [], lost: [], forgotten: 0 }
    let changes = 0
    for (const entry of [...jobs.entries.values()]) {
      if (changes === tickBound) break
      if (look(entry, now, found)) changes++
    }
    if (!isArchived) log.trim(null, now)
    return { ...found, more: changes === tickBound }
  })

  const unarchived = (): ReadonlyArray<Entry> =>
    [...jobs.entries.values()].filter(({ archived, job }) => !archived && isFinished(job.status))

  const endedAt = ({ job: { finished_at } }: Entry): number =>
    finished_at === null ? 0 : DateTime.toEpochMillis(finished_at)

  const archiving: Pick<JobQueue["Service"], "keepForArchive" | "unarchived" | "markArchived"> = {
    keepForArchive: Effect.sync(() => {
      isArchived = true
    }),

    unarchived: (limit) =>
      Effect.sync(() =>
        unarchived()
          .toSorted((a, b) => endedAt(a) - endedAt(b))
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
          if (entry !== undefined && endedAt(entry) === DateTime.toEpochMillis(finished_at)) entry.archived = true
        }
      })
  }

  /** How many finished jobs the archive does not have; null when there is none. */
  const countUnarchived = (): number | null => (isArchived ? unarchived().length : null)

  return { archiving, countUnarchived, tick }
}
