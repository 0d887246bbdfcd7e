/**
 * Jobs over queue and archive, as if they were one store. A job is in the queue from its submit until some time after its
 * end, in the archive from soon after its end, and in both in between; what the queue says goes first, because it is
 * newer. The queue is always asked first: a job that leaves it meanwhile is in the archive by then.
 */
import { Duration, Effect, Option } from "effect"
import type { Attempt } from "./Attempt.ts"
import { JobArchive } from "./internal/JobArchive.ts"
import { JobQueue, type ListRequest, type Placed } from "./internal/JobQueue.ts"
import { isAskedFor } from "./internal/ListFilter.ts"
import type { Job, JobId } from "./Job.ts"

/** A page of jobs, newest first. */
export interface HistoryPage {
  readonly jobs: ReadonlyArray<Job>
  /** Where the next page starts; null when nothing follows. */
  readonly next_cursor: string | null
  /** The archive was away: jobs that only it has are missing. */
  readonly incomplete: boolean
}

/** How long a list waits for the archive, and how much is asked of the queue at once. */
const patience = Duration.seconds(3)
const concurrency = 16
/** The attempts that are told of a job. */
const mostAttempts = 100

const byPosition = (a: Placed, b: Placed): number => Number(b.position) - Number(a.position)

/**
 * What the archive has in the stretch that the queue has looked at, but for what the queue knows better: a failed job
 * may have been taken in again. Undefined while the archive is away.
 */
const archivedIn = Effect.fnUntraced(function* (
  request: ListRequest,
  known: ReadonlySet<JobId>,
  from: string | undefined
) {
  const queue = yield* JobQueue
  const archive = yield* JobArchive
  const found = yield* archive.list({ ...request, from }).pipe(
    Effect.map(Option.some),
    Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.succeedNone }),
    Effect.catchIf(
      (error) => error.unavailable,
      () => Effect.succeedNone
    )
  )
  if (Option.isNone(found)) return undefined
  const unseen = found.value.filter(({ job }) => !known.has(job.id))
  const current = yield* Effect.forEach(
    unseen,
    (placed) =>
      placed.job.status !== "failed"
        ? Effect.succeed([placed])
        : Effect.map(queue.get(placed.job.id), (now) => {
            const job = Option.getOrElse(now, () => placed.job)
            return isAskedFor(job, request) ? [{ ...placed, job }] : []
          }),
    { concurrency }
  )
  return { jobs: current.flat(), last: found.value.at(-1), isFull: found.value.length >= request.limit }
})

/**
 * A page of jobs. Pages that follow one another have each job that was there all the time exactly once, whatever is
 * submitted, ends, is archived or taken in again meanwhile. A page may be short although more follows.
 */
export const listJobs = Effect.fn("JobHistory.listJobs")(function* (request: ListRequest) {
  const queue = yield* JobQueue
  const { keeps } = yield* JobArchive
  const page = yield* queue.list(request)
  const inQueue: HistoryPage = {
    jobs: page.jobs.map(({ job }) => job),
    next_cursor: page.next_cursor,
    incomplete: false
  }
  if (!keeps) return inQueue
  const known = new Set(page.jobs.map(({ job }) => job.id))
  const archived = yield* archivedIn(request, known, page.next_cursor ?? undefined)
  if (archived === undefined) return { ...inQueue, incomplete: true }
  const { isFull, jobs, last } = archived
  // Further down than a full answer of the archive nothing is known of it.
  const bottom = isFull && last !== undefined ? Number(last.position) : 0
  const all = [...page.jobs, ...jobs].filter(({ position }) => Number(position) >= bottom).toSorted(byPosition)
  const shown = all.slice(0, request.limit)
  const end = all.length > request.limit ? shown.at(-1) : isFull ? last : undefined
  const result: HistoryPage = {
    jobs: shown.map(({ job }) => job),
    next_cursor: end === undefined ? page.next_cursor : end.position,
    incomplete: false
  }
  return result
})

/** A job with its place in lists, from the archive; none too when the archive keeps nothing. */
export const findArchived = Effect.fnUntraced(function* (id: JobId) {
  const archive = yield* JobArchive
  if (!archive.keeps) return Option.none<Placed>()
  const [found] = yield* archive.find([id])
  return Option.fromUndefinedOr(found)
})

/** A job, wherever it is. */
export const findJob = Effect.fn("JobHistory.findJob")(function* (id: JobId) {
  const queue = yield* JobQueue
  const found = yield* queue.get(id)
  if (Option.isSome(found)) return found
  return Option.map(yield* findArchived(id), ({ job }) => job)
})

/** The attempts of a job, oldest first; the last 100 of them. */
export const findAttempts = Effect.fn("JobHistory.findAttempts")(function* (id: JobId) {
  const queue = yield* JobQueue
  const archive = yield* JobArchive
  const found = yield* queue.attempts(id)
  if (Option.isNone(found)) return yield* archive.attempts(id)
  // A job that was taken in again has its earlier attempts in the archive.
  const first = found.value[0]?.attempt ?? (yield* earliestAttempt(id))
  if (!archive.keeps || first <= 1 || found.value.length >= mostAttempts) return found
  const earlier = yield* archive.attempts(id).pipe(
    Effect.catchIf(
      (error) => error.unavailable,
      () => Effect.succeedNone
    )
  )
  const before = Option.getOrElse(earlier, (): ReadonlyArray<Attempt> => []).filter(({ attempt }) => attempt < first)
  return Option.some([...before, ...found.value].slice(-mostAttempts))
})

/** The number of the attempt that comes next, for a job without any in the queue. */
const earliestAttempt = Effect.fnUntraced(function* (id: JobId) {
  const queue = yield* JobQueue
  return Option.match(yield* queue.get(id), { onNone: () => 1, onSome: ({ attempt }) => attempt + 1 })
})
