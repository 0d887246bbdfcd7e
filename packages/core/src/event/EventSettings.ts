/** How much of what happened is kept, read by every layer of the log and the archive. */
import { Context, Duration } from "effect"

export interface EventSettings {
  /** How long events stay in the log after they were archived; readers that come back within that time miss nothing. */
  readonly retention: Duration.Duration
  /** Bytes of the log from which no progress is added; from twice as many no job is taken until there is less. */
  readonly maxBytes: number
  /** How long the archive keeps finished jobs, their attempts and events. */
  readonly archiveRetention: Duration.Duration
}

export const EventSettings = Context.Reference<EventSettings>("@muster/core/event/EventSettings", {
  defaultValue: () => ({
    retention: Duration.hours(1),
    maxBytes: 256 * 1024 * 1024,
    archiveRetention: Duration.days(90)
  })
})
