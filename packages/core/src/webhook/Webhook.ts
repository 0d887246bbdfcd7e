/**
 * A webhook: events of the log, sent to a URL as they happen. This file is what is known of one. Fields are spelled as
 * on the wire and in SQL.
 */
import { Schema } from "effect"
import { type Event, EventFilter, isMeant } from "../event/Event.ts"
import { EventCursor } from "../event/EventCursor.ts"
import { identifier } from "../Identifier.ts"

export const WebhookId = identifier(200).pipe(Schema.brand("WebhookId"))
export type WebhookId = typeof WebhookId.Type

const parsed = (text: string): URL | undefined => (URL.canParse(text) ? new URL(text) : undefined)

/** Where events are sent. Whether an address may be sent to at all is decided by the target. */
export const WebhookUrl = Schema.String.check(
  Schema.isMaxLength(2_048, { expected: "at most 2048 characters" }).abort(),
  Schema.isPattern(/^[^\s\p{Cc}]*$/u, { expected: "a URL without spaces and control characters" }).abort(),
  Schema.makeFilter((text: string) => ["http:", "https:"].includes(parsed(text)?.protocol ?? ""), {
    expected: "a URL that starts with https:// or http://"
  }).abort(),
  Schema.makeFilter((text: string) => parsed(text)?.username === "" && parsed(text)?.password === "", {
    expected: "a URL without credentials; receivers know us by the signature"
  })
)

/** Which events are sent. Without `types`: all but progress, which is sent to who asks for it by its type. */
export const WebhookFilter = EventFilter.check(
  Schema.makeFilter(({ types }) => types === undefined || types.length > 0, {
    expected: "at least one type, or no `types` for all"
  })
)
export type WebhookFilter = typeof WebhookFilter.Type

export const isWanted = (event: Event, filter: WebhookFilter): boolean =>
  isMeant(event, filter) && (event.type !== "job.progress" || filter.types !== undefined)

/** The key of the signatures: text that survives every header, file and shell. */
export const WebhookSecret = Schema.String.check(
  Schema.isMinLength(16, { expected: "at least 16 characters" }),
  Schema.isMaxLength(256, { expected: "at most 256 characters" }),
  Schema.isPattern(/^[\x21-\x7e]*$/, { expected: "printable ASCII without spaces" })
)

export const WebhookStatus = Schema.Literals(["active", "disabled"])
export type WebhookStatus = typeof WebhookStatus.Type

/** What is sent to register one. */
export const WebhookRegistration = Schema.Struct({
  id: Schema.optionalKey(WebhookId),
  url: WebhookUrl,
  filter: Schema.optionalKey(WebhookFilter),
  secret: Schema.optionalKey(WebhookSecret),
  description: Schema.optionalKey(
    Schema.String.check(
      Schema.isMaxLength(1_000, { expected: "at most 1000 characters" }),
      Schema.isPattern(/^[\P{Cc}\n\t]*$/u, { expected: "text without control characters" })
    )
  )
})
export type WebhookRegistration = typeof WebhookRegistration.Type

const record = {
  id: WebhookId,
  url: WebhookUrl,
  filter: WebhookFilter,
  description: Schema.NullOr(Schema.String),
  /** What came before this in the log was sent, or was not meant. */
  cursor: EventCursor
}

/** A webhook about to be stored. The store adds the status and, by its own clock, the times. */
export const NewWebhook = Schema.Struct({ ...record, secret: Schema.Redacted(WebhookSecret) })
export type NewWebhook = typeof NewWebhook.Type

/** A webhook as it is shown: everything but its secret. */
export class Webhook extends Schema.Class<Webhook>("@muster/core/webhook/Webhook")({
  ...record,
  status: WebhookStatus,
  /** Why it was disabled; null while it is active. */
  status_reason: Schema.NullOr(Schema.String),
  status_changed_at: Schema.DateTimeUtc,
  /** Since when every attempt failed; null when the last one did not. */
  failing_since: Schema.NullOr(Schema.DateTimeUtc),
  consecutive_failures: Schema.Int,
  /** The end of the pause after a failure. */
  next_attempt_at: Schema.NullOr(Schema.DateTimeUtc),
  created_at: Schema.DateTimeUtc
}) {}
