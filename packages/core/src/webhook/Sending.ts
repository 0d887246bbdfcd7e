/** Sends one notice to one webhook, and says what came of it. */
import { Clock, DateTime, Duration, Effect, type Redacted } from "effect"
import type { Delivery } from "./Delivery.ts"
import * as Notice from "./Notice.ts"
import type { Webhook } from "./Webhook.ts"
import { WebhookSettings } from "./WebhookSettings.ts"
import { type TargetAnswer, WebhookTarget } from "./WebhookTarget.ts"

export interface Sent {
  readonly delivery: Delivery
  /** The receiver is gone for good: it answered 410. */
  readonly gone: boolean
  /** The pause it asked for. */
  readonly retryAfter: Duration.Duration | null
}

/** What is wrong with an answer; null when nothing is. */
const problemOf = (status: number): string | null => {
  if (status >= 200 && status < 300) return null
  if (status >= 300 && status < 400) return `answered ${status}; redirects are not followed: register the final URL`
  if (status === 410) return "answered 410: gone"
  return `answered ${status}`
}

/** Sends once, within the timeout of the settings. Fails never: that it was not delivered is its answer. */
export const send = Effect.fn("Webhook.send")(function* (options: {
  readonly webhook: Pick<Webhook, "id" | "url">
  readonly secret: Redacted.Redacted
  readonly notice: Notice.Notice
  /** 1 for the first. */
  readonly attempt: number
}) {
  const { attempt, notice, secret, webhook } = options
  const { timeout } = yield* WebhookSettings
  const target = yield* WebhookTarget
  const body = Notice.encode(webhook, notice)
  const start = yield* Clock.currentTimeMillis
  const headers = Notice.headers(notice, yield* Notice.sign(secret, Math.floor(start / 1_000), body))
  const unanswered = (error: string): Effect.Effect<[TargetAnswer | null, string]> => Effect.succeed([null, error])
  const [answer, error] = yield* target.post({ url: webhook.url, headers, body }).pipe(
    Effect.map((answer): [TargetAnswer | null, string | null] => [answer, problemOf(answer.status)]),
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => unanswered(`no answer within ${Duration.format(timeout)}`)
    }),
    Effect.catch(({ message }) => unanswered(message))
  )
  const delivery: Delivery = {
    id: notice.id,
    notice: notice.type,
    events: notice.events.length,
    types: Notice.typesOf(notice),
    first_cursor: notice.events[0]?.cursor ?? null,
    last_cursor: notice.events.at(-1)?.cursor ?? null,
    attempt,
    at: DateTime.makeUnsafe(start),
    duration_ms: Math.max(0, (yield* Clock.currentTimeMillis) - start),
    outcome: error === null ? "delivered" : "failed",
    status: answer?.status ?? null,
    error
  }
  const sent: Sent = { delivery, gone: answer?.status === 410, retryAfter: answer?.retryAfter ?? null }
  return sent
})
