import { connector } from "@muster/connectors/LimitedServiceConnector"
import * as SimulationHttpServer from "@muster/connectors/simulation/SimulationHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { acquire, eventually, jobOf, services, suite } from "./ConnectorSuite.ts"
import { hurtServer } from "./doubles/HurtServer.ts"

const service = Effect.gen(function* () {
  const { server, url, work } = yield* Effect.orDie(SimulationHttpServer.make({ host: "127.0.0.1", port: 0 }))
  return {
    ...(yield* hurtServer(server)),
    running: work.running,
    environment: {
      LIMITED_SERVICE_URL: url,
      HTTP_MAX_RETRIES: "0"
    },
    impatient: { LIMITED_SERVICE_TIMEOUT_SECONDS: "1", HTTP_TIMEOUT_SECONDS: "1" }
  }
})

suite("LimitedServiceConnector", {
  connector,
  service,
  quick: { duration_ms: 50, steps: 5 },
  endless: null,
  invalid: ["no object"],
  // Whether it is healthy is no JSON that anybody reads.
  failures: { html: null }
})

describe("LimitedServiceConnector", () => {
  it.live("lets go of what it is not to wait for, and the service goes on", () =>
    Effect.gen(function* () {
      const limited = yield* service
      const running = yield* Effect.orDie(acquire(connector, limited.environment))
      const fiber = yield* Effect.forkChild(running.process(jobOf({ duration_ms: 2_000 }), () => Effect.void))
      yield* eventually("the work begins", () => limited.running() === 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(limited.running(), 1)
      yield* eventually("the work ends by itself", () => limited.running() === 0)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("talks to the simulated service on this machine when it is told of no other", () =>
    Effect.gen(function* () {
      const { LIMITED_SERVICE_URL, ...environment } = (yield* service).environment
      const { port } = new URL(LIMITED_SERVICE_URL)
      const running = yield* Effect.orDie(acquire(connector, { ...environment, SIMULATION_HTTP_PORT: port }))
      yield* running.health
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("gives the answer as it is", () =>
    Effect.gen(function* () {
      const limited = yield* service
      const running = yield* Effect.orDie(acquire(connector, limited.environment))
      const result = yield* running.process(jobOf({ duration_ms: 10, save_assets: false }), () => Effect.void)
      assert.deepStrictEqual(result, { output: { simulated: true, duration_ms: 10, steps: 10 }, assets: [] })
      const failure = yield* Effect.flip(running.process(jobOf({ duration_ms: 10, fail: true }), () => Effect.void))
      assert.strictEqual(failure.kind, "ServiceUnavailable")
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})
