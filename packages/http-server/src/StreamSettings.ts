/** What the operator decides about requests that stay open: event streams, and those that wait for a job's end. */
import { Context, Duration } from "effect"
import { pulseMillis } from "./contract/EventFrames.ts"

export interface StreamSettings {
  /** How many may be open at once on this server; one more is told to come back later. */
  readonly atMost: number
  /** After so long without an event a comment is sent, so that proxies keep the connection and dead ones are noticed. */
  readonly pulse: Duration.Duration
  /** A reader whose connection has taken nothing for so long, although something is to be sent, is cut off. */
  readonly patience: Duration.Duration
}

export const StreamSettings = Context.Reference<StreamSettings>("@muster/http-server/StreamSettings", {
  defaultValue: () => ({ atMost: 2_000, pulse: Duration.millis(pulseMillis), patience: Duration.seconds(60) })
})
