/** What an HTTP answer that is no success means for a job. Kinds come from the status, never from the words. */
import { ConnectorFailure, type FailureKind } from "@muster/core/connector/ConnectorFailure"
import { DateTime, Duration, Option } from "effect"
import { HttpClientError } from "effect/http"

/** So much of what a service says is worth repeating, in characters. */
const longestWords = 500

const kindOf = (status: number): FailureKind => {
  if (status === 401 || status === 403) return "Unauthorized"
  if (status === 408) return "Timeout"
  if (status === 429) return "RateLimited"
  if (status >= 500) return "ServiceUnavailable"
  if (status >= 400) return "InvalidPayload"
  return "ProtocolError"
}

/** Whoever asks for longer is asked again after so long: a slip of a service must not bury a job for years. */
const longestWait = Duration.days(1)

const asked = (header: string, now: DateTime.Utc): Duration.Duration | undefined => {
  if (/^\d{1,8}$/.test(header.trim())) return Duration.seconds(Number(header))
  const date = DateTime.make(header)
  return Option.isSome(date)
    ? Duration.millis(Math.max(0, DateTime.toEpochMillis(date.value) - DateTime.toEpochMillis(now)))
    : undefined
}

/** How long `Retry-After` asks to wait from `now` on: seconds, or a date; a day at most. */
export const retryAfter = (header: string | undefined, now: DateTime.Utc): Duration.Duration | undefined => {
  const wait = header === undefined ? undefined : asked(header, now)
  return wait === undefined ? undefined : Duration.min(wait, longestWait)
}

/** The failure of an answer. `said` is what the service says about it, as short and plain as it can be had. */
export const ofStatus = (
  service: string,
  status: number,
  said: string,
  after?: Duration.Duration | undefined
): ConnectorFailure => {
  const kind = kindOf(status)
  const words = said.replace(/\s+/g, " ").trim().slice(0, longestWords)
  return new ConnectorFailure({
    kind,
    message: `${service} answered ${status}${words === "" ? "" : `: ${words}`}`,
    ...(after === undefined || (kind !== "RateLimited" && kind !== "ServiceUnavailable")
      ? {}
      : { retry_after_ms: Math.ceil(Duration.toMillis(after)) })
  })
}

/** Codes of a connection that was never made: what was to be sent cannot have arrived. */
const unsent = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT"
])

const codesOf = (error: unknown, depth = 0): ReadonlyArray<string> => {
  if (depth > 5 || typeof error !== "object" || error === null) return []
  const { cause, code, errors, reason } = error as Readonly<Record<string, unknown>>
  return [
    ...(typeof code === "string" ? [code] : []),
    ...codesOf(cause, depth + 1),
    ...codesOf(reason, depth + 1),
    ...(Array.isArray(errors) ? errors.flatMap((one) => codesOf(one, depth + 1)) : [])
  ]
}

/** Whether a request certainly did not reach the service. */
export const neverSent = (error: unknown): boolean => codesOf(error).some((code) => unsent.has(code))

/** The failure of a request that got no answer. Never repeats the request: its headers are secret. */
export const ofTransport = (service: string, error: unknown): ConnectorFailure => {
  if (error instanceof HttpClientError.HttpClientError && error.reason._tag === "InvalidUrlError") {
    return new ConnectorFailure({ kind: "InvalidPayload", message: `${service}: the URL is not valid` })
  }
  const [code = "the connection failed"] = codesOf(error)
  return new ConnectorFailure({ kind: "ServiceUnavailable", message: `${service} does not answer (${code})` })
}
