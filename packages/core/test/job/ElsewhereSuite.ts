/** Jobs that failed on one worker and are left to others for a while. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import {
  claim,
  claimedIds,
  claimOne,
  fail,
  idsOf,
  jobId,
  jobNow,
  on,
  passTicking,
  type QueueLayer,
  StoreTime,
  submit
} from "./QueueTest.ts"

const exhausted = { kind: "ResourceExhausted", message: "out of memory" } as const
const elsewhere = { delay: Duration.zero, usesRetry: true, elsewhere: true }

export const elsewhereSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "a job goes to another worker at once, and not to the one it failed on",
    Effect.gen(function* () {
      yield* submit("j")
      yield* submit("k")
      const { fence } = yield* claimOne("w1")
      assert.strictEqual((yield* fail(fence, exhausted, elsewhere)).status, "pending")
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w2", limit: 1 })), ["j"])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w1", limit: 9 })), ["k"])
    })
  )

  test(
    "a worker that meets its failed job looks on; the job waits a second and keeps its place",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("j")
      yield* submit("k")
      const { fence } = yield* claimOne("w1")
      yield* queue.fail(fence, exhausted, elsewhere)
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w1", limit: 9 })), ["k"])
      assert.deepInclude(yield* jobNow("j"), { status: "scheduled", attempt: 1, retry_count: 1 })
      yield* submit("l")
      yield* time.pass("1500 millis")
      assert.deepStrictEqual((yield* queue.tick).promoted, [jobId("j")])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w2", limit: 9 })), ["j", "l"])
    })
  )

  test(
    "after half a minute a worker that is alone gets its failed job again",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne("w1")
      yield* queue.fail(fence, exhausted, elsewhere)
      for (let passed = 0; passed < 25; passed += 5) {
        assert.deepStrictEqual(yield* claimedIds(), [])
        yield* passTicking("5 seconds")
      }
      yield* passTicking("6 seconds")
      assert.deepStrictEqual(yield* claimedIds(), ["j"])
    })
  )

  test(
    "a job that waits for its retry leaves the worker it failed on alone from the failure on",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne("w1")
      yield* queue.fail(fence, exhausted, { ...elsewhere, delay: Duration.seconds(10) })
      yield* passTicking("15 seconds")
      assert.deepStrictEqual(yield* claimedIds(), [])
      yield* passTicking("16 seconds")
      assert.deepStrictEqual(yield* claimedIds(), ["j"])
    })
  )

  test(
    "the worker it failed on last is the one it is kept from",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      for (const name of ["w1", "w2"]) {
        const { fence } = yield* claimOne(name)
        yield* queue.fail(fence, exhausted, elsewhere)
      }
      assert.deepStrictEqual(yield* claim({ worker: "w2" }), [])
      yield* passTicking("1500 millis")
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w1" })), ["j"])
    })
  )

  test(
    "that another worker hands the job back in between changes nothing",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      yield* queue.fail((yield* claimOne("w1")).fence, exhausted, elsewhere)
      yield* queue.giveBack((yield* claimOne("w2")).fence)
      assert.deepStrictEqual(yield* claim({ worker: "w1" }), [])
      yield* passTicking("1500 millis")
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w2" })), ["j"])
    })
  )
}
