import * as Forecast from "@muster/core/diagnosis/Forecast"
import { assert, describe, it } from "@effect/vitest"

const minute = 60_000

/** A reading every ten seconds, for some minutes. */
const readings = (minutes: number, value: (at: number) => number): ReadonlyArray<Forecast.Reading> =>
  Array.from({ length: minutes * 6 + 1 }, (_, n) => ({ at: n * 10_000, value: value(n * 10_000) }))

describe("Forecast", () => {
  it("says when something that grows steadily is full", () => {
    // 10 a minute; 100 now, full at 200.
    const growing = readings(10, (at) => (at / minute) * 10)
    assert.approximately(Forecast.fullIn(growing, 200) ?? -1, 10 * minute, 1)
  })

  it("is not led astray by a single reading", () => {
    const growing = readings(10, (at) => (at / minute) * 10 + (at === 5 * minute ? 40 : 0))
    assert.approximately(Forecast.fullIn(growing, 200) ?? -1, 10 * minute, minute)
  })

  it("says nothing of what does not grow, shrinks, or is too young to tell", () => {
    assert.isNull(
      Forecast.fullIn(
        readings(10, () => 100),
        200
      )
    )
    assert.isNull(
      Forecast.fullIn(
        readings(10, (at) => 100 - at / minute),
        200
      )
    )
    assert.isNull(Forecast.fullIn([], 200))
    assert.isNull(Forecast.fullIn([{ at: 0, value: 1 }], 200))
    // Fast growth, over half a minute only.
    assert.isNull(Forecast.fullIn(readings(10, (at) => at).slice(0, 4), 2 * minute))
    // All at one moment.
    assert.isNull(
      Forecast.fullIn(
        Array.from({ length: 10 }, () => ({ at: 5, value: 1 })),
        200
      )
    )
  })

  it("says 0 when it is full, whatever it does", () => {
    assert.strictEqual(Forecast.fullIn([{ at: 0, value: 200 }], 200), 0)
    assert.strictEqual(
      Forecast.fullIn(
        readings(10, (at) => 300 - at / minute),
        200
      ),
      0
    )
  })

  it("does not look further than a month", () => {
    const slow = readings(10, (at) => at / minute)
    assert.isNotNull(Forecast.fullIn(slow, 20_000))
    assert.isNull(Forecast.fullIn(slow, 50_000))
  })
})
