/** Looking at webhooks. None of it shows a secret. */
import { Effect, Option } from "effect"
import { WebhookStore } from "./internal/WebhookStore.ts"
import type { WebhookId } from "./Webhook.ts"
import { WebhookNotFound } from "./WebhookErrors.ts"

export const getWebhook = Effect.fn("WebhookQueries.getWebhook")(function* (id: WebhookId) {
  const webhooks = yield* WebhookStore
  const found = yield* webhooks.find(id)
  if (Option.isNone(found)) return yield* new WebhookNotFound({ id })
  return found.value
})

/** Webhooks by id. */
export const listWebhooks = Effect.fn("WebhookQueries.listWebhooks")(function* (request: {
  readonly after?: WebhookId | undefined
  readonly limit: number
}) {
  const webhooks = yield* WebhookStore
  return yield* webhooks.list(request)
})

/** The last attempts to deliver something, newest first. */
export const getDeliveries = Effect.fn("WebhookQueries.getDeliveries")(function* (id: WebhookId, limit: number) {
  yield* getWebhook(id)
  const webhooks = yield* WebhookStore
  return yield* webhooks.deliveries(id, limit)
})
