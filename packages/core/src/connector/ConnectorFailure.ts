/**
 * Why a connector could not finish a job. The kind decides what happens to the job; the text is for people.
 */
import { Duration, Schema } from "effect"

export const FailureKind = Schema.Literals([
  "Rejected",
  "InvalidPayload",
  "Unauthorized",
  "RateLimited",
  "ServiceUnavailable",
  "ProtocolError",
  "Timeout",
  "ResourceExhausted",
  "AssetFailed"
])
export type FailureKind = typeof FailureKind.Type

export class ConnectorFailure extends Schema.TaggedError<ConnectorFailure>(
  "@muster/core/connector/ConnectorFailure/ConnectorFailure"
)("ConnectorFailure", {
  kind: FailureKind,
  message: Schema.String,
  /** How long the service asked to be left alone, in milliseconds. */
  retry_after_ms: Schema.optionalKey(Schema.Int)
}) {}

/**
 * Whether a failure of a kind is tried again, whether doing so spends one of the job's retries, and whether another
 * worker had better do it: what was too much for one may be little for the next.
 */
const policy: Record<
  FailureKind,
  { readonly retried: boolean; readonly usesRetry: boolean; readonly elsewhere?: true }
> = {
  Rejected: { retried: false, usesRetry: false },
  InvalidPayload: { retried: false, usesRetry: false },
  Unauthorized: { retried: false, usesRetry: false },
  RateLimited: { retried: true, usesRetry: false },
  ServiceUnavailable: { retried: true, usesRetry: true },
  ProtocolError: { retried: true, usesRetry: true },
  Timeout: { retried: true, usesRetry: true },
  ResourceExhausted: { retried: true, usesRetry: true, elsewhere: true },
  AssetFailed: { retried: true, usesRetry: true }
}

const firstDelay = Duration.seconds(1)
const longestDelay = Duration.minutes(5)
/** A service may ask for no pause, which would be a loop without end, or for one that nobody meant. */
const shortestAsked = Duration.millis(500)
const longestAsked = Duration.days(1)

/** What is to become of a job whose attempt failed. */
export type AfterFailure =
  | { readonly _tag: "GiveUp" }
  | {
      readonly _tag: "Retry"
      readonly delay: Duration.Duration
      readonly usesRetry: boolean
      readonly elsewhere: boolean
    }

/**
 * Decides it from the failure, the attempts and retries of the job, and a `jitter` in [0, 1). The delay doubles with
 * each attempt, whether or not it uses a retry, and is spread over its upper half, so that a fleet whose service was
 * away does not come back in one wave; a service that names a delay within reason is given it.
 */
export const afterFailure = (
  failure: { readonly kind: FailureKind; readonly retry_after_ms?: number },
  job: { readonly attempt: number; readonly retry_count: number; readonly max_retries: number },
  jitter: number
): AfterFailure => {
  const { elsewhere = false, retried, usesRetry } = policy[failure.kind]
  if (!retried || (usesRetry && job.retry_count >= job.max_retries)) return { _tag: "GiveUp" }
  if (failure.retry_after_ms !== undefined) {
    const asked = Duration.millis(failure.retry_after_ms)
    const delay = Duration.clamp(asked, { minimum: shortestAsked, maximum: longestAsked })
    return { _tag: "Retry", delay, usesRetry, elsewhere }
  }
  const backoff = Math.min(
    Duration.toMillis(firstDelay) * 2 ** Math.max(0, job.attempt - 1),
    Duration.toMillis(longestDelay)
  )
  return { _tag: "Retry", delay: Duration.millis(Math.round(backoff * (0.5 + jitter / 2))), usesRetry, elsewhere }
}
