import * as Allowances from "@muster/core/connector/internal/Allowances"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"

const minute = 60_000
const start = 1_800_000_000_000

const taken = (budget: Allowances.Allowances, times: number, now: number) => {
  let after = Allowances.current(budget, now)
  for (let n = 0; n < times; n++) after = Allowances.take(after)
  return after
}

const limited = (calls: number, now = start) => Allowances.refuse(taken(Allowances.unlimited, calls, now), 1_000, now)

describe("Allowances", () => {
  it("nothing is limited before a provider refuses a call", () => {
    const budget = taken(Allowances.unlimited, 100_000, start)
    assert.strictEqual(budget.per_minute, null)
    assert.strictEqual(Allowances.waitFor(budget, start), 0)
  })

  it("a refusal pauses, and leaves seven tenths of the busiest minute", () => {
    const budget = limited(100)
    assert.strictEqual(budget.per_minute, 70)
    assert.strictEqual(Allowances.waitFor(budget, start + 1), 999)
    const before = taken(taken(Allowances.unlimited, 50, start), 3, start + minute)
    assert.strictEqual(Allowances.refuse(before, 0, start + minute).per_minute, 35)
  })

  it("a call waits for the next minute when those of this one are gone", () => {
    const later = start + 2_000
    const budget = taken({ ...limited(10), taken: 0 }, 7, later)
    assert.strictEqual(Allowances.waitFor(budget, later), minute - (later % minute))
    assert.strictEqual(Allowances.waitFor(Allowances.current(budget, later + minute), later + minute), 0)
  })

  it("refusals of calls that were under way count once", () => {
    let budget = limited(100)
    for (let n = 0; n < 50; n++) budget = Allowances.refuse(budget, 2_000, start + n * 10)
    assert.strictEqual(budget.per_minute, 70)
    assert.strictEqual(budget.paused_until, start + 490 + 2_000)
    const noPause = Allowances.refuse(
      Allowances.refuse({ ...limited(100), paused_until: 0 }, 0, start + 1),
      0,
      start + 2
    )
    assert.strictEqual(noPause.per_minute, 70)
    assert.strictEqual(Allowances.refuse({ ...budget, taken: 70 }, 0, start + 10_000).per_minute, 49)
  })

  it("a provider is asked again within the hour, whatever it says", () => {
    const budget = Allowances.refuse(Allowances.unlimited, 1e12, start)
    assert.strictEqual(Allowances.waitFor(budget, start), 3_600_000)
    assert.strictEqual(budget.per_minute, 1)
  })

  it("the limit rises by a tenth each calm minute, and is gone after ten", () => {
    const end = start + 1_000
    const limits = Array.from({ length: 11 }, (_, n) => Allowances.current(limited(100), end + n * minute).per_minute)
    assert.deepStrictEqual(limits, [70, 77, 85, 94, 104, 115, 127, 140, 154, 170, null])
  })

  it("a clock that goes back gives nothing away", () => {
    const budget = taken(limited(10), 7, start + 2_000)
    const back = Allowances.current(budget, start - 5 * minute)
    assert.isAbove(Allowances.waitFor(back, start - 5 * minute), 0)
  })

  const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
  const Step = Schema.Struct({
    what: Schema.Literals(["take", "refuse", "look"]),
    after: between(0, 3 * minute),
    retryAfter: Schema.NullOr(between(0, 2 * minute))
  })

  it.prop(
    "is the same however often it is looked at, never below one, and asks for sane waits",
    { steps: Arbitrary.array(Arbitrary.schema(Step), { maxLength: 40 }) },
    ({ steps }) => {
      let now = start
      let budget = Allowances.unlimited
      let lookedAt = Allowances.unlimited
      for (const { after, retryAfter, what } of steps) {
        for (const part of [0.25, 0.5]) lookedAt = Allowances.current(lookedAt, now + Math.floor(after * part))
        now += after
        budget = Allowances.current(budget, now)
        lookedAt = Allowances.current(lookedAt, now)
        if (what === "take") {
          const wait = Allowances.waitFor(budget, now)
          assert.strictEqual(Allowances.waitFor(lookedAt, now), wait)
          assert.isTrue(Number.isInteger(wait) && wait >= 0 && wait <= 3_600_000)
          if (wait === 0) {
            budget = Allowances.take(budget)
            lookedAt = Allowances.take(lookedAt)
          }
        } else if (what === "refuse") {
          budget = Allowances.refuse(budget, retryAfter, now)
          lookedAt = Allowances.refuse(lookedAt, retryAfter, now)
        }
        assert.deepStrictEqual(lookedAt, budget)
        assert.isTrue(budget.per_minute === null || (Number.isInteger(budget.per_minute) && budget.per_minute >= 1))
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop(
    "lets no more calls through in a minute than the limit",
    { calls: Arbitrary.schema(between(1, 500)), gaps: Arbitrary.array(Arbitrary.schema(between(0, 200))) },
    ({ calls, gaps }) => {
      let budget = limited(calls)
      let now = start + 1_000
      const perMinute = new Map<number, number>()
      for (const gap of gaps) {
        now += gap
        budget = Allowances.current(budget, now)
        if (Allowances.waitFor(budget, now) > 0) continue
        budget = Allowances.take(budget)
        const at = Math.floor(now / minute)
        perMinute.set(at, (perMinute.get(at) ?? 0) + 1)
      }
      const most = Allowances.current(limited(calls), now).per_minute ?? Infinity
      for (const count of perMinute.values()) assert.isAtMost(count, most)
    }
  )
})
