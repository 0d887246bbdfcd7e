import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import { connector } from "@muster/connectors/SimulationConnector"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import { JobId, type Progress } from "@muster/core/job/Job"
import { expandAll } from "@muster/core/mapping/Template"
import { services } from "./ConnectorSuite.ts"

const aJob = (payload: unknown): ConnectorJob => ({
  id: JobId.make("job-1"),
  attempt: 1,
  service_required: "simulation",
  payload,
  workflow_id: null,
  customer_id: null,
  metadata: null
})

const acquire = (environment: Record<string, string> = {}) =>
  Effect.provide(connector.acquire(Result.getOrThrow(expandAll(connector.variables, environment))), services)

describe("SimulationConnector", () => {
  it.effect("takes its duration and reports each step, never going back", () =>
    Effect.gen(function* () {
      const running = yield* acquire()
      const reports: Array<Progress> = []
      const report = (progress: Progress) => Effect.sync(() => void reports.push(progress))
      const fiber = yield* Effect.forkChild(running.process(aJob({ duration_ms: 4_000, steps: 4 }), report))
      yield* TestClock.adjust("3999 millis")
      assert.deepStrictEqual(
        reports.map(({ percent }) => percent),
        [25, 50, 75]
      )
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(fiber), { simulated: true, duration_ms: 4_000, steps: 4 })
      assert.strictEqual(reports.at(-1)?.percent, 100)
    })
  )

  it.effect("fails as it is asked to", () =>
    Effect.gen(function* () {
      const running = yield* acquire()
      const work = running.process(aJob({ duration_ms: 0, fail: "RateLimited" }), () => Effect.void)
      const fiber = yield* Effect.forkChild(Effect.flip(work))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).kind, "RateLimited")
    })
  )

  it.effect("fails at the rate of its settings", () =>
    Effect.gen(function* () {
      const running = yield* acquire({ SIMULATION_FAILURE_RATE: "1", SIMULATION_DURATION_MS: "0" })
      const fiber = yield* Effect.forkChild(Effect.flip(running.process(aJob({}), () => Effect.void)))
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).kind, "ServiceUnavailable")
    })
  )

  it.effect("names what is wrong in a payload", () =>
    Effect.gen(function* () {
      const running = yield* acquire()
      const failure = yield* Effect.flip(running.process(aJob({ steps: 0, duration: 5 }), () => Effect.void))
      assert.strictEqual(failure.kind, "InvalidPayload")
      assert.strictEqual(failure.message, "duration: Unknown field; steps: Expected a value between 1 and 10000")
    })
  )

  it.effect("refuses settings that are no numbers, naming the variable", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(acquire({ SIMULATION_STEPS: "many" }))
      assert.strictEqual(error._tag, "InvalidConfiguration")
      assert.include(error.message, "SIMULATION_STEPS")
    })
  )
})
