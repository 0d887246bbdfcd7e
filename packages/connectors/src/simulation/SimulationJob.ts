/** What the connectors of the simulated services have in common: settings, payload, and what the end of work means. */
import type { ConnectorJob } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { Effect, Schema } from "effect"
import * as Settings from "../Settings.ts"
import { hasEnded, misbehaviour, type Work, WorkRequest } from "./WorkMessages.ts"

export const Variables = Schema.Struct({
  SIMULATION_DURATION_MS: Settings.integer(0, 24 * 3_600_000),
  SIMULATION_STEPS: Settings.integer(1, 10_000),
  SIMULATION_MAX_CONCURRENT_JOBS: Settings.integer(1, 1_000),
  /** Whether jobs may ask their service to misbehave. */
  SIMULATION_TEST_MODE: Settings.flag
})

export const variables = {
  SIMULATION_DURATION_MS: "${SIMULATION_DURATION_MS:-1000}",
  SIMULATION_STEPS: "${SIMULATION_STEPS:-10}",
  SIMULATION_MAX_CONCURRENT_JOBS: "${SIMULATION_MAX_CONCURRENT_JOBS:-10}",
  SIMULATION_TEST_MODE: "${SIMULATION_TEST_MODE:-false}"
}

/** One attempt of a job is one work, however often it is submitted. */
export const workIdOf = (job: Pick<ConnectorJob, "id" | "attempt">): string => `${job.id}.${job.attempt}`

/** The work that a job asks for, with the settings where it says nothing. */
export const requestOf = Effect.fnUntraced(function* (settings: typeof Variables.Type, payload: unknown) {
  const request = yield* Settings.decodePayload(WorkRequest, payload)
  const asked = Object.keys(misbehaviour).filter((name) => name in request)
  if (asked.length > 0 && !settings.SIMULATION_TEST_MODE) {
    return yield* new ConnectorFailure({
      kind: "InvalidPayload",
      message: `${asked.join(", ")}: services misbehave only where SIMULATION_TEST_MODE is true`
    })
  }
  const { SIMULATION_DURATION_MS: duration_ms, SIMULATION_STEPS: steps } = settings
  return { duration_ms, steps, ...request }
})

/** How far work is, and never behind what was told before. */
export const progressOf = ({ step, total_steps }: Work): Progress => ({
  percent: total_steps === 0 ? 0 : Math.min(100, (100 * step) / total_steps),
  message: `step ${step} of ${total_steps}`,
  step,
  total_steps
})

/** What ended work means; undefined while it goes on. */
export const ending = (work: Work): Effect.Effect<unknown, ConnectorFailure> | undefined => {
  if (!hasEnded(work)) return undefined
  if (work.status === "completed") return Effect.succeed(work.result ?? null)
  const { kind, message } = work.error ?? {
    kind: "ServiceUnavailable" as const,
    message: `the work was ${work.status} at the service`
  }
  return Effect.fail(new ConnectorFailure({ kind, message }))
}

export const forgotten = new ConnectorFailure({
  kind: "ServiceUnavailable",
  message: "the service does not know the work any more: it was started anew"
})
