/** What can go wrong with webhooks, as values a caller can react to. */
import { Schema } from "effect"
import { WebhookId } from "./Webhook.ts"

export class WebhookNotFound extends Schema.TaggedError<WebhookNotFound>(
  "@muster/core/webhook/WebhookErrors/WebhookNotFound"
)("WebhookNotFound", { id: WebhookId }) {
  override get message() {
    return `there is no webhook ${this.id}`
  }
}

export class WebhookAlreadyExists extends Schema.TaggedError<WebhookAlreadyExists>(
  "@muster/core/webhook/WebhookErrors/WebhookAlreadyExists"
)("WebhookAlreadyExists", { id: WebhookId }) {
  override get message() {
    return `there is a webhook ${this.id} already`
  }
}

/** More webhooks than servers look after. */
export class TooManyWebhooks extends Schema.TaggedError<TooManyWebhooks>(
  "@muster/core/webhook/WebhookErrors/TooManyWebhooks"
)("TooManyWebhooks", { limit: Schema.Int }) {
  override get message() {
    return `there are ${this.limit} webhooks already, which is as many as there may be`
  }
}
