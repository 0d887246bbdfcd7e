/** What workers of one key do when the provider wants less: they share a budget, and jobs wait instead of failing. */
import { connector } from "@muster/connectors/OpenAITextSimpleConnector"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { acquire, jobOf, services } from "./ConnectorSuite.ts"
import type { Refusal } from "./doubles/OpenAIDouble.ts"
import { service } from "./openaiService.ts"

const workers = 8
const perMinute = 40

describe("a rate limit", () => {
  it.effect(
    "lowers the budget of all workers of the key: few calls are refused, and no job fails of it",
    () =>
      Effect.gen(function* () {
        const double = yield* service
        let calls = 0
        const refused: Array<number> = []
        yield* double.refusing(({ method }): Refusal | undefined => {
          if (method === "GET" || ++calls <= perMinute) return undefined
          refused[refused.length - 1]!++
          return { status: 429, error: { code: "rate_limit_exceeded" }, headers: { "retry-after-ms": "1500" } }
        })
        const fleet = yield* Effect.orDie(
          Effect.all(Array.from({ length: workers }, () => acquire(connector, double.environment)))
        )
        let waiting = Array.from({ length: 200 }, (_, n) => jobOf({ prompt: `hello ${n}` }))
        for (let minute = 0; waiting.length > 0; minute++) {
          assert.isBelow(minute, 20, "it comes to an end")
          calls = 0
          refused.push(0)
          const left: typeof waiting = []
          yield* Effect.forEach(
            waiting,
            (job, n) =>
              Effect.catch(
                fleet[n % workers]!.process(job, () => Effect.void),
                (failure) =>
                  Effect.sync(() => {
                    assert.strictEqual(failure.kind, "RateLimited", failure.message)
                    assert.isAbove(failure.retry_after_ms ?? 0, 0)
                    left.push(job)
                  })
              ),
            { concurrency: workers, discard: true }
          )
          waiting = left
          yield* TestClock.adjust("1 minute")
        }
        assert.strictEqual(double.paid.length, 200)
        // Each time only those are refused that were under way when the first refusal came.
        for (const count of refused) assert.isAtMost(count, workers)
        assert.isAtMost(refused.filter((count) => count > 0).length, 3)
      }).pipe(Effect.scoped, Effect.provide(services)),
    120_000
  )

  it.live("a call that the budget does not have is not made", () =>
    Effect.gen(function* () {
      const double = yield* service
      yield* double.refusing(({ method }) =>
        method === "POST" ? { status: 429, error: { code: "insufficient_quota" } } : undefined
      )
      const [one, other] = [
        yield* Effect.orDie(acquire(connector, double.environment)),
        yield* Effect.orDie(acquire(connector, double.environment))
      ]
      const first = yield* Effect.flip(one.process(jobOf({ prompt: "hello" }), () => Effect.void))
      assert.deepStrictEqual([first.kind, first.retry_after_ms], ["RateLimited", 900_000])
      const second = yield* Effect.flip(other.process(jobOf({ prompt: "hello" }), () => Effect.void))
      assert.strictEqual(second.kind, "RateLimited")
      assert.isAbove(second.retry_after_ms ?? 0, 800_000)
      assert.strictEqual(double.asked.length, 1)
      // Another key has a budget of its own.
      const strange = yield* Effect.orDie(acquire(connector, { ...double.environment, OPENAI_API_KEY: "sk-other" }))
      const third = yield* Effect.flip(strange.process(jobOf({ prompt: "hello" }), () => Effect.void))
      assert.strictEqual(third.kind, "Unauthorized")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  for (const [headers, expected] of [
    [{ "retry-after-ms": "250.5" }, 251],
    [{ "retry-after": "7" }, 7_000],
    [{ "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m30s" }, 90_000],
    [
      {
        "x-ratelimit-remaining-requests": "5",
        "x-ratelimit-reset-requests": "1h0m0s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "120ms"
      },
      120
    ],
    [{ "retry-after": "soon" }, undefined]
  ] as const) {
    it.live(`waits as long as ${JSON.stringify(headers)} says`, () =>
      Effect.gen(function* () {
        const double = yield* service
        yield* double.refusing(({ method }) =>
          method === "POST" ? { status: 429, headers: { ...headers } } : undefined
        )
        const running = yield* Effect.orDie(acquire(connector, double.environment))
        const failure = yield* Effect.flip(running.process(jobOf({ prompt: "hello" }), () => Effect.void))
        assert.deepStrictEqual([failure.kind, failure.retry_after_ms], ["RateLimited", expected])
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }
})
