/** What a renewal does beside renewing: it hands back what the worker never heard of, and ends with the job's time. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import type { Fence } from "@muster/core/job/Job"
import { listen } from "./Listening.ts"
import {
  claim,
  claimOne,
  idsOf,
  jobId,
  jobNow,
  nonce,
  offer,
  on,
  type QueueLayer,
  StoreTime,
  submit,
  worker
} from "./QueueTest.ts"

const renew = (fences: ReadonlyArray<Fence>, claiming?: string) =>
  Effect.flatMap(JobQueue, (queue) => queue.renew({ worker_id: worker("w1"), fences, claiming }))

export const renewSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "lostReplyLeaksNoLease: jobs of a claim that the worker never heard of go back without using a retry",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      for (const id of ["known", "a", "b"]) yield* submit(id, { max_retries: 0 })
      const known = yield* claimOne("w1")
      yield* claim({ worker: "w1", limit: 2 })
      // On a store's own clock time passes besides.
      yield* time.setBack("1 minute")
      assert.deepStrictEqual(yield* renew([known.fence]), [])
      assert.strictEqual((yield* jobNow("a")).status, "assigned")
      yield* time.pass("66 seconds")
      assert.deepStrictEqual(yield* renew([known.fence]), [])
      assert.strictEqual((yield* jobNow("known")).status, "assigned")
      for (const id of ["a", "b"]) {
        assert.deepInclude(yield* jobNow(id), { status: "pending", retry_count: 0, attempt: 1, worker_id: null })
        const [attempt] = Option.getOrThrow(yield* queue.attempts(jobId(id)))
        assert.deepInclude(attempt, { attempt: 1, worker_id: worker("w1"), outcome: "returned", error: null })
      }
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w2", limit: 9 })), ["a", "b"])
      assert.deepStrictEqual((yield* queue.heldBy([worker("w1")])).get(worker("w1")), [jobId("known")])
    })
  )

  test(
    "lostReplyLeaksNoLease: a worker that holds nothing, as it thinks, gives all back",
    Effect.gen(function* () {
      const time = yield* StoreTime
      for (let n = 0; n < 30; n++) yield* submit(n)
      yield* claim({ worker: "w1", limit: 30 })
      yield* time.pass("6 seconds")
      assert.deepStrictEqual(yield* renew([]), [])
      assert.strictEqual((yield* claim({ worker: "w2", limit: 30 })).length, 30)
    })
  )

  test(
    "jobs of the claim under way are kept for the worker, which finds them when it claims again",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("j")
      const request = { worker_id: worker("w1"), capabilities: offer(), capacity: 1, limit: 1, nonce: nonce() }
      yield* queue.claim(request)
      yield* time.pass("6 seconds")
      assert.deepStrictEqual(yield* renew([], request.nonce), [])
      const [again] = yield* queue.claim({ ...request, again: true })
      assert.deepInclude(again, { id: jobId("j"), attempt: 1 })
      yield* renew([], "another")
      assert.strictEqual((yield* jobNow("j")).status, "pending")
    })
  )

  test(
    "a renewal does not touch what other workers hold",
    Effect.gen(function* () {
      const time = yield* StoreTime
      yield* submit("j")
      yield* claimOne("w2")
      yield* time.pass("6 seconds")
      assert.deepStrictEqual(yield* renew([]), [])
      assert.strictEqual((yield* jobNow("j")).status, "assigned")
    })
  )

  test(
    "a lease is never renewed past the job's time and one lease; the attempt then timed out",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      const told = yield* listen(["w1"])
      yield* submit("j", { timeout_ms: 10_000, max_retries: 1 })
      const { fence } = yield* claimOne("w1")
      yield* queue.start(fence)
      for (const [passed, held] of [
        ["20 seconds", true],
        ["10 seconds", true],
        ["11 seconds", false]
      ] as const) {
        yield* queue.tick
        yield* time.pass(passed)
        assert.deepStrictEqual(yield* renew([fence]), held ? [] : [fence], passed)
      }
      assert.deepStrictEqual((yield* told).fenced, [])
      assert.deepStrictEqual((yield* queue.tick).lost, [jobId("j")])
      assert.deepStrictEqual((yield* told).fenced, [{ worker: "w1", fence }])
      const error = { kind: "Timeout", message: "ran longer than 10000 ms" } as const
      assert.deepInclude(yield* jobNow("j"), { status: "pending", retry_count: 1, error })
      const [attempt] = Option.getOrThrow(yield* queue.attempts(jobId("j")))
      assert.deepInclude(attempt, { outcome: "timed_out", error })
      assert.strictEqual((yield* Effect.flip(queue.complete(fence, 1)))._tag, "LeaseLost")
    })
  )

  test(
    "a job whose retries are spent fails when it ran too long",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("j", { timeout_ms: 1, max_retries: 0 })
      yield* claimOne("w1")
      yield* queue.tick
      yield* time.pass("31 seconds")
      assert.deepStrictEqual((yield* queue.tick).lost, [jobId("j")])
      assert.deepInclude(yield* jobNow("j"), { status: "failed", retry_count: 0 })
      const [attempt] = Option.getOrThrow(yield* queue.attempts(jobId("j")))
      assert.deepInclude(attempt, { outcome: "timed_out" })
    })
  )

  test(
    "a lease that ends before the job's time is over is lost, not timed out",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("j", { timeout_ms: 60_000 })
      yield* claimOne("w1")
      yield* queue.tick
      yield* time.pass("31 seconds")
      yield* queue.tick
      assert.strictEqual((yield* jobNow("j")).error?.kind, "Lost")
    })
  )
}
