import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@muster/core/event/Event"
import * as EventCursor from "@muster/core/event/EventCursor"
import * as EventTally from "@muster/core/event/internal/EventTally"
import { DateTime } from "effect"

const submitted: Event = {
  cursor: EventCursor.make({ log: "log", ms: 1, seq: 0, index: 0 }),
  at: DateTime.makeUnsafe(0),
  type: "job.submitted",
  requirement_class: "1"
}

describe("the tally", () => {
  it("forgets what was counted before the clock was set back", () => {
    const tally = EventTally.make()
    const now = 1_000_000
    tally.add([submitted], now + 3_600_000)
    tally.add([submitted, submitted], now)
    assert.strictEqual(tally.rates(now).get("1")?.submitted, 2)
    assert.strictEqual(tally.rates(now + 59_000).get("1")?.submitted, 2)
    assert.strictEqual(tally.rates(now + 70_000).size, 0)
    assert.strictEqual(tally.totals().get("job.submitted"), 3)
  })
})
