/** One attempt to deliver something to a webhook, and what came of it. */
import { Schema } from "effect"
import { EventType } from "../event/Event.ts"
import { EventCursor } from "../event/EventCursor.ts"

/** What is delivered; the `Muster-Event` header says it too. */
export const NoticeType = Schema.Literals([
  /** Events, in their order. */
  "events",
  /** Events were lost to this receiver: it has to look at the state of what it follows. */
  "webhook.reset",
  /** Nothing happened; somebody tries the webhook out. */
  "webhook.test"
])
export type NoticeType = typeof NoticeType.Type

export const DeliveryOutcome = Schema.Literals(["delivered", "failed"])
export type DeliveryOutcome = typeof DeliveryOutcome.Type

export const Delivery = Schema.Struct({
  /** The same for each attempt at the same events. */
  id: Schema.String,
  notice: NoticeType,
  /** How many events it held, and of which types. */
  events: Schema.Int,
  types: Schema.Array(EventType),
  /** The cursors of its first and last event; null when it held none. */
  first_cursor: Schema.NullOr(EventCursor),
  last_cursor: Schema.NullOr(EventCursor),
  /** 1 for the first. */
  attempt: Schema.Int,
  /** When it was sent, by the clock of the server that sent it. */
  at: Schema.DateTimeUtc,
  duration_ms: Schema.Int,
  outcome: DeliveryOutcome,
  /** The HTTP status of the answer; null when there was none. */
  status: Schema.NullOr(Schema.Int),
  /** Why it failed. */
  error: Schema.NullOr(Schema.String)
})
export type Delivery = typeof Delivery.Type

/** So many attempts are kept of each webhook. */
export const kept = 100
