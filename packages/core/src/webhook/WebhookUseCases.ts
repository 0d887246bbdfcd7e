/** Commands on webhooks. */
import { Effect, Option, Redacted, Schema } from "effect"
import { EventLog } from "../event/internal/EventLog.ts"
import { InvalidConfiguration } from "../worker/WorkerErrors.ts"
import { WebhookStore } from "./internal/WebhookStore.ts"
import * as Notice from "./Notice.ts"
import * as Sending from "./Sending.ts"
import { WebhookId, type WebhookRegistration } from "./Webhook.ts"
import { WebhookNotFound } from "./WebhookErrors.ts"
import { getWebhook } from "./WebhookQueries.ts"
import { WebhookTarget } from "./WebhookTarget.ts"

const newId = Effect.sync(() => Schema.decodeSync(WebhookId)(globalThis.crypto.randomUUID()))

/**
 * Adds a webhook that is sent what happens from now on, and answers its secret, which nobody is told again. Of
 * concurrent registrations of one id exactly one wins.
 */
export const registerWebhook = Effect.fn("WebhookUseCases.registerWebhook")(function* (
  registration: WebhookRegistration
) {
  const webhooks = yield* WebhookStore
  const log = yield* EventLog
  const target = yield* WebhookTarget
  yield* Effect.mapError(
    target.check(registration.url),
    ({ detail }) => new InvalidConfiguration({ path: "url", detail })
  )
  const secret = registration.secret === undefined ? yield* Notice.newSecret : Redacted.make(registration.secret)
  const webhook = yield* webhooks.insert({
    id: registration.id ?? (yield* newId),
    url: registration.url,
    filter: registration.filter ?? {},
    description: registration.description ?? null,
    cursor: yield* log.end,
    secret
  })
  return { webhook, secret }
})

/** Removes a webhook. What is on its way to it may still arrive. */
export const removeWebhook = Effect.fn("WebhookUseCases.removeWebhook")(function* (id: WebhookId) {
  const webhooks = yield* WebhookStore
  if (!(yield* webhooks.remove(id))) return yield* new WebhookNotFound({ id })
})

/**
 * Lets a webhook go on where it stopped: a disabled one, and at once one that waits after a failure. What the log has
 * forgotten by then is said to its receiver by a reset.
 */
export const enableWebhook = Effect.fn("WebhookUseCases.enableWebhook")(function* (id: WebhookId) {
  const webhooks = yield* WebhookStore
  const enabled = yield* webhooks.enable(id)
  if (Option.isNone(enabled)) return yield* new WebhookNotFound({ id })
  return enabled.value
})

/** Sends a `webhook.test` now, to a disabled webhook too, and answers what came back. It changes nothing else. */
export const testWebhook = Effect.fn("WebhookUseCases.testWebhook")(function* (id: WebhookId) {
  const webhooks = yield* WebhookStore
  const webhook = yield* getWebhook(id)
  const secret = yield* webhooks.secretOf(id)
  if (Option.isNone(secret)) return yield* new WebhookNotFound({ id })
  const notice = yield* Notice.ofTest
  const { delivery } = yield* Sending.send({ webhook, secret: secret.value, notice, attempt: 1 })
  yield* webhooks.record(id, delivery)
  return delivery
})
