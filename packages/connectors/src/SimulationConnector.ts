/**
 * A service that only exists as time passing: for trying Muster out, and for tests of everything around a connector.
 *
 * Payload: `{duration_ms?, steps?, fail?}`. `fail: true` or the name of a failure kind ends the job with that failure
 * after half of its steps; everything left out comes from the settings.
 */
import { Duration, Effect, Random, Schema } from "effect"
import type { Connector, ConnectorJob } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import * as Settings from "./Settings.ts"
import { plain } from "./simulation/WorkMessages.ts"

const name = "SimulationConnector"

const Payload = Schema.Struct(plain)

const Variables = Schema.Struct({
  SIMULATION_DURATION_MS: Settings.integer(0, 24 * 3_600_000),
  SIMULATION_STEPS: Settings.integer(1, 10_000),
  SIMULATION_FAILURE_RATE: Settings.amount(0, 1)
})

const process = (settings: typeof Variables.Type) =>
  Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const payload = yield* Settings.decodePayload(Payload, job.payload)
    const duration_ms = payload.duration_ms ?? settings.SIMULATION_DURATION_MS
    const total_steps = payload.steps ?? settings.SIMULATION_STEPS
    const asked = payload.fail === true ? "ServiceUnavailable" : payload.fail || undefined
    const chance = yield* Random.next
    const failure = asked ?? (chance < settings.SIMULATION_FAILURE_RATE ? "ServiceUnavailable" : undefined)
    const failAt = failure === undefined ? Infinity : Math.ceil(total_steps / 2)
    for (let step = 1; step <= total_steps; step++) {
      yield* Effect.sleep(Duration.millis(duration_ms / total_steps))
      if (step >= failAt && failure !== undefined) {
        return yield* new ConnectorFailure({ kind: failure, message: `simulated failure at step ${step}` })
      }
      yield* report({
        percent: (100 * step) / total_steps,
        message: `step ${step} of ${total_steps}`,
        step,
        total_steps
      })
    }
    return { simulated: true, duration_ms, steps: total_steps }
  })

export const connector: Connector = {
  name,
  variables: {
    SIMULATION_DURATION_MS: "${SIMULATION_DURATION_MS:-1000}",
    SIMULATION_STEPS: "${SIMULATION_STEPS:-10}",
    SIMULATION_FAILURE_RATE: "${SIMULATION_FAILURE_RATE:-0}"
  },
  acquire: (variables) =>
    Effect.map(Settings.decode(name, Variables, variables), (settings) => ({
      health: Effect.void,
      process: process(settings)
    }))
}
