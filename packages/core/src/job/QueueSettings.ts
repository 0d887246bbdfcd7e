/** The settings of a queue, read by every layer of it. */
import { Context, Duration } from "effect"

export interface QueueSettings {
  /** The namespace of the jobs; a server serves one. */
  readonly name: string
  /** How long one priority point can hold back an older job. Fixed for the life of a queue. */
  readonly priorityStep: Duration.Duration
  /** How long a claim holds a job without being renewed. */
  readonly lease: Duration.Duration
  /** How long finished jobs stay readable. */
  readonly retention: Duration.Duration
  /** How often leases, schedules and expiries are looked after. */
  readonly tickInterval: Duration.Duration
}

export const QueueSettings = Context.Reference<QueueSettings>("@muster/core/job/QueueSettings", {
  defaultValue: () => ({
    name: "default",
    priorityStep: Duration.minutes(1),
    lease: Duration.seconds(30),
    retention: Duration.days(3),
    tickInterval: Duration.seconds(1)
  })
})

/** 100 priority points times the step must stay an exact integer beside a time in ms. */
export const longestPriorityStep = Duration.days(365 * 100)
