/** How webhooks are delivered. */
import { Context, Duration } from "effect"

export interface WebhookSettings {
  /** Whether private addresses may be delivered to as well as public ones; or which networks, as `10.1.0.0/16`. */
  readonly allowPrivate: boolean | ReadonlyArray<string>
  /** How long a receiver may take to answer. */
  readonly timeout: Duration.Duration
  /** A webhook that failed for so long without a break is disabled. */
  readonly disableAfter: Duration.Duration
  /** The pause after the first failure; it doubles with each further one. */
  readonly firstPause: Duration.Duration
  /** The longest of these pauses. */
  readonly longestPause: Duration.Duration
  /** The longest pause that a receiver may ask for by `Retry-After`. */
  readonly longestAskedPause: Duration.Duration
  /** Events in one delivery, at most. */
  readonly batch: number
  /** How long a server may be silent before another one takes its webhooks over. */
  readonly lease: Duration.Duration
  /** How often a server renews its leases and looks for webhooks that nobody works on. */
  readonly interval: Duration.Duration
}

export const WebhookSettings = Context.Reference<WebhookSettings>("@muster/core/webhook/WebhookSettings", {
  defaultValue: () => ({
    allowPrivate: false,
    timeout: Duration.seconds(10),
    disableAfter: Duration.days(3),
    firstPause: Duration.seconds(1),
    longestPause: Duration.minutes(5),
    longestAskedPause: Duration.hours(1),
    batch: 100,
    lease: Duration.seconds(15),
    interval: Duration.seconds(2)
  })
})
