/** Answers the routes of webhooks with the use cases and queries of core. */
import type { WebhookId } from "@muster/core/webhook/Webhook"
import * as WebhookQueries from "@muster/core/webhook/WebhookQueries"
import * as WebhookUseCases from "@muster/core/webhook/WebhookUseCases"
import { Effect, Redacted } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../contract/Api.ts"
import { deliveriesPerPage, webhooksPerPage } from "../contract/WebhooksApi.ts"
import * as CoreAnswers from "./CoreAnswers.ts"
import * as Stores from "./Stores.ts"

const listWebhooks = Effect.fnUntraced(function* (query: { readonly limit?: number; readonly cursor?: WebhookId }) {
  const { cursor, limit = webhooksPerPage.fallback } = query
  // One more than asked for tells whether anything follows.
  const found = yield* WebhookQueries.listWebhooks({ after: cursor, limit: limit + 1 })
  const webhooks = found.slice(0, limit)
  return { webhooks, next_cursor: found.length > limit ? (webhooks.at(-1)?.id ?? null) : null }
})

const asWebhook = <W, E, R>(self: Effect.Effect<W, E, R>) => Effect.map(self, (webhook) => ({ webhook }))

export const layer = HttpApiBuilder.group(
  Api,
  "webhooks",
  Effect.fnUntraced(function* (handlers) {
    const withStores = yield* Stores.make
    const answered = yield* CoreAnswers.make
    return handlers.handleAll({
      register: ({ payload }) =>
        WebhookUseCases.registerWebhook(payload).pipe(
          Effect.map(({ secret, webhook }) => ({ webhook, secret: Redacted.value(secret) })),
          answered,
          withStores
        ),
      list: ({ query }) => listWebhooks(query).pipe(answered, withStores),
      get: ({ params }) => WebhookQueries.getWebhook(params.id).pipe(asWebhook, answered, withStores),
      remove: ({ params }) => WebhookUseCases.removeWebhook(params.id).pipe(answered, withStores),
      deliveries: ({ params, query }) =>
        WebhookQueries.getDeliveries(params.id, query.limit ?? deliveriesPerPage.fallback).pipe(
          Effect.map((deliveries) => ({ deliveries })),
          answered,
          withStores
        ),
      test: ({ params }) =>
        WebhookUseCases.testWebhook(params.id).pipe(
          Effect.map((delivery) => ({ delivery })),
          answered,
          withStores
        ),
      enable: ({ params }) => WebhookUseCases.enableWebhook(params.id).pipe(asWebhook, answered, withStores)
    })
  })
)
