import * as Previews from "@muster/connectors/assets/Previews"
import { AssetFailed, AssetStore, largestPreview } from "@muster/core/connector/AssetStore"
import { JobId, type Progress } from "@muster/core/job/Job"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"

const job = { id: JobId.make("j"), attempt: 1 }
const every = Duration.seconds(3)
const picture = (byte: number) => Uint8Array.of(byte)

/** Previews of a job whose work ends when it is told to, and what became of them. */
const watching = (savePreview?: AssetStore["Service"]["savePreview"]) =>
  Effect.gen(function* () {
    const kept: Array<number> = []
    const told: Array<Progress> = []
    const keep: AssetStore["Service"]["savePreview"] = (_job, bytes) =>
      Effect.sync(() => {
        kept.push(bytes[0] ?? 0)
        return "j-1-preview.png"
      })
    const previews = yield* Previews.make(job, every, (progress) => Effect.sync(() => void told.push(progress))).pipe(
      Effect.provide(Layer.mock(AssetStore, { savePreview: savePreview ?? keep }))
    )
    const end = yield* Deferred.make<string>()
    const fiber = yield* Effect.forkChild(previews.during(Deferred.await(end)), { startImmediately: true })
    const done = Effect.andThen(Deferred.succeed(end, "done"), Fiber.join(fiber))
    return { ...previews, kept, told, done }
  })

describe("previews", () => {
  it.effect("are kept at most so often, the newest of them, and each is told", () =>
    Effect.gen(function* () {
      const { done, kept, report, show, told } = yield* watching()
      yield* report({ percent: 1, message: "a" })
      show(picture(1))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(kept, [1])
      assert.deepStrictEqual(told.at(-1), { percent: 1, message: "a", preview: "j-1-preview.png" })
      for (const byte of [2, 3, 4]) show(picture(byte))
      yield* TestClock.adjust("2999 millis")
      assert.deepStrictEqual(kept, [1])
      yield* report({ percent: 2 })
      assert.deepStrictEqual(told.at(-1), { percent: 2, preview: "j-1-preview.png" })
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(kept, [1, 4])
      assert.strictEqual(told.length, 4)
      yield* TestClock.adjust("1 minute")
      show(new Uint8Array(largestPreview + 1))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(kept, [1, 4])
      assert.strictEqual(yield* done, "done")
      show(picture(5))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(kept, [1, 4])
    })
  )

  it.effect("harm nothing where they cannot be kept", () =>
    Effect.gen(function* () {
      let tries = 0
      const broken = [
        Effect.fail(new AssetFailed({ detail: "the disk is full", cause: undefined })),
        Effect.die(new Error("a defect")),
        Effect.never
      ]
      const { done, report, show, told } = yield* watching(() => Effect.suspend(() => broken[tries++] ?? Effect.never))
      yield* report({ percent: 1 })
      for (const nth of [1, 2, 3]) {
        show(picture(nth))
        yield* TestClock.adjust(every)
        assert.strictEqual(tries, nth)
      }
      // What hangs is given up; what hangs at the end is not waited for.
      show(picture(4))
      yield* TestClock.adjust("33 seconds")
      assert.strictEqual(tries, 4)
      assert.strictEqual(yield* done, "done")
      assert.deepStrictEqual(told, [{ percent: 1 }])
    })
  )
})
