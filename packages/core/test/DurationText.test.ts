import * as DurationText from "@muster/core/DurationText"
import { assert, describe, it } from "@effect/vitest"

describe("DurationText", () => {
  it("reads durations with a unit, and nothing else", () => {
    assert.strictEqual(DurationText.parse("500ms"), 500)
    assert.strictEqual(DurationText.parse("1.5s"), 1_500)
    assert.strictEqual(DurationText.parse("2m"), 120_000)
    assert.strictEqual(DurationText.parse("1h"), 3_600_000)
    assert.strictEqual(DurationText.parse("1d"), 86_400_000)
    for (const text of ["", "30", "s", "-1s", "1 s", "1s ", "soon", "1e3s"]) {
      assert.strictEqual(DurationText.parse(text), undefined, text)
    }
  })
})
