/** Webhooks over HTTP: who is told what happens, and how that went. */
import { Delivery, kept } from "@muster/core/webhook/Delivery"
import { Webhook, WebhookId, WebhookRegistration } from "@muster/core/webhook/Webhook"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { limit } from "./Limit.ts"
import * as Problems from "./Problems.ts"

const params = { id: WebhookId }

const Answer = Schema.Struct({ webhook: Webhook })

export const webhooksPerPage = { fallback: 100, maximum: 1_000 }
export const deliveriesPerPage = { fallback: kept, maximum: kept }

/** The only answer that holds the secret. */
export const WebhookRegistered = Schema.Struct({ webhook: Webhook, secret: Schema.String })

export const WebhookPage = Schema.Struct({
  webhooks: Schema.Array(Webhook),
  /** Where the next page starts; null when nothing follows. */
  next_cursor: Schema.NullOr(Schema.String)
})

export class WebhooksApi extends HttpApiGroup.make("webhooks")
  .add(
    HttpApiEndpoint.post("register", "/webhooks", {
      payload: WebhookRegistration,
      success: WebhookRegistered.pipe(HttpApiSchema.status(201)),
      error: [
        Problems.WebhookAlreadyExists,
        Problems.TooManyWebhooks,
        Problems.InvalidConfiguration,
        ...Problems.commonOfStores
      ]
    }).annotate(OpenApi.Summary, "Have events sent to a URL from now on; the answer holds the secret, this once"),

    HttpApiEndpoint.get("list", "/webhooks", {
      query: { limit: limit(webhooksPerPage), cursor: Schema.optionalKey(WebhookId) },
      success: WebhookPage,
      error: Problems.commonOfStores
    }).annotate(OpenApi.Summary, "Webhooks by id"),

    HttpApiEndpoint.get("get", "/webhooks/:id", {
      params,
      success: Answer,
      error: [Problems.WebhookNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "One webhook"),

    HttpApiEndpoint.delete("remove", "/webhooks/:id", {
      params,
      success: HttpApiSchema.NoContent,
      error: [Problems.WebhookNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Remove a webhook"),

    HttpApiEndpoint.get("deliveries", "/webhooks/:id/deliveries", {
      params,
      query: { limit: limit(deliveriesPerPage) },
      success: Schema.Struct({ deliveries: Schema.Array(Delivery) }),
      error: [Problems.WebhookNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "The last attempts to deliver something, newest first"),

    HttpApiEndpoint.post("test", "/webhooks/:id/test", {
      params,
      success: Schema.Struct({ delivery: Delivery }),
      error: [Problems.WebhookNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Send a webhook.test now, and say what came back"),

    HttpApiEndpoint.post("enable", "/webhooks/:id/enable", {
      params,
      success: Answer,
      error: [Problems.WebhookNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Let a disabled webhook go on where it stopped, or a failing one at once")
  )
  .annotate(OpenApi.Title, "Webhooks") {}
