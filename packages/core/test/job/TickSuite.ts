/** What time does to jobs: lost leases, outages, promotion, expiry, retention. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import {
  claim,
  claimedIds,
  claimOne,
  inSeconds,
  jobId,
  jobNow,
  on,
  passTicking,
  type QueueLayer,
  StoreTime,
  submit
} from "./QueueTest.ts"

export const tickSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "a lease that is not renewed ends, and the job waits again",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne("w1")
      yield* queue.start(fence)
      assert.deepStrictEqual((yield* passTicking("25 seconds")).lost, [])
      assert.deepStrictEqual((yield* passTicking("10 seconds")).lost, [jobId("j")])
      const job = yield* jobNow("j")
      assert.deepInclude(job, { status: "pending", retry_count: 1, attempt: 1, worker_id: null, started_at: null })
      assert.deepStrictEqual(job.error, { kind: "Lost", message: "worker w1 stopped renewing its lease" })
      assert.strictEqual((yield* Effect.flip(queue.complete(fence, 1)))._tag, "LeaseLost")
      assert.deepStrictEqual(yield* queue.renew([fence]), [fence])
      const again = yield* claimOne("w2")
      assert.strictEqual(again.job.attempt, 2)
      assert.strictEqual((yield* Effect.flip(queue.complete(fence, 1)))._tag, "LeaseLost")
      assert.strictEqual((yield* queue.complete(again.fence, 1)).status, "completed")
    })
  )

  test(
    "a lost lease ends the job when its retries are spent",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j", { max_retries: 1 })
      for (let attempt = 1; attempt <= 2; attempt++) {
        assert.strictEqual((yield* claimOne()).job.attempt, attempt)
        assert.deepStrictEqual((yield* passTicking("31 seconds")).lost, [jobId("j")])
      }
      const job = yield* jobNow("j")
      assert.deepInclude(job, { status: "failed", retry_count: 1, attempt: 2 })
      assert.strictEqual(job.error?.kind, "Lost")
      assert.isNotNull(job.finished_at)
      assert.deepStrictEqual(yield* claimedIds(), [])
      assert.strictEqual((yield* Effect.flip(queue.cancel(jobId("j"))))._tag, "InvalidStateTransition")
    })
  )

  test(
    "after an outage no lease ends before one full lease has passed",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("renewed")
      yield* submit("dead")
      const [renewed] = yield* claim({ limit: 2 })
      yield* queue.tick
      yield* time.pass("5 minutes")
      assert.deepStrictEqual((yield* queue.tick).lost, [])
      assert.deepStrictEqual(yield* queue.renew([renewed!.fence]), [])
      yield* time.pass("20 seconds")
      assert.deepStrictEqual((yield* queue.tick).lost, [])
      assert.deepStrictEqual(yield* queue.renew([renewed!.fence]), [])
      yield* time.pass("15 seconds")
      assert.deepStrictEqual((yield* queue.tick).lost, [jobId("dead")])
      assert.strictEqual((yield* queue.complete(renewed!.fence, 1)).status, "completed")
    })
  )

  test(
    "clockJumpSafe: a clock set ahead and back delays a lost lease by no more than a lease",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("dead")
      yield* claim()
      yield* queue.tick
      yield* time.pass("1 hour")
      assert.deepStrictEqual((yield* queue.tick).lost, [])
      yield* time.setBack("1 hour")
      assert.deepStrictEqual((yield* queue.tick).lost, [])
      assert.deepStrictEqual((yield* passTicking("40 seconds")).lost, [jobId("dead")])
    })
  )

  test(
    "an outage holds back nothing but leases",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("due", { run_at: yield* inSeconds(60) })
      yield* submit("expired", { expires_at: yield* inSeconds(60) })
      yield* queue.tick
      yield* time.pass("5 minutes")
      const report = yield* queue.tick
      assert.deepStrictEqual([report.promoted, report.expired], [[jobId("due")], [jobId("expired")]])
    })
  )

  test(
    "a waiting job expires, pending or scheduled; a held one does not",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("held", { expires_at: yield* inSeconds(10) })
      const { fence } = yield* claimOne()
      yield* submit("pending", { expires_at: yield* inSeconds(10) })
      yield* submit("scheduled", { expires_at: yield* inSeconds(10), run_at: yield* inSeconds(5) })
      yield* submit("in-time", { expires_at: yield* inSeconds(100) })
      assert.deepStrictEqual((yield* queue.tick).expired, [])
      const report = yield* passTicking("15 seconds")
      assert.sameMembers([...report.expired], ["pending", "scheduled"])
      assert.deepStrictEqual(report.promoted, [])
      for (const id of ["pending", "scheduled"]) {
        const job = yield* jobNow(id)
        assert.strictEqual(job.status, "expired")
        assert.deepStrictEqual(job.error, { kind: "Expired", message: "waited past expires_at" })
        assert.strictEqual((yield* Effect.flip(queue.cancel(jobId(id))))._tag, "InvalidStateTransition")
      }
      assert.deepStrictEqual(yield* claimedIds(), ["in-time"])
      yield* queue.giveBack(fence)
      assert.deepStrictEqual((yield* queue.tick).expired, [jobId("held")])
    })
  )

  test(
    "a scheduled job is promoted once, when it is due",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("j", { run_at: yield* inSeconds(10) })
      assert.deepStrictEqual((yield* queue.tick).promoted, [])
      yield* time.pass("15 seconds")
      assert.deepStrictEqual((yield* queue.tick).promoted, [jobId("j")])
      assert.deepStrictEqual((yield* queue.tick).promoted, [])
      assert.deepStrictEqual(yield* claimedIds(), ["j"])
    })
  )

  test(
    "one tick does at most 100 things and says when more are due",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      for (let n = 0; n < 230; n++) yield* submit(n, { run_at: yield* inSeconds(10) })
      yield* queue.tick
      yield* time.pass("30 seconds")
      const promoted: Array<string> = []
      for (const [count, more] of [
        [100, true],
        [100, true],
        [30, false],
        [0, false]
      ] as const) {
        const report = yield* queue.tick
        assert.strictEqual(report.promoted.length, count)
        assert.strictEqual(report.more, more)
        promoted.push(...report.promoted)
      }
      assert.strictEqual(new Set(promoted).size, 230)
    })
  )

  test(
    "ticks at once do each thing once",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      for (let n = 0; n < 150; n++) yield* submit(n, { run_at: yield* inSeconds(10) })
      yield* time.pass("30 seconds")
      const reports = yield* Effect.replicateEffect(queue.tick, 8, { concurrency: "unbounded" })
      const promoted = reports.flatMap((report) => report.promoted)
      assert.strictEqual(promoted.length, 150)
      assert.strictEqual(new Set(promoted).size, 150)
    })
  )

  test(
    "finished jobs are forgotten after the retention, whatever their end, and others stay",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      for (const id of ["completed", "failed", "cancelled"]) yield* submit(id)
      yield* submit("expired", { expires_at: yield* inSeconds(10) })
      const [completed, failed] = yield* claim({ limit: 2 })
      yield* queue.complete(completed!.fence, 1)
      yield* queue.fail(failed!.fence, { kind: "Rejected", message: "no" }, null)
      yield* queue.cancel(jobId("cancelled"))
      yield* passTicking("20 seconds")
      yield* submit("waiting")
      yield* time.pass("50 minutes")
      assert.strictEqual((yield* queue.tick).forgotten, 0)
      assert.strictEqual((yield* queue.complete(completed!.fence, 2)).result, 1)
      yield* time.pass("11 minutes")
      assert.strictEqual((yield* queue.tick).forgotten, 4)
      assert.strictEqual((yield* queue.tick).forgotten, 0)
      for (const id of ["completed", "failed", "cancelled", "expired"]) {
        assert.isTrue(Option.isNone(yield* queue.get(jobId(id))))
      }
      assert.strictEqual((yield* Effect.flip(queue.complete(completed!.fence, 1)))._tag, "LeaseLost")
      assert.strictEqual((yield* Effect.flip(queue.cancel(jobId("failed"))))._tag, "JobNotFound")
      assert.deepStrictEqual(
        (yield* queue.list({ limit: 10 })).jobs.map(({ id }) => id),
        [jobId("waiting")]
      )
      assert.strictEqual((yield* submit("completed", { payload: "another" })).status, "pending")
    })
  )

  test(
    "waiting for work ends by itself",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const waiting = yield* Effect.forkChild(queue.awaitWork(["simulation"]), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(waiting)
    })
  )

  test(
    "a queue that can claim and store answers a ping",
    Effect.gen(function* () {
      yield* (yield* JobQueue).ping
    })
  )
}
