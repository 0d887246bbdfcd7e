/** What every layer of QuotaBudget must do; `pass` lets minutes pass for a budget. */
import { QuotaBudget } from "@muster/core/connector/QuotaBudget"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"

/** A budget that nobody else uses. */
export const aBudget = () => `budget-${globalThis.crypto.randomUUID()}`

/** Calls are counted by the minute on a clock that nobody holds: a test does not begin where one ends. */
const inAMinute = Effect.suspend(() => {
  const left = 60_000 - (Date.now() % 60_000)
  return left < 5_000 ? Effect.sleep(left) : Effect.void
})

export const suite = <R, E>(
  name: string,
  layer: Layer.Layer<QuotaBudget | R, E>,
  pass: (budget: string, minutes: number) => Effect.Effect<unknown, unknown, R>
) =>
  describe(`QuotaBudget ${name}`, () => {
    const test = (title: string, body: Effect.Effect<void, unknown, QuotaBudget | R>) =>
      it.live(title, () => Effect.andThen(inAMinute, Effect.provide(body, layer)))

    const takeMany = (budget: string, count: number) =>
      Effect.gen(function* () {
        const quota = yield* QuotaBudget
        const results = yield* Effect.all(
          Array.from({ length: count }, () => Effect.result(quota.take(budget))),
          { concurrency: "unbounded" }
        )
        return results.filter(({ _tag }) => _tag === "Success").length
      })

    test(
      "limits nothing before a refusal",
      Effect.gen(function* () {
        const budget = aBudget()
        const quota = yield* QuotaBudget
        assert.strictEqual(yield* takeMany(budget, 200), 200)
        assert.deepStrictEqual(yield* quota.allowance(budget), { per_minute: null, paused_ms: 0 })
      })
    )

    test(
      "after a refusal nothing is asked until the provider said, of this budget",
      Effect.gen(function* () {
        const [budget, other] = [aBudget(), aBudget()]
        const quota = yield* QuotaBudget
        yield* takeMany(budget, 10)
        yield* quota.refused(budget, Duration.seconds(30))
        const spent = yield* Effect.flip(quota.take(budget))
        assert.strictEqual(spent._tag, "QuotaSpent")
        assert.isTrue(spent.retry_after_ms > 20_000 && spent.retry_after_ms <= 30_000)
        const { paused_ms, per_minute } = yield* quota.allowance(budget)
        assert.isTrue(paused_ms > 20_000 && paused_ms <= 30_000)
        assert.strictEqual(per_minute, 7)
        yield* quota.take(other)
      })
    )

    test(
      "refusals that come together lower it once, and the longest pause holds",
      Effect.gen(function* () {
        const budget = aBudget()
        const quota = yield* QuotaBudget
        yield* takeMany(budget, 100)
        yield* Effect.all(
          Array.from({ length: 20 }, (_, n) =>
            quota.refused(budget, n === 7 ? Duration.seconds(40) : Duration.seconds(1))
          ),
          { concurrency: "unbounded" }
        )
        const { paused_ms, per_minute } = yield* quota.allowance(budget)
        assert.strictEqual(per_minute, 70)
        assert.isAbove(paused_ms, 30_000)
      })
    )

    test(
      "a provider that says nothing is left alone for a while",
      Effect.gen(function* () {
        const budget = aBudget()
        const quota = yield* QuotaBudget
        yield* quota.refused(budget, null)
        const { paused_ms, per_minute } = yield* quota.allowance(budget)
        assert.isTrue(paused_ms > 0 && paused_ms <= 5_000)
        assert.strictEqual(per_minute, 1)
      })
    )

    test(
      "of many who take at once no more get a call than are left",
      Effect.gen(function* () {
        const budget = aBudget()
        const quota = yield* QuotaBudget
        yield* takeMany(budget, 30)
        yield* quota.refused(budget, Duration.zero)
        yield* pass(budget, 1)
        const limit = (yield* quota.allowance(budget)).per_minute ?? 0
        assert.isTrue(limit >= 21 && limit <= 24, `${limit}`)
        const got = yield* takeMany(budget, 100)
        // Slow ones may see a minute begin all the same.
        assert.isTrue(got === limit || (got > limit && got <= 2 * limit), `${got} of ${limit}`)
        const spent = yield* Effect.flip(quota.take(budget))
        assert.isTrue(spent.retry_after_ms > 0 && spent.retry_after_ms <= 60_000)
      })
    )

    test(
      "the limit rises with calm minutes, and is forgotten after ten",
      Effect.gen(function* () {
        const budget = aBudget()
        const quota = yield* QuotaBudget
        yield* takeMany(budget, 100)
        yield* quota.refused(budget, Duration.zero)
        yield* pass(budget, 3)
        assert.strictEqual((yield* quota.allowance(budget)).per_minute, 94)
        yield* quota.take(budget)
        yield* pass(budget, 7)
        assert.strictEqual((yield* quota.allowance(budget)).per_minute, null)
        assert.strictEqual(yield* takeMany(budget, 200), 200)
      })
    )
  })
