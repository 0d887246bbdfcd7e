/** The periods by which the registry judges whether a worker lives. Source: document 004 and design section 3. */
import { Context, Duration } from "effect"

export interface RegistrySettings {
  readonly activationInterval: Duration.Duration
  readonly staleInterval: Duration.Duration
  readonly reactivationInterval: Duration.Duration
  /** Silence after which a worker counts as gone. Workers beat every quarter of it by default. */
  readonly heartbeatTimeout: Duration.Duration
  /** How long single beats stay readable. */
  readonly heartbeatHistory: Duration.Duration
}

export const RegistrySettings = Context.Reference<RegistrySettings>("@muster/core/worker/RegistrySettings", {
  defaultValue: () => ({
    activationInterval: Duration.seconds(10),
    staleInterval: Duration.seconds(30),
    reactivationInterval: Duration.seconds(30),
    heartbeatTimeout: Duration.seconds(60),
    heartbeatHistory: Duration.hours(1)
  })
})
