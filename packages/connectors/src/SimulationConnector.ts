/**
 * A service that only exists as time passing: for trying Muster out, and for tests of everything around a connector.
 *
 * Payload: `{duration_ms?, steps?, fail?}`. `fail: true` or the name of a failure kind ends the job with that failure
 * after half of its steps; everything left out comes from the settings.
 */
import { Duration, Effect, Random, Schema } from "effect"
import type { Connector, ConnectorJob } from "@muster/core/connector/Connector"
import { ConnectorFailure, FailureKind } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { InvalidConfiguration } from "@muster/core/worker/WorkerErrors"

const milliseconds = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 24 * 3_600_000 }))
const steps = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))

const Payload = Schema.Struct({
  duration_ms: Schema.optionalKey(milliseconds),
  steps: Schema.optionalKey(steps),
  fail: Schema.optionalKey(Schema.Union([Schema.Boolean, FailureKind]))
})

const fromText = <S extends Schema.Codec<number, number>>(schema: S) =>
  Schema.NumberFromString.pipe(Schema.decodeTo(schema))

const Settings = Schema.Struct({
  SIMULATION_DURATION_MS: fromText(milliseconds),
  SIMULATION_STEPS: fromText(steps),
  SIMULATION_FAILURE_RATE: fromText(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })))
})

const decodePayload = (payload: unknown) =>
  Schema.decodeUnknownEffect(Payload, { onExcessProperty: "error", errors: "all" })(payload ?? {}).pipe(
    Effect.mapError((error) => new ConnectorFailure({ kind: "InvalidPayload", message: error.message }))
  )

const process = (settings: typeof Settings.Type) =>
  Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const payload = yield* decodePayload(job.payload)
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
  name: "SimulationConnector",
  variables: {
    SIMULATION_DURATION_MS: "${SIMULATION_DURATION_MS:-1000}",
    SIMULATION_STEPS: "${SIMULATION_STEPS:-10}",
    SIMULATION_FAILURE_RATE: "${SIMULATION_FAILURE_RATE:-0}"
  },
  acquire: (variables) =>
    Schema.decodeUnknownEffect(Settings, { errors: "all" })(variables).pipe(
      Effect.mapError((error) => new InvalidConfiguration({ path: "SimulationConnector", detail: error.message })),
      Effect.map((settings) => ({ health: Effect.void, process: process(settings) }))
    )
}
