/**
 * Whether the broker could take and give jobs now: not whether its process lives, but whether its stores answer. What is
 * merely not well is said beside it, and does not make it unready.
 */
import { type DateTime, Duration, Effect, Ref } from "effect"
import { Overview } from "./diagnosis/Overview.ts"
import type { MemoryFigures } from "./diagnosis/QueueMemory.ts"
import { EventFeed } from "./event/EventFeed.ts"
import { EventSettings } from "./event/EventSettings.ts"
import { ArchiverState } from "./job/ArchiverState.ts"
import { JobQueue, type QueueCounts } from "./job/internal/JobQueue.ts"
import type { StorageError } from "./job/JobErrors.ts"
import { WorkerRepository } from "./worker/internal/WorkerRepository.ts"
import type { RepositoryError } from "./worker/WorkerErrors.ts"

export interface StoreState {
  readonly ok: boolean
  /** What is wrong, in words that are safe to show; null when nothing is. */
  readonly detail: string | null
}

/** What an operator asks next. Null is what could not be read in time, or does not apply. */
export interface Figures {
  readonly jobs: QueueCounts | null
  readonly waiting: {
    /** When the job that waits longest was submitted; null when none waits. */
    readonly oldest_at: DateTime.Utc | null
    /** Waiting jobs that no claiming worker matches. */
    readonly unserved_jobs: number
  } | null
  readonly memory: MemoryFigures | null
  readonly log: {
    readonly entries: number
    readonly bytes: number
    readonly limit_bytes: number
    /** From when the newest event happened to when this server read it; null before the first. */
    readonly lag_ms: number | null
  } | null
  /** Null also where there is no archive. */
  readonly archive: {
    /** Finished jobs that it does not have yet; null while that is not known. */
    readonly jobs_behind: number | null
    /** How long ago the first thing ended or happened that it does not have. */
    readonly behind_ms: number
    readonly error: string | null
  } | null
}

export interface Readiness {
  readonly ready: boolean
  readonly registry: StoreState
  readonly queue: StoreState
  /** What works and is worth a look, a sentence each. */
  readonly degraded: ReadonlyArray<string>
  readonly figures: Figures
}

const patience = Duration.seconds(2)

/** Memory that will be short within this time is worth a word. */
const soon = Duration.toSeconds(Duration.hours(1))

const stateOf = (ping: Effect.Effect<void, RepositoryError | StorageError>): Effect.Effect<StoreState> =>
  ping.pipe(
    Effect.as<StoreState>({ ok: true, detail: null }),
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.succeed<StoreState>({ ok: false, detail: "does not answer" })
    }),
    Effect.catch((error) => Effect.succeed<StoreState>({ ok: false, detail: error.detail }))
  )

const figures = Effect.gen(function* () {
  const overview = yield* Overview
  const { maxBytes } = yield* EventSettings
  const { lag } = yield* EventFeed
  const report = yield* Ref.get(yield* ArchiverState)
  const known = <A, E>(read: Effect.Effect<A, E>): Effect.Effect<A | null> => Effect.orElseSucceed(read, () => null)
  const { jobs, log, memory, waiting } = yield* Effect.all(
    {
      jobs: known(overview.counts),
      waiting: known(overview.waiting),
      memory: known(overview.memory),
      log: known(overview.log)
    },
    { concurrency: "unbounded" }
  )
  return {
    jobs,
    waiting: waiting && { oldest_at: waiting.oldest_at, unserved_jobs: waiting.unserved.jobs },
    memory,
    log: log && { entries: log.entries, bytes: log.bytes, limit_bytes: maxBytes, lag_ms: (yield* lag).ms },
    archive:
      overview.archive === null
        ? null
        : {
            jobs_behind: report.jobs_behind,
            behind_ms: Math.max(report.jobs_behind_ms, report.events_behind_ms),
            error: report.error?.message ?? null
          }
  } satisfies Figures
})

/** An archive that is behind by more than this does not catch up by itself, as it looks. */
const farBehind = Duration.toMillis(Duration.minutes(5))

const degradations = ({ archive, log, memory, waiting }: Figures): ReadonlyArray<string> => [
  ...(memory !== null && memory.short_in_s !== null && memory.short_in_s <= soon
    ? [`memory will be short in ${Math.ceil(memory.short_in_s / 60)} min`]
    : []),
  ...(log !== null && log.bytes >= log.limit_bytes ? ["the event log is full: progress is left out of it"] : []),
  ...(archive !== null && archive.error !== null ? [`the archive cannot be written: ${archive.error}`] : []),
  ...(archive !== null && archive.behind_ms > farBehind
    ? [`the archive is ${Math.floor(archive.behind_ms / 60_000)} min behind`]
    : []),
  ...(waiting !== null && waiting.unserved_jobs > 0
    ? [`jobs wait that no claiming worker matches: ${waiting.unserved_jobs}`]
    : [])
]

/** Asks both stores, for at most 2 s. */
export const check = Effect.gen(function* () {
  const workers = yield* WorkerRepository
  const jobs = yield* JobQueue
  const [registry, queue, known] = yield* Effect.all([stateOf(workers.ping), stateOf(jobs.ping), figures], {
    concurrency: 3
  })
  return {
    ready: registry.ok && queue.ok,
    registry,
    queue,
    degraded: degradations(known),
    figures: known
  } satisfies Readiness
})
