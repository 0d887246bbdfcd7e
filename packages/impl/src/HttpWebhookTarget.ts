/** Delivers webhooks over HTTP: what a webhook's receiver answers is its status alone. */
import * as AddressPolicy from "@muster/connectors/network/AddressPolicy"
import * as GuardedHttpClient from "@muster/connectors/network/GuardedHttpClient"
import { WebhookSettings } from "@muster/core/webhook/WebhookSettings"
import * as WebhookTarget from "@muster/core/webhook/WebhookTarget"
import { Clock, Duration, Effect, Layer, Option } from "effect"
import { HttpBody, HttpClient, type HttpClientError, HttpClientRequest } from "effect/http"

const howToAllow = "MUSTER_WEBHOOK_ALLOW_PRIVATE of the server can allow it"

const refused = ({ message }: Error) => new WebhookTarget.TargetRefused({ detail: `${message}; ${howToAllow}` })

/** The system's name for what happened, from the deepest cause that has one. */
const codeOf = (error: unknown): string | undefined => {
  if (!(error instanceof Error)) return undefined
  return codeOf(error.cause) ?? ("code" in error && typeof error.code === "string" ? error.code : undefined)
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was cut",
  ENOTFOUND: "its name cannot be resolved",
  EAI_AGAIN: "its name cannot be resolved now",
  ETIMEDOUT: "the connection timed out"
}

const failed = (error: HttpClientError.HttpClientError) => {
  const { reason } = error
  if (reason._tag === "TransportError" && reason.cause instanceof GuardedHttpClient.AddressRefused) {
    return refused(reason.cause)
  }
  const code = codeOf(error)
  const detail = code === undefined ? "the request failed" : (words[code] ?? `the request failed (${code})`)
  return new WebhookTarget.TargetSilent({ detail, cause: error })
}

/** `Retry-After`: seconds, or a time. */
const pauseOf = (header: string | undefined, now: number): Duration.Duration | null => {
  if (header === undefined) return null
  if (/^\d{1,9}$/.test(header.trim())) return Duration.seconds(Number(header))
  const at = Date.parse(header)
  return Number.isNaN(at) ? null : Duration.millis(Math.max(0, at - now))
}

/** Delivers to where the `WebhookSettings` allow; `lookup` is how names become addresses, the system's own way if left out. */
export const layerWith = (
  options: Partial<Pick<GuardedHttpClient.GuardedOptions, "lookup">>
): Layer.Layer<WebhookTarget.WebhookTarget> =>
  Layer.effect(
    WebhookTarget.WebhookTarget,
    Effect.gen(function* () {
      const { allowPrivate } = yield* WebhookSettings
      const guard = { ...options, policy: AddressPolicy.make(allowPrivate) }
      const client = yield* GuardedHttpClient.make(guard)
      return WebhookTarget.WebhookTarget.of({
        check: (url) =>
          Effect.flatMap(
            GuardedHttpClient.check(url, guard),
            Option.match({ onNone: () => Effect.void, onSome: (error) => Effect.fail(refused(error)) })
          ),
        // The status is all that matters: the scope ends the connection with the body unread.
        post: ({ body, headers, url }) =>
          HttpClientRequest.post(url, { headers, body: HttpBody.uint8Array(body, headers["content-type"]) }).pipe(
            HttpClient.withScope(client).execute,
            Effect.flatMap(({ headers, status }) =>
              Effect.map(Clock.currentTimeMillis, (now) => ({
                status,
                retryAfter: pauseOf(headers["retry-after"], now)
              }))
            ),
            Effect.mapError(failed),
            Effect.scoped
          )
      })
    })
  )

export const layer = layerWith({})
