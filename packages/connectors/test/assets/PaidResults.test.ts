import * as PaidResults from "@muster/connectors/assets/PaidResults"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"

const full = new ConnectorFailure({ kind: "AssetFailed", message: "the disk is full" })

describe("PaidResults", () => {
  const counted = (bytes = 1) => {
    const results = PaidResults.make<string>(() => bytes)
    const paid: Array<string> = []
    const attempt = (key: string, isKept: boolean) =>
      Effect.result(
        results.through(
          key,
          Effect.sync(() => {
            paid.push(key)
            return key
          }),
          (value) => (isKept ? Effect.succeed(value) : Effect.fail(full))
        )
      )
    return { paid, attempt }
  }

  it.effect("what could not be kept is not paid for again, until it is kept", () =>
    Effect.gen(function* () {
      const { attempt, paid } = counted()
      for (const isKept of [false, false, true, true]) yield* attempt("a", isKept)
      assert.deepStrictEqual(paid, ["a", "a"])
    })
  )

  it.effect("is forgotten after an hour", () =>
    Effect.gen(function* () {
      const { attempt, paid } = counted()
      yield* attempt("a", false)
      yield* TestClock.adjust("59 minutes")
      yield* attempt("a", false)
      assert.strictEqual(paid.length, 1)
      yield* TestClock.adjust("2 minutes")
      yield* attempt("a", false)
      assert.strictEqual(paid.length, 2)
    })
  )

  it.effect("takes so much memory and no more: the oldest go, and what is too large is not kept", () =>
    Effect.gen(function* () {
      const { attempt, paid } = counted(100 * 1024 * 1024)
      for (const key of ["a", "b", "c"]) yield* attempt(key, false)
      for (const key of ["b", "c", "a"]) yield* attempt(key, false)
      assert.deepStrictEqual(paid, ["a", "b", "c", "a"])
      const huge = counted(300 * 1024 * 1024)
      for (let n = 0; n < 2; n++) yield* huge.attempt("a", false)
      assert.strictEqual(huge.paid.length, 2)
    })
  )

  it.effect("what was not paid for is not there", () =>
    Effect.gen(function* () {
      const results = PaidResults.make<string>(() => 1)
      const refused = results.through("a", Effect.fail(full), (value: string) => Effect.succeed(value))
      assert.strictEqual((yield* Effect.flip(refused)).kind, "AssetFailed")
      assert.strictEqual(yield* results.through("a", Effect.succeed("paid"), Effect.succeed), "paid")
    })
  )
})
