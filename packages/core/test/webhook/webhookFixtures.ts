/** What the tests of webhooks share. The suites among them run on every layer, so they know the port alone. */
import type { EventCursor } from "@muster/core/event/EventCursor"
import { make as makeCursor } from "@muster/core/event/EventCursor"
import type { Delivery } from "@muster/core/webhook/Delivery"
import { WebhookStore } from "@muster/core/webhook/internal/WebhookStore"
import { type NewWebhook, WebhookId } from "@muster/core/webhook/Webhook"
import { DateTime, type Duration, Effect, type Layer, Redacted } from "effect"

/** A layer under test, and how time passes for its store. */
export interface WebhooksUnderTest<R, E> {
  readonly layer: Layer.Layer<WebhookStore | R, E>
  readonly passTime: (duration: Duration.Input) => Effect.Effect<void, never, R>
}

export const cursor = (seq: number): EventCursor => makeCursor({ log: "test", ms: 1, seq, index: 0 })

export const webhook = (id: string, over: Partial<NewWebhook> = {}): NewWebhook => ({
  id: WebhookId.make(id),
  url: "https://example.com/hook",
  filter: { types: ["job.completed"], customer_id: "acme" },
  description: "what for",
  cursor: cursor(0),
  secret: Redacted.make("a-secret-of-sixteen"),
  ...over
})

export const delivery = (id: string, over: Partial<Delivery> = {}): Delivery => ({
  id,
  notice: "events",
  events: 1,
  types: ["job.completed"],
  first_cursor: cursor(1),
  last_cursor: cursor(1),
  attempt: 1,
  at: DateTime.makeUnsafe("2026-01-01T00:00:00Z"),
  duration_ms: 12,
  outcome: "delivered",
  status: 204,
  error: null,
  ...over
})

/** Tests share one store: each begins by emptying it. */
export const emptied = Effect.gen(function* () {
  const webhooks = yield* WebhookStore
  for (const { id } of yield* webhooks.list({ limit: 1_000 })) yield* webhooks.remove(id)
})
