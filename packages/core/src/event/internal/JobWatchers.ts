/**
 * Those who wait for one job each. State is read first and events second: a watcher is known here before it reads
 * state, and drops the events that the state already tells. Whatever may have been missed makes it read state again.
 */
import { Array, Cause, Deferred, Duration, Effect, Option, Random, Semaphore, Stream } from "effect"
import { isFinished, isHeld, type Job, type JobId } from "../../job/Job.ts"
import { JobNotFound, type StorageError } from "../../job/JobErrors.ts"
import type { JobArchive } from "../../job/internal/JobArchive.ts"
import type { JobQueue } from "../../job/internal/JobQueue.ts"
import { whileAway } from "../../WhileAway.ts"
import type { Event } from "../Event.ts"
import { compare, type EventCursor, positionOf } from "../EventCursor.ts"
import type { JobChange } from "../EventFeed.ts"
import type { EventLog } from "./EventLog.ts"

/** Events that one watcher may leave untaken; then it is given state instead. */
const untaken = 100
/** State is read again when nothing was heard for so long, in ms, a fifth more or less. */
const silence = 30_000
/** Watchers that read state again at once: all of them do after an outage. */
const readingAgain = 32

interface Watcher {
  events: Array<Event>
  /** `check`: something may have been missed; `lost`: something was. State has to be read. */
  doubt: "none" | "check" | "lost"
  waiting: Deferred.Deferred<void> | undefined
}

/** What a watcher knows, to see whether state tells more. */
type Known = Pick<Job, "status" | "attempt" | "progress">

const knownBy = (before: Known | undefined, event: Event): Known => {
  const status = event.status ?? before?.status ?? "pending"
  const progress = event.progress ?? (isHeld(status) ? (before?.progress ?? null) : null)
  return { status, attempt: event.attempt ?? before?.attempt ?? 0, progress }
}

const differs = (known: Known | undefined, job: Job): boolean =>
  known === undefined ||
  known.status !== job.status ||
  known.attempt !== job.attempt ||
  known.progress?.percent !== job.progress?.percent ||
  known.progress?.message !== job.progress?.message ||
  known.progress?.preview !== job.progress?.preview

const isEnd = ({ status }: Event): boolean => status !== undefined && isFinished(status)

const isAfter = (event: Event, position: EventCursor): boolean =>
  positionOf(event.cursor).log === positionOf(position).log && compare(event.cursor, position) > 0

export interface Sources {
  readonly log: EventLog["Service"]
  readonly queue: JobQueue["Service"]
  readonly archive: JobArchive["Service"]
}

export interface JobWatchers {
  /** Tells the watchers of their jobs. */
  readonly tell: (events: ReadonlyArray<Event>) => void
  /** Lets all watchers read state again; they tell it if something was `lost`, or if it is news to them. */
  readonly doubt: (doubt: "check" | "lost") => void
  readonly watch: (id: JobId) => Stream.Stream<JobChange, JobNotFound | StorageError>
}

export const make = ({ archive, log, queue }: Sources): JobWatchers => {
  const watchers = new Map<JobId, Set<Watcher>>()
  const reading = Semaphore.makeUnsafe(readingAgain)

  const wake = (watcher: Watcher): void => {
    const { waiting } = watcher
    watcher.waiting = undefined
    if (waiting !== undefined) Deferred.doneUnsafe(waiting, Effect.void)
  }

  const offer = (watcher: Watcher, event: Event): void => {
    if (watcher.doubt === "lost") return
    // Older progress says nothing any more; what stays keeps its order.
    if (event.type === "job.progress") watcher.events = watcher.events.filter(({ type }) => type !== "job.progress")
    if (watcher.events.length === untaken) {
      watcher.events = []
      watcher.doubt = "lost"
    } else {
      watcher.events.push(event)
    }
    wake(watcher)
  }

  const register = (id: JobId) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const watcher: Watcher = { events: [], doubt: "none", waiting: undefined }
        watchers.set(id, (watchers.get(id) ?? new Set()).add(watcher))
        return watcher
      }),
      (watcher) =>
        Effect.sync(() => {
          const all = watchers.get(id)
          all?.delete(watcher)
          if (all?.size === 0) watchers.delete(id)
        })
    )

  /** A job that the queue has forgotten has ended, and is in the archive or nowhere. */
  const stateOf = Effect.fnUntraced(function* (id: JobId) {
    const found = yield* queue.observe(id)
    if (Option.isSome(found)) return found.value
    const position = yield* log.end
    const [archived] = yield* archive.find([id])
    if (archived === undefined) return yield* new JobNotFound({ id })
    return { job: archived.job, position }
  })

  const stateAgain = (id: JobId) =>
    reading
      .withPermits(1)(stateOf(id))
      .pipe(
        Effect.retry({
          schedule: whileAway,
          while: (error) => error._tag === "StorageError" && error.unavailable
        })
      )

  /** Waits until it is told something; for too long a silence it doubts. */
  const wait = Effect.fnUntraced(function* (watcher: Watcher) {
    const told = (watcher.waiting ??= Deferred.makeUnsafe<void>())
    // It may have been told between its last look and this step.
    if (watcher.events.length > 0 || watcher.doubt !== "none") return
    const patience = Duration.millis(silence * (0.8 + 0.4 * (yield* Random.next)))
    const heard = yield* Effect.timeoutOption(Deferred.await(told), patience)
    if (Option.isNone(heard) && watcher.doubt === "none") watcher.doubt = "check"
    // Whoever tells watchers is in the middle of a step.
    yield* Effect.yieldNow
  })

  const watch = Effect.fnUntraced(function* (id: JobId) {
    const watcher = yield* register(id)
    const first = yield* stateOf(id)
    let position = first.position
    let known: Known | undefined
    let ended = false

    const state = (job: Job): readonly [JobChange] => {
      known = job
      ended = isFinished(job.status)
      return [{ _tag: "State", job, cursor: position }]
    }

    const taken = (): ReadonlyArray<JobChange> => {
      const events = watcher.events.filter((event) => isAfter(event, position))
      watcher.events = []
      const end = events.findIndex(isEnd)
      ended = end >= 0
      const told = ended ? events.slice(0, end + 1) : events
      for (const event of told) known = knownBy(known, event)
      return told.map((event) => ({ _tag: "Event", event }))
    }

    const next = Effect.gen(function* () {
      if (ended) return yield* Cause.done()
      if (known === undefined) return state(first.job)
      while (true) {
        // What was heard goes first, so that a doubt alone leaves no transition out.
        const changes = watcher.doubt === "lost" ? [] : taken()
        if (Array.isReadonlyArrayNonEmpty(changes)) return changes
        if (watcher.doubt === "none") {
          yield* wait(watcher)
          continue
        }
        const wasLost = watcher.doubt === "lost"
        watcher.doubt = "none"
        const again = yield* stateAgain(id)
        if (wasLost || differs(known, again.job)) {
          position = again.position
          return state(again.job)
        }
      }
    })
    return Stream.fromPull(Effect.succeed(next))
  })

  return {
    tell: (events) => {
      if (watchers.size === 0) return
      for (const event of events) {
        const all = event.job_id === undefined ? undefined : watchers.get(event.job_id)
        for (const watcher of all ?? []) offer(watcher, event)
      }
    },

    doubt: (doubt) => {
      for (const all of watchers.values()) {
        for (const watcher of all) {
          if (watcher.doubt !== "lost") watcher.doubt = doubt
          wake(watcher)
        }
      }
    },

    watch: (id) => Stream.unwrap(watch(id))
  }
}
