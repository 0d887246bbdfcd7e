/**
 * The event log port: one ordered, durable log of a queue. In memory and on Redis; one contract suite runs on both.
 *
 * Promises of every layer: the queue adds the event of a transition in the same atomic step as the transition; events
 * are read in the order in which they happened, each once for each cursor; any number of processes may read and append
 * at once. Nothing is trimmed before the archive has it, while there is one.
 */
import { Context, type Duration, type Effect } from "effect"
import type { StorageError } from "../../job/JobErrors.ts"
import type { Event, NewEvent } from "../Event.ts"
import type { EventCursor } from "../EventCursor.ts"
import type { CursorLost } from "../EventErrors.ts"

export interface ReadRequest {
  readonly after: EventCursor
  /** Events wanted, about: what happened in one atomic step may be answered whole. At most 1,000. */
  readonly limit: number
  /** When there is nothing to read: wait so long for something. Waiting readers of one process should be few. */
  readonly wait?: Duration.Duration | undefined
}

export interface EventPage {
  readonly events: ReadonlyArray<Event>
  /** Where to go on: after the last event, or after what was asked for when there was none. */
  readonly position: EventCursor
}

export interface LogSize {
  /** Atomic steps in the log; each holds one event or more. */
  readonly entries: number
  readonly bytes: number
  /** Both null when nothing is kept. */
  readonly first: EventCursor | null
  readonly last: EventCursor | null
}

export class EventLog extends Context.Service<
  EventLog,
  {
    readonly read: (request: ReadRequest) => Effect.Effect<EventPage, CursorLost | StorageError>

    /** Behind the last event there is. */
    readonly end: Effect.Effect<EventCursor, StorageError>

    /** Before the first event that is kept. */
    readonly start: Effect.Effect<EventCursor, StorageError>

    /**
     * Adds events of another store, numbered there from 1, in one atomic step: those of `source` up to `number`. Does
     * nothing when the log has those up to that number already, so repeating it is harmless.
     */
    readonly append: (relayed: {
      readonly source: string
      readonly number: number
      readonly events: ReadonlyArray<NewEvent>
    }) => Effect.Effect<void, StorageError>

    /** Up to which number events of a source were added; 0 for none. */
    readonly relayed: (source: string) => Effect.Effect<number, StorageError>

    /**
     * Forgets events older than the retention, a bounded number a call; says whether more are left to forget. Those
     * behind `archived` stay whatever their age; null: there is no archive. Over `maxBytes`, archived events go sooner.
     */
    readonly trim: (archived: EventCursor | null) => Effect.Effect<boolean, StorageError>

    readonly size: Effect.Effect<LogSize, StorageError>
  }
>()("@muster/core/event/internal/EventLog") {}
