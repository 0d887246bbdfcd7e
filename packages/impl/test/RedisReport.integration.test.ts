/** What is said of a Redis that turns out, after the start, to be none that jobs are safe on. */
import { assert, it } from "@effect/vitest"
import * as WorkerLayers from "@muster/impl/WorkerLayers"
import { Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { startRedis } from "../../../tools/servers/testServers.ts"

/** A moment of real time, in which Redis can answer. */
const moment = Effect.promise(() => new Promise<void>((resolve) => void setTimeout(resolve, 20)))

/** Lets time pass, five seconds a moment, until it holds. Redis is real, so this may take real seconds. */
const passUntil = (what: string, holds: () => boolean) =>
  Effect.gen(function* () {
    const deadline = Date.now() + 60_000
    while (!holds()) {
      if (Date.now() > deadline) return assert.fail(`${what}: not within 60 s`)
      yield* TestClock.adjust("5 seconds")
      yield* moment
    }
  })

it.effect(
  "an evicting Redis is named again and again until somebody changes it",
  () =>
    Effect.gen(function* () {
      const redis = yield* startRedis({ eviction: "allkeys-lru" })
      yield* redis.stop
      const errors: Array<string> = []
      const warnings: Array<string> = []
      const logs = Logger.layer([
        Logger.make(({ logLevel, message }) => {
          if (logLevel === "Error") errors.push(String(message))
          if (logLevel === "Warn") warnings.push(String(message))
        })
      ])
      const build = Layer.build(WorkerLayers.redisQueue(Redacted.make(redis.url))).pipe(Effect.provide(logs))
      const starting = yield* Effect.forkScoped(build)
      yield* passUntil("the start goes on without Redis", () => starting.pollUnsafe() !== undefined)
      yield* Fiber.join(starting)
      assert.deepStrictEqual(errors, [])
      assert.include(warnings.join(), "Redis cannot be reached; trying on")

      yield* redis.restart
      yield* passUntil("it is named", () => errors.length > 0)
      yield* passUntil("it is named again", () => errors.length > 2)
      for (const error of errors) assert.include(error, "set maxmemory-policy to noeviction")
    }),
  120_000
)
