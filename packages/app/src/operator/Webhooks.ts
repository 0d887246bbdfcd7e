/** What the `muster webhooks` commands do. */
import { WebhookId, WebhookSecret, WebhookUrl } from "@muster/core/webhook/Webhook"
import { webhooksPerPage } from "@muster/http-server/contract/WebhooksApi"
import { DateTime, Effect, Schema } from "effect"
import * as Output from "../terminal/Output.ts"
import * as Events from "./Events.ts"
import * as Pages from "./Pages.ts"
import * as Server from "./Server.ts"
import { readText } from "./Submission.ts"
import * as WebhookView from "./WebhookView.ts"

const responseMode = "decoded-and-response"

/** A webhook was tried out, and does not work. */
export class NotDelivered extends Schema.TaggedError<NotDelivered>("@muster/app/operator/Webhooks/NotDelivered")(
  "NotDelivered",
  { id: WebhookId, answer: Schema.String }
) {
  override get message() {
    return `webhook ${this.id} does not work: ${this.answer}`
  }
}

interface One {
  readonly id: string
  readonly json: boolean
}

const decodeId = (id: string) => Server.decodeArgument(WebhookId, "ID", id)

/** `muster webhooks list` */
export const list = Effect.fn("Webhooks.list")(function* ({ json }: { readonly json: boolean }) {
  const client = yield* Server.connect
  const { bodies, items, next_cursor } = yield* Pages.collect(
    "webhooks",
    { wanted: Number.POSITIVE_INFINITY, perPage: webhooksPerPage.maximum, from: undefined },
    ({ cursor, limit }) =>
      Server.ask(
        client.webhooks.list({
          query: { limit, ...(cursor === undefined ? {} : { cursor: WebhookId.make(cursor) }) },
          responseMode
        })
      )
  )
  if (json) return yield* Output.printJson({ webhooks: bodies, next_cursor })
  if (items.length === 0) return yield* Output.note("no webhooks")
  yield* Output.print(WebhookView.table(items, yield* DateTime.now, yield* Output.canvas))
})

export interface Addition extends Omit<Events.Flags, "after"> {
  readonly url: string
  readonly id: string | undefined
  readonly secretFile: string | undefined
  readonly description: string | undefined
}

const readSecret = Effect.fnUntraced(function* (path: string) {
  const flag = `--secret-file ${path}`
  const text = yield* readText(flag, path)
  return yield* Server.decodeArgument(WebhookSecret, flag, text.trim())
})

/** `muster webhooks add` */
export const add = Effect.fn("Webhooks.add")(function* (flags: Addition) {
  const { description, json, secretFile } = flags
  const payload = {
    url: yield* Server.decodeArgument(WebhookUrl, "URL", flags.url),
    filter: yield* Events.readFilter(flags),
    ...(flags.id === undefined ? {} : { id: yield* Server.decodeArgument(WebhookId, "--id", flags.id) }),
    ...(secretFile === undefined ? {} : { secret: yield* readSecret(secretFile) }),
    ...(description === undefined ? {} : { description })
  }
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.webhooks.register({ payload, responseMode }))
  if (json) return yield* Output.printJson(body)
  yield* Output.print(`webhook ${value.webhook.id} is registered`)
  // Whoever brought a secret has it already.
  if (secretFile !== undefined) return yield* Output.hint(`now: muster webhooks test ${value.webhook.id}`)
  yield* Output.print(`secret ${value.secret}`)
  yield* Output.hint(`keep the secret now, it is not shown again; then: muster webhooks test ${value.webhook.id}`)
})

/** `muster webhooks show` */
export const show = Effect.fn("Webhooks.show")(function* (flags: One) {
  const id = yield* decodeId(flags.id)
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.webhooks.get({ params: { id }, responseMode }))
  if (flags.json) return yield* Output.printJson(body)
  yield* Output.print(WebhookView.block(value.webhook, yield* DateTime.now, yield* Output.canvas))
})

/** `muster webhooks remove` */
export const remove = Effect.fn("Webhooks.remove")(function* (flags: One) {
  const id = yield* decodeId(flags.id)
  const client = yield* Server.connect
  yield* Effect.mapError(client.webhooks.remove({ params: { id } }), Server.tell)
  if (flags.json) return yield* Output.printJson({ id })
  yield* Output.print(`webhook ${id} is removed`)
})

/** `muster webhooks deliveries` */
export const deliveries = Effect.fn("Webhooks.deliveries")(function* (flags: One & { readonly limit: number }) {
  const id = yield* decodeId(flags.id)
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(
    client.webhooks.deliveries({ params: { id }, query: { limit: flags.limit }, responseMode })
  )
  if (flags.json) return yield* Output.printJson(body)
  if (value.deliveries.length === 0) return yield* Output.note("no deliveries")
  yield* Output.print(WebhookView.deliveries(value.deliveries, yield* DateTime.now, yield* Output.canvas))
})

/** `muster webhooks test` */
export const test = Effect.fn("Webhooks.test")(function* (flags: One) {
  const id = yield* decodeId(flags.id)
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.webhooks.test({ params: { id }, responseMode }))
  const { delivery } = value
  const answer = WebhookView.answer(delivery)
  if (flags.json) yield* Output.printJson(body)
  if (delivery.outcome === "failed") return yield* new NotDelivered({ id, answer })
  if (!flags.json) yield* Output.print(`webhook ${id} works: ${answer} after ${delivery.duration_ms} ms`)
})

/** `muster webhooks enable` */
export const enable = Effect.fn("Webhooks.enable")(function* (flags: One) {
  const id = yield* decodeId(flags.id)
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.webhooks.enable({ params: { id }, responseMode }))
  if (flags.json) return yield* Output.printJson(body)
  yield* Output.print(`webhook ${id} is ${value.webhook.status}`)
})
