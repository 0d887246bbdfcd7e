import * as SimulationHttpConnector from "@muster/connectors/SimulationHttpConnector"
import * as SimulationWebsocketConnector from "@muster/connectors/SimulationWebsocketConnector"
import * as SimulationHttpServer from "@muster/connectors/simulation/SimulationHttpServer"
import * as SimulationWebSocketServer from "@muster/connectors/simulation/SimulationWebSocketServer"
import type { Progress } from "@muster/core/job/Job"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { acquire, eventually, jobOf, services } from "./ConnectorSuite.ts"
import * as FaultProxy from "./FaultProxy.ts"

const loopback = { host: "127.0.0.1", port: 0 }
const portOf = (url: string) => Number(new URL(url).port)

const overHttp = Effect.gen(function* () {
  const { url, work } = yield* Effect.orDie(SimulationHttpServer.make(loopback))
  const proxy = yield* FaultProxy.make(portOf(url))
  const running = yield* Effect.orDie(
    acquire(SimulationHttpConnector.connector, {
      SIMULATION_HTTP_URL: `http://127.0.0.1:${proxy.port}`,
      SIMULATION_POLL_INTERVAL_MS: "5"
    })
  )
  return { proxy, running, work }
})

const overWebSocket = Effect.gen(function* () {
  const { url, work } = yield* Effect.orDie(SimulationWebSocketServer.make(loopback))
  const proxy = yield* FaultProxy.make(portOf(url))
  const running = yield* Effect.orDie(
    acquire(SimulationWebsocketConnector.connector, { SIMULATION_WEBSOCKET_URL: `ws://127.0.0.1:${proxy.port}` })
  )
  return { proxy, running, work }
})

for (const [name, up] of [
  ["HTTP", overHttp],
  ["a WebSocket", overWebSocket]
] as const) {
  describe(`work over ${name} on a bad line`, () => {
    const payload = { duration_ms: 150, steps: 15 }

    /** Runs a job through what goes wrong; it is done all the same, once, and is never further back than it was. */
    const survives = (title: string, faults: FaultProxy.Faults, harms: number) =>
      it.live(title, () =>
        Effect.gen(function* () {
          const { proxy, running, work } = yield* up
          yield* running.health
          proxy.set(faults)
          if (harms > 0) proxy.cut()
          const before = proxy.harmed()
          const told: Array<Progress> = []
          const result = yield* running.process(jobOf(payload), (progress) =>
            Effect.sync(() => void told.push(progress))
          )
          assert.deepStrictEqual(result, { simulated: true, ...payload })
          const percents = told.map(({ percent }) => percent)
          assert.deepStrictEqual(
            percents,
            percents.toSorted((a, b) => a - b)
          )
          assert.strictEqual(work.running(), 0)
          assert.isAtLeast(proxy.harmed() - before, harms)
        }).pipe(Effect.scoped, Effect.provide(services))
      )

    survives("slow in both directions", { delay_ms: 20 }, 0)
    survives("that loses answers", { lost_answers: 2 }, 2)
    survives("that breaks in the middle of an answer", { cuts: { times: 2, after_bytes: 60 } }, 2)

    it.live("that is cut again and again", () =>
      Effect.gen(function* () {
        const { proxy, running, work } = yield* up
        const fiber = yield* Effect.forkChild(
          running.process(jobOf({ duration_ms: 600, steps: 60 }), (progress) =>
            Effect.sync(() => {
              if ([10, 20, 30].includes(progress.step ?? 0)) proxy.cut()
            })
          )
        )
        yield* eventually("it begins", () => work.running() === 1)
        assert.deepStrictEqual(yield* Fiber.join(fiber), { simulated: true, duration_ms: 600, steps: 60 })
      }).pipe(Effect.scoped, Effect.provide(services))
    )

    it.live("that is away for a while", () =>
      Effect.gen(function* () {
        const { proxy, running, work } = yield* up
        const fiber = yield* Effect.forkChild(running.process(jobOf(payload), () => Effect.void))
        yield* eventually("it begins", () => work.running() === 1)
        proxy.set({ refuses: true })
        proxy.cut()
        const before = proxy.harmed()
        yield* eventually("it ends unheard", () => work.running() === 0)
        yield* eventually("it is asked about in vain", () => proxy.harmed() > before)
        proxy.set({})
        assert.deepStrictEqual(yield* Fiber.join(fiber), { simulated: true, ...payload })
      }).pipe(Effect.scoped, Effect.provide(services))
    )

    if (name === "HTTP") survives("that sends requests twice", { repeats_requests: true }, 0)
    else survives("that says everything twice", { repeats_answers: true }, 0)
  })
}
