/** How much work the simulated services take on, and remember. */
import * as SimulationHttpConnector from "@muster/connectors/SimulationHttpConnector"
import * as SimulationWebsocketConnector from "@muster/connectors/SimulationWebsocketConnector"
import * as SimulatedWork from "@muster/connectors/simulation/SimulatedWork"
import * as SimulationHttpServer from "@muster/connectors/simulation/SimulationHttpServer"
import * as SimulationWebSocketServer from "@muster/connectors/simulation/SimulationWebSocketServer"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { once } from "node:events"
import { WebSocket } from "ws"
import { acquire, eventually, jobOf, services } from "../ConnectorSuite.ts"

const hang = { hang: true }
const loopback = { host: "127.0.0.1", port: 0 }

describe("simulated work", () => {
  it.effect("is taken on up to a bound; what nobody has asked about for long gives way", () =>
    Effect.gen(function* () {
      const work = yield* SimulatedWork.make({ mostRunning: 3 })
      for (const id of ["asked", "watched", "forgotten"]) yield* work.submit(id, hang)
      yield* Effect.forkChild(Stream.runDrain(work.watch("watched") ?? Stream.empty))
      assert.strictEqual((yield* Effect.flip(work.submit("new", hang)))._tag, "Full")
      // The same again is no new work.
      assert.strictEqual((yield* work.submit("asked", hang)).id, "asked")
      yield* TestClock.adjust("9 minutes")
      yield* work.look("asked")
      yield* TestClock.adjust("2 minutes")
      yield* work.submit("new", hang)
      const status = (id: string) => Effect.map(work.look(id), (found) => found?.status)
      const all = yield* Effect.forEach(["asked", "watched", "forgotten"], status)
      assert.deepStrictEqual([all, work.running()], [["running", "running", "cancelled"], 3])
      assert.strictEqual((yield* Effect.flip(work.submit("newer", hang)))._tag, "Full")
    })
  )

  it.effect("that has ended is remembered up to a bound, the latest of it", () =>
    Effect.gen(function* () {
      const work = yield* SimulatedWork.make({ mostEnded: 2 })
      for (const id of ["a", "b", "c"]) {
        yield* work.submit(id, { duration_ms: 10, steps: 1 })
        yield* TestClock.adjust("10 millis")
      }
      const found = yield* Effect.forEach(["a", "b", "c"], work.look)
      assert.deepStrictEqual(
        found.map((one) => one?.status),
        [undefined, "completed", "completed"]
      )
    })
  )
})

const overHttp = Effect.gen(function* () {
  const { url, work } = yield* Effect.orDie(SimulationHttpServer.make(loopback, { mostRunning: 1 }))
  const environment = { SIMULATION_HTTP_URL: url, SIMULATION_TEST_MODE: "true" }
  return { url, work, running: yield* Effect.orDie(acquire(SimulationHttpConnector.connector, environment)) }
})

const overWebSocket = Effect.gen(function* () {
  const { url, work } = yield* Effect.orDie(SimulationWebSocketServer.make(loopback, { mostRunning: 1 }))
  const environment = { SIMULATION_WEBSOCKET_URL: url, SIMULATION_TEST_MODE: "true" }
  return { url, work, running: yield* Effect.orDie(acquire(SimulationWebsocketConnector.connector, environment)) }
})

for (const [name, up] of [
  ["HTTP", overHttp],
  ["a WebSocket", overWebSocket]
] as const) {
  it.live(`a service that is full says so over ${name}, and is to be asked again`, () =>
    Effect.gen(function* () {
      const { running, work } = yield* up
      const first = yield* Effect.forkChild(running.process(jobOf(hang), () => Effect.void))
      yield* eventually("it is full", () => work.running() === 1)
      const failure = yield* Effect.flip(running.process(jobOf(hang), () => Effect.void))
      assert.strictEqual(failure.kind, "RateLimited")
      yield* Fiber.interrupt(first)
      yield* eventually("there is room again", () => work.running() === 0)
    }).pipe(Effect.scoped, Effect.provide(services))
  )
}

it.live("what is too long for the simulated services is refused", () =>
  Effect.gen(function* () {
    const http = yield* overHttp
    const body = JSON.stringify({ steps: 1, padding: "x".repeat(20_000) })
    const answer = yield* Effect.promise(() => fetch(`${http.url}/jobs/a`, { method: "PUT", body }))
    assert.strictEqual(answer.status, 400)
    const { url } = yield* overWebSocket
    const socket = new WebSocket(url)
    yield* Effect.promise(() => once(socket, "open"))
    socket.send(body)
    const [code] = yield* Effect.promise(() => once(socket, "close"))
    assert.strictEqual(code, 1009)
  }).pipe(Effect.scoped, Effect.provide(services))
)
