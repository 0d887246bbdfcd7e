/**
 * The newest events of the log, kept in this process, so that followers who keep up cost the store nothing. Events have
 * rising numbers here, as long as none is lost.
 */
import { Deferred, Effect } from "effect"
import type { Event } from "../Event.ts"
import { compare, type EventCursor, positionOf } from "../EventCursor.ts"

/** What followers are given, made once for all of them. */
export interface EventItem {
  readonly _tag: "Event"
  readonly event: Event
}

export interface EventRing {
  /** Forgets all: what comes next comes after `position`. */
  readonly reset: (position: EventCursor) => void
  /** Adds what follows the newest event, and wakes who waits for it. */
  readonly add: (events: ReadonlyArray<Event>, position: EventCursor) => void
  /** The number of the event that follows this cursor; undefined when the ring cannot tell. */
  readonly numberAfter: (cursor: EventCursor) => number | undefined
  /** Events from a number on, at most so many; undefined when that one is not kept any more. */
  readonly from: (number: number, limit: number) => ReadonlyArray<EventItem> | undefined
  /** Is done when something is added, or all is reset. */
  readonly change: () => Deferred.Deferred<void>
}

export const make = (kept: number): EventRing => {
  let items: Array<EventItem> = []
  /** The number of the first item. */
  let first = 0
  /** Before the first item, and after the last one. */
  let floor: EventCursor | undefined
  let position: EventCursor | undefined
  let change = Deferred.makeUnsafe<void>()

  const wake = (): void => {
    const waiting = change
    change = Deferred.makeUnsafe<void>()
    Deferred.doneUnsafe(waiting, Effect.void)
  }

  const trim = (): void => {
    // In large pieces: each one moves all the others.
    const surplus = items.length - kept
    if (surplus < kept) return
    floor = items[surplus - 1]?.event.cursor ?? floor
    items = items.slice(surplus)
    first += surplus
  }

  return {
    reset: (to) => {
      // Numbers of before the reset mean nothing after it.
      first += items.length + 1
      items = []
      floor = to
      position = to
      wake()
    },

    add: (events, to) => {
      for (const event of events) items.push({ _tag: "Event", event })
      position = to
      trim()
      wake()
    },

    numberAfter: (cursor) => {
      if (floor === undefined || position === undefined) return undefined
      const { log } = positionOf(cursor)
      if (log !== positionOf(floor).log || compare(cursor, floor) < 0 || compare(cursor, position) > 0) return undefined
      let low = 0
      let high = items.length
      while (low < high) {
        const middle = (low + high) >>> 1
        const item = items[middle]
        if (item !== undefined && compare(item.event.cursor, cursor) <= 0) low = middle + 1
        else high = middle
      }
      return first + low
    },

    from: (number, limit) =>
      number < first || number > first + items.length ? undefined : items.slice(number - first, number - first + limit),

    change: () => change
  }
}
