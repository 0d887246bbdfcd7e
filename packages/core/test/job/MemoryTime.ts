/** The time of a queue in memory: the test's own clock. */
import { Clock, Duration, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { StoreTime } from "./QueueTest.ts"

/** Far from 1970, which would stand for "never". */
const start = Date.UTC(2026, 0, 1)

export const layer: Layer.Layer<StoreTime> = Layer.effect(
  StoreTime,
  Effect.as(
    TestClock.setTime(start),
    StoreTime.of({
      now: Clock.currentTimeMillis,
      pass: TestClock.adjust,
      setBack: (duration) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => TestClock.setTime(now - Duration.toMillis(duration)))
    })
  )
)
