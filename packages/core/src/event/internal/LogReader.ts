/**
 * Reads the event log from its end on, for as long as its scope and whatever happens to the store: an outage is waited
 * for and said once, a log that does not go on is begun anew.
 */
import { Duration, Effect, type Scope } from "effect"
import { StorageError } from "../../job/JobErrors.ts"
import { whileAway } from "../../WhileAway.ts"
import type { Event } from "../Event.ts"
import type { EventCursor } from "../EventCursor.ts"
import type { EventLog } from "./EventLog.ts"

export interface LogListener {
  /** The log can be read, for the first time or again; the newest event that is known is before `position`. */
  readonly connected: (position: EventCursor) => void
  readonly disconnected: () => void
  readonly events: (events: ReadonlyArray<Event>, position: EventCursor) => void
  /** Events were lost: the next ones come after `position`. */
  readonly lost: (position: EventCursor) => void
}

/** Events read at once. */
const page = 1_000
/** How long a read waits for something to happen. */
const wait = Duration.seconds(5)
/** A store that takes so long has not understood, or is gone without a word. */
const patience = Duration.seconds(15)

const silent = (operation: string) =>
  new StorageError({ operation, detail: "the event log does not answer", unavailable: true, cause: "timeout" })

/** Lets nothing end the reading: what takes too long, or breaks, is one more failure. */
const guarded = <A, E>(operation: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E | StorageError> =>
  effect.pipe(
    Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(silent(operation)) }),
    Effect.catchDefect((cause) =>
      Effect.fail(new StorageError({ operation, detail: "reading events broke", unavailable: false, cause }))
    )
  )

export const run = (log: EventLog["Service"], listener: LogListener): Effect.Effect<void, never, Scope.Scope> =>
  Effect.suspend(() => {
    let position: EventCursor | undefined
    let isConnected = false
    let hasFailed = false

    /** Begins where the log goes on. */
    const begin = Effect.fnUntraced(function* (why: string) {
      const start = yield* guarded("EventLog.start", log.start)
      yield* Effect.logWarning(`events were lost: ${why}`)
      position = start
      listener.lost(start)
    })

    const connect = Effect.fnUntraced(function* (at: EventCursor) {
      if (isConnected) return
      isConnected = true
      listener.connected(at)
      if (hasFailed) yield* Effect.logInfo("events can be read again")
    })

    const failed = (error: StorageError) =>
      Effect.suspend(() => {
        const isNews = isConnected || !hasFailed
        isConnected = false
        hasFailed = true
        listener.disconnected()
        return isNews ? Effect.logWarning(`events cannot be read now: ${error.message}`) : Effect.void
      })

    const round = Effect.gen(function* () {
      const after = position ?? (yield* guarded("EventLog.end", log.end))
      if (position === undefined) {
        position = after
        yield* connect(after)
      }
      // The first read after an outage waits for nothing: it says whether the log can be read.
      const read = log.read({ after, limit: page, ...(isConnected && { wait }) })
      const next = yield* guarded("EventLog.read", read)
      position = next.position
      if (next.events.length > 0) listener.events(next.events, next.position)
      yield* connect(next.position)
    }).pipe(
      Effect.catchTag("CursorLost", (error) => begin(error.message)),
      Effect.tapError(failed),
      Effect.retry(whileAway)
    )

    const reading = Effect.annotateLogs(Effect.forever(round), { fiber: "event-feed" })
    // At once: what is watched before the reading begins is told by state alone.
    return Effect.asVoid(Effect.forkScoped(reading, { startImmediately: true }))
  })
