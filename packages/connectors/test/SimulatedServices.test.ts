/** The connectors of the simulated services: what holds over HTTP holds over a WebSocket. */
import * as SimulationHttpConnector from "@muster/connectors/SimulationHttpConnector"
import * as SimulationWebsocketConnector from "@muster/connectors/SimulationWebsocketConnector"
import * as SimulationHttpServer from "@muster/connectors/simulation/SimulationHttpServer"
import * as SimulationWebSocketServer from "@muster/connectors/simulation/SimulationWebSocketServer"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { acquire, jobOf, services, suite } from "./ConnectorSuite.ts"
import { hurtServer } from "./doubles/HurtServer.ts"

const loopback = { host: "127.0.0.1", port: 0 }

const overHttp = Effect.gen(function* () {
  const { server, url, work } = yield* Effect.orDie(SimulationHttpServer.make(loopback))
  return {
    ...(yield* hurtServer(server)),
    running: work.running,
    environment: {
      SIMULATION_HTTP_URL: url,
      HTTP_MAX_RETRIES: "0",
      SIMULATION_POLL_INTERVAL_MS: "5",
      SIMULATION_TEST_MODE: "true"
    },
    impatient: { HTTP_TIMEOUT_SECONDS: "1" }
  }
})

const overWebSocket = Effect.gen(function* () {
  const { server, url, work } = yield* Effect.orDie(SimulationWebSocketServer.make(loopback))
  return {
    ...(yield* hurtServer(server)),
    running: work.running,
    environment: { SIMULATION_WEBSOCKET_URL: url, SIMULATION_TEST_MODE: "true" },
    impatient: { SIMULATION_WEBSOCKET_TIMEOUT_SECONDS: "1" }
  }
})

for (const { connector, service } of [
  { connector: SimulationHttpConnector.connector, service: overHttp },
  { connector: SimulationWebsocketConnector.connector, service: overWebSocket }
]) {
  suite(connector.name, {
    connector,
    service,
    quick: { duration_ms: 50, steps: 5 },
    endless: { duration_ms: 50, hang: true },
    invalid: { steps: 0, prompt: "a cat" }
  })

  describe(`${connector.name} and its service`, () => {
    const run = (payload: unknown, over: Readonly<Record<string, string>> = {}, isImpatient = false) =>
      Effect.gen(function* () {
        const { environment, impatient } = yield* service
        const all = { ...environment, ...over, ...(isImpatient ? impatient : {}) }
        const running = yield* Effect.orDie(acquire(connector, all))
        return yield* running.process(jobOf(payload), () => Effect.void)
      }).pipe(Effect.scoped, Effect.provide(services))

    it.live("survives connections that are cut and answers that come late", () =>
      Effect.gen(function* () {
        const result = yield* run({ duration_ms: 50, steps: 2, drop: 3, late_ms: 20, delay_ms: 20 })
        assert.deepStrictEqual(result, { simulated: true, duration_ms: 50, steps: 2 })
      })
    )

    it.live("fails as it is asked to", () =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(run({ duration_ms: 10, fail: "ResourceExhausted" }))
        assert.deepStrictEqual([failure.kind, failure.message], ["ResourceExhausted", "simulated failure at step 5"])
      })
    )

    it.live("does not wait longer for an answer than its timeout", () =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(run({ duration_ms: 10, late_ms: 60_000 }, {}, true))
        assert.strictEqual(failure.kind, "Timeout")
      })
    )

    it.live("lets nobody misbehave unless it is in test mode", () =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(run({ hang: true }, { SIMULATION_TEST_MODE: "false" }))
        assert.strictEqual(failure.kind, "InvalidPayload")
        assert.include(failure.message, "SIMULATION_TEST_MODE")
      })
    )
  })
}
