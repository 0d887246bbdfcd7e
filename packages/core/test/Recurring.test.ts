import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Logger, Ref } from "effect"
import { TestClock } from "effect/testing"
import { StorageError } from "@muster/core/job/JobErrors"
import { recurring } from "@muster/core/Recurring"

const away = new StorageError({ operation: "JobQueue.tick", detail: "Redis is away", unavailable: true, cause: "x" })

describe("recurring work", () => {
  it.effect("goes on after failures and defects, and logs the first of a row and its end", () =>
    Effect.gen(function* () {
      const rounds = yield* Ref.make(0)
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => {
        lines.push(String(Array.isArray(message) ? message[0] : message))
      })
      const round = Effect.flatMap(
        Ref.updateAndGet(rounds, (n) => n + 1),
        (n) => {
          if (n === 2 || n === 3) return Effect.fail(away)
          return n === 5 ? Effect.die(new Error("boom")) : Effect.void
        }
      )
      yield* recurring("tick", Duration.seconds(1), round).pipe(Effect.provide(Logger.layer([logger])))
      yield* TestClock.adjust("7 seconds")
      assert.strictEqual(yield* Ref.get(rounds), 8)
      assert.deepStrictEqual(lines, [
        "tick has to wait: JobQueue.tick: Redis is away",
        "tick works again",
        "tick failed, trying again next time",
        "tick works again"
      ])
    }).pipe(Effect.scoped)
  )
})
