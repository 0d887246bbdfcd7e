import { untilDone } from "@muster/connectors/protocol/Polling"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"

const work = (doneAfter: number, tries?: number) => {
  const seen = { asked: 0, cancelled: 0 }
  const poll = untilDone({
    ask: Effect.sync(() => (++seen.asked > doneAfter ? Option.some(Effect.succeed("result")) : Option.none())),
    every: Duration.seconds(5),
    tries,
    cancel: Effect.sync(() => void seen.cancelled++),
    what: "the work"
  })
  return { seen, poll }
}

describe("polling", () => {
  it.effect("asks at once, then every so often, until there is a result", () =>
    Effect.gen(function* () {
      const { poll, seen } = work(3)
      const fiber = yield* Effect.forkChild(poll)
      yield* TestClock.adjust("14 seconds")
      assert.strictEqual(seen.asked, 3)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), "result")
      assert.deepStrictEqual(seen, { asked: 4, cancelled: 0 })
    })
  )

  it.effect("gives up after so many looks, and cancels", () =>
    Effect.gen(function* () {
      const { poll, seen } = work(100, 60)
      const fiber = yield* Effect.forkChild(Effect.flip(poll))
      yield* TestClock.adjust("5 minutes")
      const failure = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        [failure.kind, failure.message],
        ["Timeout", "the work was not done after 60 looks, 5s apart"]
      )
      assert.deepStrictEqual(seen, { asked: 60, cancelled: 1 })
    })
  )

  it.effect("cancels when it is interrupted, and when asking fails", () =>
    Effect.gen(function* () {
      const { poll, seen } = work(100)
      const fiber = yield* Effect.forkChild(poll)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(seen.cancelled, 1)
      let cancelled = 0
      const failing = untilDone({
        ask: Effect.fail(new ConnectorFailure({ kind: "Unauthorized", message: "no" })),
        every: Duration.seconds(1),
        cancel: Effect.sync(() => void cancelled++),
        what: "the work"
      })
      assert.strictEqual((yield* Effect.flip(failing)).message, "no")
      assert.strictEqual(cancelled, 1)
    })
  )

  it.effect("cancels again when that fails in a way that may pass, and only then", () =>
    Effect.gen(function* () {
      for (const [kind, expected] of [
        ["ServiceUnavailable", 3],
        ["InvalidPayload", 1]
      ] as const) {
        let told = 0
        const poll = untilDone({
          ask: Effect.succeedNone,
          every: Duration.seconds(1),
          cancel: Effect.suspend(() =>
            ++told < 3 ? Effect.fail(new ConnectorFailure({ kind, message: "not now" })) : Effect.void
          ),
          what: "the work"
        })
        const fiber = yield* Effect.forkChild(poll)
        yield* TestClock.adjust("1 second")
        const stopping = yield* Effect.forkChild(Fiber.interrupt(fiber))
        yield* TestClock.adjust("5 seconds")
        yield* Fiber.join(stopping)
        assert.strictEqual(told, expected, kind)
      }
    })
  )

  it.effect.each(["ServiceUnavailable", "ProtocolError"] as const)("asks on for five minutes: %s", (kind) =>
    Effect.gen(function* () {
      const away = new ConnectorFailure({ kind, message: "away" })
      let asked = 0
      let back = false
      const poll = untilDone({
        ask: Effect.suspend(() => {
          asked++
          return back ? Effect.succeed(Option.some(Effect.succeed("result"))) : Effect.fail(away)
        }),
        every: Duration.seconds(10),
        cancel: Effect.void,
        what: "the work"
      })
      const fiber = yield* Effect.forkChild(poll)
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual(asked, 25)
      back = true
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "result")
      back = false
      const other = yield* Effect.forkChild(Effect.flip(poll))
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual(yield* Fiber.join(other), away)
    })
  )

  it.effect("work that ended badly is not cancelled", () =>
    Effect.gen(function* () {
      const bad = new ConnectorFailure({ kind: "Rejected", message: "no" })
      let cancelled = 0
      const poll = untilDone({
        ask: Effect.succeedSome(Effect.fail(bad)),
        every: Duration.seconds(10),
        cancel: Effect.sync(() => void cancelled++),
        what: "the work"
      })
      assert.strictEqual(yield* Effect.flip(poll), bad)
      assert.strictEqual(cancelled, 0)
    })
  )

  it.effect("does not wait long for a cancel that hangs", () =>
    Effect.gen(function* () {
      const poll = untilDone({
        ask: Effect.succeedNone,
        every: Duration.seconds(1),
        cancel: Effect.never,
        what: "the work"
      })
      const fiber = yield* Effect.forkChild(poll)
      yield* TestClock.adjust("1 second")
      const stopping = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
    })
  )
})
