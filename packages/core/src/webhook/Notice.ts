/**
 * What a webhook is sent: a body, the headers about it, and the signature by which its receiver knows that it comes from
 * here and now. The contract with receivers stands in `docs/webhooks.md`.
 */
import { Effect, Layer, Redacted, Schema } from "effect"
import { Mac, SecureRandom } from "effect/crypto"
import { Hex } from "effect/encoding"
import { Event, type EventType } from "../event/Event.ts"
import { EventCursor } from "../event/EventCursor.ts"
import { NoticeType } from "./Delivery.ts"
import { type Webhook, WebhookId } from "./Webhook.ts"

/** Events between these are lost to the receiver. */
const Reset = Schema.Struct({
  lost_after: EventCursor,
  goes_on_after: EventCursor
})
type Reset = typeof Reset.Type

export const NoticeBody = Schema.Struct({
  webhook_id: WebhookId,
  delivery_id: Schema.String,
  type: NoticeType,
  events: Schema.Array(Event),
  reset: Schema.optionalKey(Reset)
})

/** Something to deliver. Its id is the same whenever the same is delivered, by whichever server. */
export interface Notice {
  readonly id: string
  readonly type: NoticeType
  readonly events: ReadonlyArray<Event>
  readonly reset?: Reset
}

/** Events of the log that follow one another, apart from those the webhook does not want. At least one. */
export const ofEvents = (events: ReadonlyArray<Event>): Notice => ({
  // From the same cursor on, the same number of events is the same events.
  id: `${events[0]?.cursor}+${events.length}`,
  type: "events",
  events
})

export const ofReset = (reset: Reset): Notice => ({
  id: `${reset.lost_after}+reset`,
  type: "webhook.reset",
  events: [],
  reset
})

export const ofTest = Effect.sync((): Notice => ({
  id: `test-${globalThis.crypto.randomUUID()}`,
  type: "webhook.test",
  events: []
}))

export const typesOf = ({ events }: Notice): ReadonlyArray<EventType> => [...new Set(events.map(({ type }) => type))]

const encodeBody = Schema.encodeSync(Schema.fromJsonString(Schema.toCodecJson(NoticeBody)))
const utf8 = new TextEncoder()

/** The bytes that are sent and signed. */
export const encode = ({ id: webhook_id }: Pick<Webhook, "id">, { id: delivery_id, ...notice }: Notice): Uint8Array =>
  utf8.encode(encodeBody({ webhook_id, delivery_id, ...notice }))

const macs = Mac.layerWebCrypto.pipe(Layer.provide(SecureRandom.layerWebCrypto))

/** `t=<unix seconds>,v1=<HMAC-SHA256 of "t.body" in hex>`. */
export const sign = Effect.fnUntraced(
  function* (secret: Redacted.Redacted, unixSeconds: number, body: Uint8Array) {
    const mac = yield* Mac.Mac
    const key = yield* Mac.key(Mac.hmacSha256, utf8.encode(Redacted.value(secret)))
    const time = utf8.encode(`${unixSeconds}.`)
    const signed = new Uint8Array(time.length + body.length)
    signed.set(time)
    signed.set(body, time.length)
    return `t=${unixSeconds},v1=${Hex.encode(yield* mac.sign(key, signed))}`
  },
  Effect.provide(macs),
  Effect.orDie
)

export const headers = (notice: Notice, signature: string): Readonly<Record<string, string>> => ({
  "content-type": "application/json",
  "user-agent": "Muster-Webhooks",
  "muster-event": notice.type,
  "muster-delivery": notice.id,
  "muster-signature": signature
})

/** A secret of ours: 32 random bytes. */
export const newSecret = Effect.sync(() =>
  Redacted.make(`whsec_${Hex.encode(globalThis.crypto.getRandomValues(new Uint8Array(32)))}`)
)
