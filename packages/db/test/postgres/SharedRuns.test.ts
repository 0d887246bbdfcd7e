import { assert, describe, it } from "@effect/vitest"
import * as SharedRuns from "@muster/db/postgres/SharedRuns"
import { Effect, Exit, Fiber, Ref, Scope } from "effect"
import { TestClock } from "effect/testing"

/** A run that takes a second, and how often it has begun. */
const slow = Effect.gen(function* () {
  const begun = yield* Ref.make(0)
  const runs = yield* SharedRuns.make(
    Effect.andThen(
      Ref.update(begun, (n) => n + 1),
      Effect.sleep("1 second")
    )
  )
  return { begun: Ref.get(begun), runs }
})

const waits = (fiber: Fiber.Fiber<unknown, unknown>) => fiber.pollUnsafe() === undefined

describe("shared runs", () => {
  it.effect("answer all who came before they began, and nobody who came later", () =>
    Effect.gen(function* () {
      const { begun, runs } = yield* slow
      const early = yield* Effect.replicateEffect(Effect.forkChild(runs.next), 5)
      yield* TestClock.adjust("500 millis")
      const late = yield* Effect.replicateEffect(Effect.forkChild(runs.next), 5)
      yield* TestClock.adjust("500 millis")
      assert.isFalse(early.some(waits))
      assert.isTrue(late.every(waits))
      assert.strictEqual(yield* begun, 2)
      yield* TestClock.adjust("1 second")
      assert.isFalse(late.some(waits))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* begun, 2)
      const alone = yield* Effect.forkChild(runs.next)
      yield* TestClock.adjust("1 second")
      assert.isFalse(waits(alone))
      assert.strictEqual(yield* begun, 3)
    })
  )

  it.effect("can be joined when they are under way", () =>
    Effect.gen(function* () {
      const { begun, runs } = yield* slow
      const first = yield* Effect.forkChild(runs.current)
      yield* TestClock.adjust("500 millis")
      const second = yield* Effect.forkChild(runs.current)
      yield* TestClock.adjust("500 millis")
      assert.isFalse([first, second].some(waits))
      assert.strictEqual(yield* begun, 1)
    })
  )

  it.effect("go on for the others when one caller gives up", () =>
    Effect.gen(function* () {
      const { begun, runs } = yield* slow
      const [impatient, patient] = [yield* Effect.forkChild(runs.next), yield* Effect.forkChild(runs.next)]
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(impatient)
      yield* TestClock.adjust("500 millis")
      assert.isFalse(waits(patient))
      assert.strictEqual(yield* begun, 1)
    })
  )

  it.effect("tell each failure to those who waited for it", () =>
    Effect.gen(function* () {
      const begun = yield* Ref.make(0)
      const fails = Effect.flatMap(
        Ref.updateAndGet(begun, (n) => n + 1),
        (n) => (n === 1 ? Effect.fail("no" as const) : Effect.void)
      )
      const runs = yield* SharedRuns.make(fails)
      assert.strictEqual(yield* Effect.flip(runs.next), "no")
      yield* runs.next
    })
  )

  it.effect("leave nobody waiting when their scope ends", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { runs } = yield* Scope.provide(slow, scope)
      const first = yield* Effect.forkChild(runs.next)
      yield* TestClock.adjust("500 millis")
      const second = yield* Effect.forkChild(runs.next)
      yield* TestClock.adjust("1 millis")
      yield* Scope.close(scope, Exit.void)
      for (const fiber of [first, second]) assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
    })
  )
})
