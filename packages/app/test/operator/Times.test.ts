import * as Times from "@muster/app/terminal/Times"
import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"

const at = (text: string) => DateTime.makeUnsafe(text)
const now = at("2026-03-01T12:00:00Z")

describe("Times", () => {
  it("reads times that mean the same everywhere", () => {
    assert.deepStrictEqual(Times.parseTime("2026-03-01T12:00Z"), now)
    assert.deepStrictEqual(Times.parseTime("2026-03-01T12:00:00.000Z"), now)
    assert.deepStrictEqual(Times.parseTime("2026-03-01T14:00:00+02:00"), now)
    assert.isDefined(Times.parseTime("2028-02-29T00:00:00Z"))
    for (const text of [
      "",
      "now",
      "2026",
      "2026-03-01",
      "2026-03-01T12:00:00",
      "2026-02-29T00:00:00Z",
      "2026-04-31T00:00:00Z",
      "2026-13-01T00:00:00Z",
      "2026-03-00T00:00:00Z",
      "2026-03-01T25:00:00Z",
      "2026-03-01 12:00:00Z"
    ]) {
      assert.strictEqual(Times.parseTime(text), undefined, text)
    }
  })

  it("says how long ago", () => {
    assert.strictEqual(Times.relative(at("2026-03-01T11:59:57Z"), now), "3 s ago")
    assert.strictEqual(Times.relative(at("2026-03-01T11:55:00Z"), now), "5 min ago")
    assert.strictEqual(Times.relative(at("2026-02-28T12:00:01Z"), now), "23 h ago")
    assert.strictEqual(Times.relative(at("2026-02-25T12:00:00Z"), now), "4 d ago")
    assert.strictEqual(Times.relative(at("2026-03-01T12:00:00.400Z"), now), "just now")
    assert.strictEqual(Times.relative(at("2026-03-01T13:00:00Z"), now), "in 1 h")
    assert.strictEqual(Times.exact(at("2026-03-01T11:59:57Z"), now), "3 s ago (2026-03-01T11:59:57.000Z)")
  })

  it("has no negative ages, whatever the clock of the server says", () => {
    assert.strictEqual(Times.age(at("2026-03-01T12:00:09Z"), now), "0 s")
    assert.strictEqual(Times.age(at("2026-03-01T11:00:00Z"), now), "1 h")
    assert.strictEqual(Times.took(-5), "0 ms")
    assert.strictEqual(Times.took(1_540), "1.5 s")
    assert.strictEqual(Times.took(61_000), "1 min")
  })
})
