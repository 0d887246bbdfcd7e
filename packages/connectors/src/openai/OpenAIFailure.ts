/**
 * What an error of the OpenAI API means for a job: by its status, code and type, never by its words. Source: the error
 * codes of the public API description.
 */
import { ConnectorFailure, type FailureKind } from "@muster/core/connector/ConnectorFailure"
import { DateTime, Duration } from "effect"
import type * as Sdk from "openai"
import * as HttpFailure from "../protocol/HttpFailure.ts"

/** What the API says about an error, in the body of an answer, an event of a stream, or a response that failed. */
export interface Said {
  readonly status: number | undefined
  readonly code: string | undefined
  readonly type: string | undefined
  readonly message: string
  readonly header: (name: string) => string | undefined
}

/** Codes and types that say more than their status. */
const kinds: Readonly<Record<string, FailureKind>> = {
  content_policy_violation: "Rejected",
  image_content_policy_violation: "Rejected",
  moderation_blocked: "Rejected",
  content_filter: "Rejected",
  // A prompt that was flagged.
  invalid_prompt: "Rejected",
  bio_policy: "Rejected",
  cyber_policy: "Rejected",
  misalignment_policy_violation: "Rejected",
  insufficient_quota: "RateLimited",
  billing_hard_limit_reached: "RateLimited",
  rate_limit_exceeded: "RateLimited",
  rate_limit_error: "RateLimited",
  invalid_api_key: "Unauthorized",
  timeout: "Timeout",
  vector_store_timeout: "Timeout",
  server_error: "ServiceUnavailable",
  // An account is out of its own step, as one request changes what another one reads.
  conflict_error: "ServiceUnavailable"
}

/** Codes of inputs that cannot be used, in responses that have failed. */
const unusable =
  /^(invalid_(image|base64)\w*|image_(too|parse|file)\w*|unsupported_image\w*|empty_image\w*|failed_to_download\w*|data_residency_mismatch)$/

/** Codes that mean: pay first. Nothing changes until somebody did. */
const unpaid = new Set(["insufficient_quota", "billing_hard_limit_reached"])
const unpaidPause = Duration.minutes(15)

/** A duration as the rate limit headers spell it: `6m0s`, `1s`, `20ms`. */
const resetAfter = (text: string | undefined): Duration.Duration | undefined => {
  const [, hours, minutes, seconds, millis] =
    /^(?:(\d{1,3})h)?(?:(\d{1,4})m(?!s))?(?:(\d{1,6}(?:\.\d+)?)s)?(?:(\d{1,8}(?:\.\d+)?)ms)?$/.exec(text ?? "") ?? []
  if ((hours ?? minutes ?? seconds ?? millis) === undefined) return undefined
  const total = Number(hours ?? 0) * 3_600_000 + Number(minutes ?? 0) * 60_000 + Number(seconds ?? 0) * 1_000
  return Duration.millis(Math.ceil(total + Number(millis ?? 0)))
}

/** How long to wait: what is said outright, else until the limit that is used up is there again. */
const waitOf = ({ header }: Said, now: DateTime.Utc): Duration.Duration | undefined => {
  const millis = header("retry-after-ms")
  if (millis !== undefined && /^\d{1,9}(\.\d+)?$/.test(millis)) return Duration.millis(Math.ceil(Number(millis)))
  const after = HttpFailure.retryAfter(header("retry-after"), now)
  if (after !== undefined) return after
  const resets = ["requests", "tokens"].flatMap((what) => {
    const reset = resetAfter(header(`x-ratelimit-reset-${what}`))
    return header(`x-ratelimit-remaining-${what}`) === "0" && reset !== undefined ? [Duration.toMillis(reset)] : []
  })
  return resets.length === 0 ? undefined : Duration.millis(Math.max(...resets))
}

const failure = (kind: FailureKind, said: Said, retryAfter?: Duration.Duration) =>
  new ConnectorFailure({
    kind,
    message: `OpenAI answered ${said.status ?? "an error"}${said.code === undefined ? "" : ` (${said.code})`}: ${said.message
      .replace(/\s+/g, " ")
      .trim()
      .slice(0, 500)}`,
    ...(retryAfter === undefined ? {} : { retry_after_ms: Math.ceil(Duration.toMillis(retryAfter)) })
  })

const byStatus = (said: Said, status: number, now: DateTime.Utc): ConnectorFailure => {
  if (status === 409) return failure("ServiceUnavailable", said)
  return HttpFailure.ofStatus("OpenAI", status, said.message, waitOf(said, now))
}

/** The failure that an error means. */
export const ofSaid = (said: Said, now: DateTime.Utc): ConnectorFailure => {
  const names = [said.code, said.type].filter((name) => name !== undefined)
  if (names.some((name) => unpaid.has(name))) return failure("RateLimited", said, unpaidPause)
  if (names.some((name) => unusable.test(name))) return failure("InvalidPayload", said)
  const kind = names.map((name) => kinds[name]).find((found) => found !== undefined)
  if (kind === "RateLimited") return failure(kind, said, waitOf(said, now))
  // A server in trouble may say when to come back.
  if (kind !== undefined && (kind !== "ServiceUnavailable" || said.status === undefined)) return failure(kind, said)
  return said.status === undefined ? failure("ServiceUnavailable", said) : byStatus(said, said.status, now)
}

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)

const noHeader = () => undefined

/** What the JSON of an error says: `{error: {message, code, type}}`, or what is in it. */
export const saidIn = (body: unknown, status?: number, header: Said["header"] = noHeader): Said => {
  const outer = typeof body === "object" && body !== null ? (body as Readonly<Record<string, unknown>>) : {}
  const inner = typeof outer["error"] === "object" && outer["error"] !== null ? outer["error"] : outer
  const { code, message, type } = inner as Readonly<Record<string, unknown>>
  return { status, code: text(code), type: text(type), message: text(message) ?? "it does not say why", header }
}

/** A request to the API that failed. */
export interface Refusal {
  readonly failure: ConnectorFailure
  /** The API certainly did not take the request on, so that nothing is paid for it. */
  readonly isUnaccepted: boolean
  /** The request cannot have reached the API. */
  readonly isUnsent: boolean
}

/** Statuses that say that a request is not one that is served here: another one may be. */
const notServed = new Set([400, 404, 405, 415, 422])

/** What an error of the `openai` package, which is handed in, means. */
export const ofError = (
  { APIConnectionError, APIError }: Pick<typeof Sdk, "APIConnectionError" | "APIError">,
  error: unknown,
  now: DateTime.Utc
): Refusal => {
  if (error instanceof APIConnectionError) {
    const isUnsent = HttpFailure.neverSent(error)
    return { failure: HttpFailure.ofTransport("OpenAI", error), isUnaccepted: isUnsent, isUnsent }
  }
  if (error instanceof APIError) {
    const { error: body, headers, status } = error as InstanceType<typeof APIError>
    const failure = ofSaid(
      saidIn(body ?? { message: "" }, status, (name) => headers?.get(name) ?? undefined),
      now
    )
    const isUnaccepted = status !== undefined && notServed.has(status) && failure.kind === "InvalidPayload"
    return { failure, isUnaccepted, isUnsent: false }
  }
  // A connection that broke has a cause; without one it is the package that cannot make sense of what came.
  return accepted(
    error instanceof Error && error.cause !== undefined
      ? HttpFailure.ofTransport("OpenAI", error)
      : new ConnectorFailure({ kind: "ProtocolError", message: "OpenAI answered what cannot be read" })
  )
}

/** A failure after which nobody knows whether the request was taken on. */
export const accepted = (failure: ConnectorFailure): Refusal => ({ failure, isUnaccepted: false, isUnsent: false })
