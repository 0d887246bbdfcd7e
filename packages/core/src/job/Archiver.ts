/**
 * Moves what has ended into the archive: jobs by marks in the queue, events by a cursor in the archive. Every server
 * runs it and one at a time works; what is stored is right whoever stores it, and a server that dies anywhere in between
 * leaves work to be done again, never work undone. Nothing leaves queue or log before the archive has it, so an archive
 * that is away costs room there, and is caught up with afterwards.
 */
import { Clock, DateTime, Duration, Effect, Layer, Ref } from "effect"
import { type EventCursor, positionOf } from "../event/EventCursor.ts"
import type { Event } from "../event/Event.ts"
import { EventLog } from "../event/internal/EventLog.ts"
import { EventSettings } from "../event/EventSettings.ts"
import { recurring } from "../Recurring.ts"
import { whileAway } from "../WhileAway.ts"
import { type ArchiverReport, ArchiverState } from "./ArchiverState.ts"
import { JobArchive } from "./internal/JobArchive.ts"
import { JobQueue } from "./internal/JobQueue.ts"

/** What is stored in one step of the archive, about: each step waits for a disk. A job has some four events. */
const jobsPerStep = 1_000
const eventsPerStep = 4_000
const eventsPerPage = 1_000

/** How long the server that works keeps the others from it after its last round. */
const hold = Duration.seconds(10)
/** How long a round works before it says that it goes on. */
const roundMillis = 3_000

const lookInterval = Duration.millis(250)
/** How often a server asks whether it is its turn. */
const turnMillis = 2_000
const observeInterval = Duration.seconds(2)
const trimInterval = Duration.seconds(5)
const forgetInterval = Duration.minutes(1)

const say = Effect.fnUntraced(function* (change: (report: ArchiverReport) => Partial<ArchiverReport>) {
  const state = yield* ArchiverState
  yield* Ref.update(state, (report) => ({ ...report, ...change(report) }))
})

/** Archives some jobs that have ended, and says which was the first; undefined when there was none. */
export const archiveJobs = Effect.fnUntraced(function* () {
  const queue = yield* JobQueue
  const archive = yield* JobArchive
  const jobs = yield* queue.unarchived(jobsPerStep)
  const [first] = jobs
  if (first === undefined) return undefined
  yield* archive.store(jobs)
  yield* queue.markArchived(
    jobs.flatMap(({ job: { finished_at, id } }) => (finished_at === null ? [] : [{ id, finished_at }]))
  )
  yield* say(({ jobs_archived }) => ({ jobs_archived: jobs_archived + jobs.length }))
  return `${first.job.id} ${first.job.attempt} ${String(first.job.finished_at)}`
})

/** Until none is left, for a while. One that stays unarchived although it was marked is not stored over and over. */
const drainJobs = Effect.fnUntraced(function* (until: number) {
  let before: string | undefined
  while ((yield* Clock.currentTimeMillis) < until) {
    const first = yield* archiveJobs()
    if (first === undefined || first === before) return
    before = first
  }
})

/** What the log has after a cursor; all it has when it does not go on from there. */
const readPage = Effect.fnUntraced(function* (cursor: EventCursor | null) {
  const log = yield* EventLog
  const limit = eventsPerPage
  const fromStart = Effect.flatMap(log.start, (after) => log.read({ after, limit }))
  if (cursor === null) return yield* fromStart
  return yield* log.read({ after: cursor, limit }).pipe(
    Effect.catchTag("CursorLost", ({ why }) =>
      Effect.gen(function* () {
        yield* Effect.logError(`the archive misses events: the log does not go on from where it ends (${why})`)
        yield* say(({ gaps }) => ({ gaps: gaps + 1 }))
        return yield* fromStart
      })
    )
  )
})

/** The same, as many pages as are stored in one step. */
const readLog = Effect.fnUntraced(function* (cursor: EventCursor | null) {
  const events: Array<Event> = []
  let position = cursor
  while (events.length < eventsPerStep) {
    const page = yield* readPage(position)
    for (const event of page.events) events.push(event)
    position = page.position
    if (page.events.length < eventsPerPage) break
  }
  return { events, position }
})

/** Archives what happened after the archive's cursor, some of it; says whether to look for more at once. */
export const archiveEvents = Effect.fnUntraced(function* () {
  const archive = yield* JobArchive
  const from = yield* archive.cursor
  yield* say(() => ({ events_archived_to: from }))
  const { events, position } = yield* readLog(from)
  if (position === null || position === from) return false
  // How far a job is matters while it runs.
  const kept = events.filter(({ type }) => type !== "job.progress")
  if (!(yield* archive.storeEvents({ from, to: position, events: kept }))) return true
  yield* say(({ events_archived }) => ({
    events_archived: events_archived + kept.length,
    events_archived_to: position
  }))
  return events.length >= eventsPerStep
})

const drainEvents = Effect.fnUntraced(function* (until: number) {
  while ((yield* archiveEvents()) && (yield* Clock.currentTimeMillis) < until);
})

/** Trims the log behind the archive, as far as this server knows where that is. */
export const trimLog = Effect.fnUntraced(function* () {
  const log = yield* EventLog
  const archive = yield* JobArchive
  const { events_archived_to } = yield* Ref.get(yield* ArchiverState)
  const trim = (archived: EventCursor | null) => Effect.repeat(log.trim(archived), { while: (more) => more })
  if (!archive.keeps) {
    yield* trim(null)
  } else if (events_archived_to !== null) {
    // A cursor of a log that was lost says nothing of this one.
    const isOfLog = positionOf(events_archived_to).log === positionOf(yield* log.start).log
    if (isOfLog) yield* trim(events_archived_to)
  }
})

/** One look after all there is to archive. */
const round = Effect.gen(function* () {
  const until = (yield* Clock.currentTimeMillis) + roundMillis
  yield* Effect.all([drainJobs(until), drainEvents(until)], { concurrency: 2, discard: true })
  yield* say(() => ({ error: null }))
})

/** Rounds of the server whose turn it is; the others only ask now and then whether it is theirs. */
const makeRounds = (holder: string) => {
  let working = false
  let askAt = 0
  return Effect.gen(function* () {
    const archive = yield* JobArchive
    const now = yield* Clock.currentTimeMillis
    if (now >= askAt) {
      working = yield* archive.takeTurn(holder, hold)
      askAt = now + turnMillis
      // Whoever works says after its round whether it works again; of the others nobody else would.
      yield* say(({ error }) => ({ working, error: working ? error : null }))
    }
    if (working) yield* round
  }).pipe(
    Effect.tapError((error) => {
      working = false
      askAt = 0
      const message = error._tag === "StorageError" ? error.detail : error.message
      return Effect.flatMap(DateTime.now, (now) =>
        say(({ error: before }) => ({ working: false, error: { at: before?.at ?? now, message } }))
      )
    })
  )
}

/** Forgets what the archive has kept for long enough, step by step. */
export const forgetOld = Effect.fnUntraced(function* () {
  const archive = yield* JobArchive
  const { archiveRetention } = yield* EventSettings
  const before = DateTime.subtractDuration(yield* DateTime.now, archiveRetention)
  yield* Effect.repeat(archive.forget(before), { while: (more) => more })
})

const since = (at: DateTime.Utc | null | undefined, now: number): number =>
  at === null || at === undefined ? 0 : Math.max(0, now - DateTime.toEpochMillis(at))

/** Notes how far the archive is behind, also while it is away. */
export const observe = Effect.fnUntraced(function* () {
  const queue = yield* JobQueue
  const log = yield* EventLog
  const archive = yield* JobArchive
  const state = yield* ArchiverState
  let { unarchived } = yield* queue.counts
  if (unarchived === null) {
    // It has forgotten everything, and with it that there is an archive.
    yield* queue.keepForArchive
    unarchived = (yield* queue.counts).unarchived
  }
  const [oldest] = unarchived === 0 ? [] : yield* queue.unarchived(1)
  const { events_archived_to: known } = yield* Ref.get(state)
  const cursor = yield* Effect.catchTag(archive.cursor, "StorageError", () => Effect.succeed(known))
  const after = cursor ?? (yield* log.start)
  const next = yield* log.read({ after, limit: 1 }).pipe(
    Effect.map(({ events: [event] }) => event?.at),
    // The next round says what is wrong.
    Effect.catchTag("CursorLost", () => Effect.succeed(undefined))
  )
  const now = yield* Clock.currentTimeMillis
  yield* say(() => ({
    jobs_behind: unarchived,
    jobs_behind_ms: since(oldest?.job.finished_at, now),
    events_behind_ms: since(next, now),
    events_archived_to: cursor
  }))
})

/** Without an archive only the log is trimmed. */
export const startArchiving = Effect.gen(function* () {
  const queue = yield* JobQueue
  const archive = yield* JobArchive
  yield* recurring("log-trim", trimInterval, trimLog())
  if (!archive.keeps) return
  const holder = globalThis.crypto.randomUUID()
  yield* Effect.addFinalizer(() => Effect.ignore(Effect.timeout(archive.leaveTurn(holder), Duration.seconds(1))))
  // Before this is done once, the queue forgets as if there was no archive.
  yield* Effect.forkScoped(Effect.retry(queue.keepForArchive, whileAway))
  yield* recurring("archive", lookInterval, makeRounds(holder))
  yield* recurring("archive-lag", observeInterval, observe())
  yield* recurring(
    "archive-retention",
    forgetInterval,
    Effect.flatMap(ArchiverState, Ref.get).pipe(Effect.flatMap(({ working }) => (working ? forgetOld() : Effect.void)))
  )
})

export const layer = Layer.effectDiscard(startArchiving)
