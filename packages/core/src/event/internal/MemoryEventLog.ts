/**
 * The event log in memory: an array that ends with the process. The queue in memory adds to it within its own
 * synchronous steps; everybody else uses the port.
 */
import { Clock, Context, Deferred, Duration, Effect, Layer } from "effect"
import type { Event, NewEvent } from "../Event.ts"
import { compare, type EventCursor, make as makeCursor, positionOf } from "../EventCursor.ts"
import { CursorLost } from "../EventErrors.ts"
import { EventSettings } from "../EventSettings.ts"
import { EventLog, type EventPage } from "./EventLog.ts"

/** What the queue does with the log. All of it is synchronous. */
export class MemoryLog extends Context.Service<
  MemoryLog,
  {
    /** Adds what happened in one step, at a time in ms. No progress is added to a log that is full. */
    readonly add: (events: ReadonlyArray<NewEvent>, now: number) => void
    readonly end: () => EventCursor
    /** Whether it holds twice what it may: no job should be taken. */
    readonly isOverfull: () => boolean
    /** As `EventLog.trim`, at a time in ms. */
    readonly trim: (archived: EventCursor | null, now: number) => boolean
  }
>()("@muster/core/event/internal/MemoryEventLog/MemoryLog") {}

interface Entry {
  readonly events: ReadonlyArray<Event>
  readonly ms: number
  readonly bytes: number
}

/** Entries that one call forgets at most. */
const trimBound = 10_000
/** Entries that one page is made of at most. */
const pageBound = 1_000

/** About what an event takes: its texts, and what an object costs. */
const sizeOf = (event: NewEvent): number => {
  const { error, progress, reason } = event
  const { message, preview } = progress ?? {}
  return 500 + (error?.message.length ?? 0) + (message?.length ?? 0) + (preview?.length ?? 0) + (reason?.length ?? 0)
}

const make = Effect.gen(function* () {
  const settings = yield* EventSettings
  const retention = Duration.toMillis(settings.retention)
  const log = globalThis.crypto.randomUUID().replaceAll("-", "").slice(0, 12)
  const relayed = new Map<string, number>()
  /** Those before `gone` are forgotten, and taken out when they are the greater part. */
  let entries: Array<Entry> = []
  let gone = 0
  let bytes = 0
  let start = makeCursor({ log, ms: 0, seq: 0, index: 0 })
  let last = { ms: 0, seq: 0, index: 0 }
  let waiting: Deferred.Deferred<void> | undefined

  const end = (): EventCursor => makeCursor({ log, ...last })

  const add = (events: ReadonlyArray<NewEvent>, now: number): void => {
    const kept = bytes < settings.maxBytes ? events : events.filter(({ type }) => type !== "job.progress")
    if (kept.length === 0) return
    // The clock may be set back, the order of the log may not.
    const ms = Math.max(Math.floor(now), last.ms)
    const seq = ms === last.ms ? last.seq + 1 : 0
    const numbered = kept.map((event, index) => ({ cursor: makeCursor({ log, ms, seq, index }), ...event }))
    const size = kept.reduce((sum, event) => sum + sizeOf(event), 0)
    entries.push({ events: numbered, ms, bytes: size })
    bytes += size
    last = { ms, seq, index: kept.length - 1 }
    const readers = waiting
    waiting = undefined
    if (readers !== undefined) Deferred.doneUnsafe(readers, Effect.void)
  }

  /** The number of the first entry that has something after this cursor. */
  const firstAfter = (after: EventCursor): number => {
    let low = gone
    let high = entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const cursor = entries[middle]?.events.at(-1)?.cursor
      if (cursor !== undefined && compare(cursor, after) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }

  const pageAfter = (after: EventCursor, limit: number): Effect.Effect<EventPage, CursorLost> => {
    if (positionOf(after).log !== log || compare(after, end()) > 0) {
      return Effect.fail(new CursorLost({ cursor: after, why: "foreign" }))
    }
    if (compare(after, start) < 0) return Effect.fail(new CursorLost({ cursor: after, why: "trimmed" }))
    const events: Array<Event> = []
    for (let at = firstAfter(after); at < entries.length && events.length < Math.min(limit, pageBound); at++) {
      for (const event of entries[at]?.events ?? []) if (compare(event.cursor, after) > 0) events.push(event)
    }
    return Effect.succeed({ events, position: events.at(-1)?.cursor ?? after })
  }

  const trim = (archived: EventCursor | null, now: number): boolean => {
    const isDone = ({ events, ms }: Entry): boolean => {
      const last = events.at(-1)
      const isArchived = archived === null || last === undefined || compare(last.cursor, archived) <= 0
      return isArchived && (ms + retention <= now || bytes > settings.maxBytes)
    }
    let left = trimBound
    for (let first = entries[gone]; first !== undefined && isDone(first); first = entries[gone]) {
      if (left-- === 0) return true
      start = first.events.at(-1)?.cursor ?? start
      bytes -= first.bytes
      gone++
    }
    if (gone > entries.length / 2) {
      entries = entries.slice(gone)
      gone = 0
    }
    return false
  }

  const memory = MemoryLog.of({ add, end, trim, isOverfull: () => bytes >= 2 * settings.maxBytes })

  const port = EventLog.of({
    read: Effect.fnUntraced(function* ({ after, limit, wait }) {
      // Made before anything is looked at: what comes meanwhile is not missed.
      const woken = (waiting ??= Deferred.makeUnsafe<void>())
      const page = yield* pageAfter(after, limit)
      if (page.events.length > 0 || wait === undefined) return page
      yield* Effect.timeoutOption(Deferred.await(woken), wait)
      // Whoever adds is in the middle of a step.
      yield* Effect.yieldNow
      return yield* pageAfter(after, limit)
    }),

    end: Effect.sync(end),

    start: Effect.sync(() => start),

    append: ({ events, number, source }) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (number <= (relayed.get(source) ?? 0)) return
        relayed.set(source, number)
        add(events, now)
      }),

    relayed: (source) => Effect.sync(() => relayed.get(source) ?? 0),

    trim: (archived) => Effect.map(Clock.currentTimeMillis, (now) => trim(archived, now)),

    size: Effect.sync(() => ({
      entries: entries.length - gone,
      bytes,
      first: entries[gone]?.events[0]?.cursor ?? null,
      last: entries.length > gone ? end() : null
    }))
  })

  return Context.make(MemoryLog, memory).pipe(Context.add(EventLog, port))
})

export const layer: Layer.Layer<EventLog | MemoryLog> = Layer.effectContext(make)
