/** Failed jobs that are retried by hand, one by one and many at once. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import type { JobError, JobRequest } from "@muster/core/job/Job"
import {
  claim,
  claimedIds,
  claimOne,
  complete,
  fail,
  inSeconds,
  jobId,
  jobNow,
  on,
  passTicking,
  type QueueLayer,
  StoreTime,
  submit,
  worker
} from "./QueueTest.ts"

const late = { kind: "Timeout", message: "took too long" } as const

/** Submits jobs of a type of their own, one after the other, and lets each fail for good. */
const failed = (
  ids: ReadonlyArray<string | number>,
  over: Partial<JobRequest> = {},
  error: JobError = late
): Effect.Effect<void, unknown, JobQueue> =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    for (const id of ids) {
      const { service_required } = yield* submit(id, over)
      for (const { fence } of yield* claim({ types: [service_required] })) yield* queue.fail(fence, error, null)
      assert.strictEqual((yield* jobNow(id)).status, "failed")
    }
  })

export const retrySuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "a failed job starts over, and keeps its attempt number and why it failed",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const before = yield* submit("j", { max_retries: 1 })
      const first = yield* claimOne()
      yield* queue.fail(first.fence, late, { delay: Duration.zero, usesRetry: true })
      const second = yield* claimOne()
      yield* queue.start(second.fence)
      yield* queue.progress(second.fence, { percent: 10 })
      const ended = yield* fail(second.fence, late, null)
      assert.strictEqual(ended.retry_count, 1)

      const job = yield* queue.retry(jobId("j"))
      assert.deepStrictEqual({ ...job }, { ...before, attempt: 2, error: late })
      assert.deepStrictEqual(yield* jobNow("j"), job)

      const third = yield* claimOne("w2")
      assert.deepInclude(third.job, { attempt: 3, retry_count: 0, error: late, worker_id: worker("w2") })
      assert.strictEqual((yield* Effect.flip(queue.complete(second.fence, 1)))._tag, "LeaseLost")
      const done = yield* complete(third.fence, 1)
      assert.deepInclude(done, { status: "completed", error: null })
      assert.deepStrictEqual(yield* claimedIds(), [])
    })
  )

  test(
    "a job that is retried may fail for good and be retried again",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* failed(["j"])
      for (let round = 2; round <= 4; round++) {
        yield* queue.retry(jobId("j"))
        const { fence, job } = yield* claimOne()
        assert.strictEqual(job.attempt, round)
        yield* queue.fail(fence, { ...late, message: `round ${round}` }, null)
      }
      const job = yield* jobNow("j")
      assert.deepInclude(job, { status: "failed", error: { ...late, message: "round 4" } })
      assert.isNotNull(job.finished_at)
    })
  )

  test(
    "a retried job comes before those submitted later",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* failed(["a", "b"])
      yield* time.pass("10 seconds")
      yield* submit("c")
      yield* queue.retry(jobId("b"))
      yield* queue.retry(jobId("a"))
      assert.deepStrictEqual(yield* claimedIds(), ["a", "b", "c"])
    })
  )

  test(
    "only a failed job is retried, and nothing else changes",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("expired", { expires_at: yield* inSeconds(10) })
      yield* passTicking("15 seconds")
      yield* failed(["pending"])
      yield* queue.retry(jobId("pending"))
      yield* submit("scheduled", { run_at: yield* inSeconds(60) })
      for (const id of ["assigned", "processing", "completed", "cancelled"]) yield* submit(id, { priority: 90 })
      const [, processing, completed] = yield* claim({ limit: 3 })
      yield* queue.start(processing!.fence)
      yield* queue.complete(completed!.fence, 1)
      yield* queue.cancel(jobId("cancelled"))
      for (const status of [
        ...["pending", "scheduled", "assigned", "processing"],
        ...["completed", "cancelled", "expired"]
      ]) {
        const before = yield* jobNow(status)
        assert.strictEqual(before.status, status)
        const error = yield* Effect.flip(queue.retry(jobId(status)))
        assert.strictEqual(error._tag, "InvalidStateTransition")
        assert.deepInclude(error, { subject: "job", id: status, from: status, to: "pending" })
        assert.deepStrictEqual(yield* jobNow(status), before)
      }
      assert.strictEqual((yield* Effect.flip(queue.retry(jobId("nobody"))))._tag, "JobNotFound")
      assert.strictEqual(yield* queue.retryFailed({}), 0)
    })
  )

  test(
    "of retries at once exactly one decides",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* failed(["j"])
      const all = yield* Effect.replicateEffect(Effect.result(queue.retry(jobId("j"))), 8, {
        concurrency: "unbounded"
      })
      assert.strictEqual(all.filter(({ _tag }) => _tag === "Success").length, 1)
      assert.deepStrictEqual(yield* claimedIds(), ["j"])
    })
  )

  test(
    "a retried job is not forgotten as a finished one, and is when it has finished anew",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* failed(["waits", "again", "gone"])
      yield* time.pass("50 minutes")
      yield* queue.retry(jobId("waits"))
      yield* queue.retry(jobId("again"))
      const [, again] = yield* claim({ limit: 2 })
      yield* queue.fail(again!.fence, late, null)
      yield* time.pass("20 minutes")
      assert.strictEqual((yield* queue.tick).forgotten, 1)
      assert.strictEqual((yield* Effect.flip(queue.retry(jobId("gone"))))._tag, "JobNotFound")
      assert.strictEqual((yield* jobNow("again")).status, "failed")
      yield* time.pass("50 minutes")
      assert.strictEqual((yield* queue.tick).forgotten, 1)
      assert.strictEqual(yield* queue.retryFailed({}), 0)
    })
  )

  test(
    "a retry does not help a job past its expires_at",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* failed(["claimed", "ticked"], { expires_at: yield* inSeconds(20) })
      yield* time.pass("30 seconds")
      yield* queue.retry(jobId("claimed"))
      assert.deepStrictEqual(yield* claimedIds(), [])
      yield* queue.retry(jobId("ticked"))
      assert.deepStrictEqual((yield* queue.tick).expired, [jobId("ticked")])
      for (const id of ["claimed", "ticked"]) {
        const job = yield* jobNow(id)
        assert.deepInclude(job, { status: "expired", retry_count: 0 })
        assert.strictEqual(job.error?.kind, "Expired")
        assert.isNotNull(job.finished_at)
      }
    })
  )

  test(
    "a retried job can be cancelled while it waits",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* failed(["j"])
      yield* queue.retry(jobId("j"))
      assert.deepInclude(yield* queue.cancel(jobId("j")), { status: "cancelled", error: late })
      assert.deepStrictEqual(yield* claimedIds(), [])
    })
  )

  test(
    "a repeated report of the failure finds the retried job and changes nothing",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne()
      yield* queue.fail(fence, late, null)
      const retried = yield* queue.retry(jobId("j"))
      assert.deepStrictEqual(yield* fail(fence, late, null), retried)
      assert.deepStrictEqual(yield* jobNow("j"), retried)
    })
  )

  test(
    "many are retried by job type and by kind of failure",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const rejected = { message: '{"kind":"Timeout"}', kind: "Rejected" } as const
      yield* failed(["a1", "a2"], { service_required: "a" })
      yield* failed(["a3"], { service_required: "a" }, rejected)
      yield* failed(["b1"], { service_required: "b" })
      yield* failed(["b2", "b3"], { service_required: "b" }, rejected)
      yield* submit("a4", { service_required: "a" })
      yield* submit("lost", { service_required: "c", max_retries: 0 })
      yield* claim({ types: ["c"] })
      yield* passTicking("31 seconds")

      assert.strictEqual(yield* queue.retryFailed({ service_required: "nothing" }), 0)
      assert.strictEqual(yield* queue.retryFailed({ error_kind: "Unauthorized" }), 0)
      assert.strictEqual(yield* queue.retryFailed({ service_required: "b", error_kind: "Timeout" }), 1)
      assert.deepStrictEqual(yield* claimedIds(["a", "b", "c"]), ["b1", "a4"])
      assert.strictEqual(yield* queue.retryFailed({ error_kind: "Lost" }), 1)
      assert.strictEqual(yield* queue.retryFailed({ error_kind: "Rejected" }), 3)
      assert.deepStrictEqual(yield* claimedIds(["a", "b", "c"]), ["a3", "b2", "b3", "lost"])
      assert.strictEqual(yield* queue.retryFailed({ service_required: "a" }), 2)
      assert.strictEqual(yield* queue.retryFailed({}), 0)
      assert.deepStrictEqual(yield* claimedIds(["a", "b", "c"]), ["a1", "a2"])
    })
  )

  test(
    "however many have failed, all are retried, in the order they had",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const ids = Array.from({ length: 230 }, (_, n) => `j${n}`)
      yield* failed(ids.slice(0, 200))
      yield* failed(ids.slice(200), { service_required: "other" })
      assert.strictEqual(yield* queue.retryFailed({ service_required: "other" }), 30)
      assert.strictEqual(yield* queue.retryFailed({}), 200)
      assert.strictEqual(yield* queue.retryFailed({}), 0)
      const order: Array<string> = []
      for (let round = 0; round < 3; round++) {
        order.push(...(yield* claim({ types: ["simulation", "other"], limit: 100 })).map(({ job }) => String(job.id)))
      }
      assert.deepStrictEqual(order, ids)
    })
  )

  test(
    "jobs that fail again while many are retried are not retried twice",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const count = 250
      yield* failed(Array.from({ length: count }, (_, n) => n))
      const failAgain = Effect.gen(function* () {
        for (let ended = 0; ended < count;) {
          const claimed = yield* claim({ limit: 10 })
          for (const { fence } of claimed) yield* queue.fail(fence, late, null)
          ended += claimed.length
          yield* Effect.yieldNow
        }
      })
      const [retried] = yield* Effect.all([queue.retryFailed({}), failAgain], { concurrency: "unbounded" })
      assert.strictEqual(retried, count)
      for (let n = 0; n < count; n++) assert.deepInclude(yield* jobNow(n), { status: "failed", attempt: 2 })
    })
  )
}
