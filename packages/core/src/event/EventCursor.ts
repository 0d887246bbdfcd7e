/**
 * Where a reader of the event log stands: after one event, before the next. To callers a cursor is opaque; inside it
 * names the log, the entry (one atomic step of the store, numbered by its clock) and the event within that step, so that
 * the cursors of one log have an order.
 */
import { Schema } from "effect"

const form = /^([a-z0-9]{1,16})\.(\d{1,16})-(\d{1,16})-(\d{1,4})$/

/** A text that may be a cursor; which log it is of, and whether that still goes so far back, only the log knows. */
export const EventCursor = Schema.String.check(
  Schema.isPattern(form, { expected: "a cursor that the event log has handed out" })
).pipe(Schema.brand("EventCursor"))
export type EventCursor = typeof EventCursor.Type

export interface Position {
  /** Another one after the log was lost: its entries are others then. */
  readonly log: string
  /** The entry: a time in ms, and a number within that. */
  readonly ms: number
  readonly seq: number
  /** The event within the entry, from 0. */
  readonly index: number
}

export const make = ({ index, log, ms, seq }: Position): EventCursor => `${log}.${ms}-${seq}-${index}` as EventCursor

export const positionOf = (cursor: EventCursor): Position => {
  const [, log = "", ms, seq, index] = form.exec(cursor) ?? []
  return { log, ms: Number(ms), seq: Number(seq), index: Number(index) }
}

/** Below 0 when `a` is before `b`. Both must be of one log. */
export const compare = (a: EventCursor, b: EventCursor): number => {
  const [left, right] = [positionOf(a), positionOf(b)]
  return left.ms - right.ms || left.seq - right.seq || left.index - right.index
}
