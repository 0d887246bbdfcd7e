/** What time does to jobs: lost leases, outages, promotion, expiry, retention. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import { tickBound } from "@muster/core/job/internal/MemoryTick"
import {
  claim,
  claimedIds,
  claimOne,
  complete,
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
      assert.deepStrictEqual(yield* queue.renew({ worker_id: worker(), fences: [fence] }), [fence])
      const again = yield* claimOne("w2")
      assert.strictEqual(again.job.attempt, 2)
      assert.strictEqual((yield* Effect.flip(queue.complete(fence, 1)))._tag, "LeaseLost")
      assert.strictEqual((yield* complete(again.fence, 1)).status, "completed")
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
    "outageRequeuesNothing: after an outage no lease ends before one full lease has passed",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("renewed")
      yield* submit("dead")
      const [renewed] = yield* claim()
      yield* claim({ worker: "dead" })
      yield* queue.tick
      yield* time.pass("5 minutes")
      assert.deepStrictEqual((yield* queue.tick).lost, [])
      assert.deepStrictEqual(yield* queue.renew({ worker_id: worker(), fences: [renewed!.fence] }), [])
      yield* time.pass("20 seconds")
      assert.deepStrictEqual((yield* queue.tick).lost, [])
      assert.deepStrictEqual(yield* queue.renew({ worker_id: worker(), fences: [renewed!.fence] }), [])
      yield* time.pass("15 seconds")
      assert.deepStrictEqual((yield* queue.tick).lost, [jobId("dead")])
      assert.strictEqual((yield* complete(renewed!.fence, 1)).status, "completed")
    })
  )

  test(
    "halfFleetDeadJobsReturn: the jobs of many dead workers come back, those of the living stay",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      const workers = Array.from({ length: 40 }, (_, n) => `w${n}`)
      yield* queue.submitMany(
        Array.from({ length: 120 }, (_, n) => ({
          id: jobId(`j${n}`),
          request: request({ service_required: "simulation", max_retries: 1 })
        }))
      )
      const fleet = yield* Effect.forEach(workers, (name) =>
        Effect.map(claim({ worker: name, limit: 3 }), (held) => ({ name, held }))
      )
      const [living, dead] = [fleet.slice(0, 20), fleet.slice(20)]
      const lost: Array<string> = []
      for (let passed = 0; passed < 60; passed += 10) {
        for (const { held, name } of living) {
          yield* queue.renew({ worker_id: worker(name), fences: held.map(({ fence }) => fence) })
        }
        yield* time.pass("10 seconds")
        let more = true
        while (more) {
          const report = yield* queue.tick
          lost.push(...report.lost)
          more = report.lost.length > 0
        }
      }
      const expected = dead.flatMap(({ held }) => held.map(({ job }) => String(job.id)))
      assert.sameMembers(lost, expected)
      const again = yield* claim({ worker: "new", limit: 60 })
      assert.sameMembers(
        again.map(({ job }) => String(job.id)),
        expected
      )
      assert.isTrue(again.every(({ job }) => job.attempt === 2 && job.retry_count === 1))
      for (const { held } of living) for (const { fence } of held) yield* queue.complete(fence, 1)
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
    "one tick does a bounded number of things and says when more are due",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      for (let n = 0; n < 230; n++) yield* submit(n, { run_at: yield* inSeconds(600) })
      yield* queue.tick
      yield* time.pass("10 minutes")
      const promoted: Array<string> = []
      while (promoted.length < 230) {
        const report = yield* queue.tick
        assert.strictEqual(report.promoted.length, Math.min(tickBound, 230 - promoted.length))
        if (report.promoted.length === tickBound) assert.isTrue(report.more)
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
      for (let n = 0; n < 150; n++) yield* submit(n, { run_at: yield* inSeconds(600) })
      yield* time.pass("10 minutes")
      const reports = yield* Effect.replicateEffect(queue.tick, 9, { concurrency: "unbounded" })
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
      assert.strictEqual((yield* complete(completed!.fence, 2)).result, 1)
      yield* time.pass("11 minutes")
      assert.strictEqual((yield* queue.tick).forgotten, 4)
      assert.strictEqual((yield* queue.tick).forgotten, 0)
      for (const id of ["completed", "failed", "cancelled", "expired"]) {
        assert.isTrue(Option.isNone(yield* queue.get(jobId(id))))
      }
      assert.strictEqual((yield* Effect.flip(queue.complete(completed!.fence, 1)))._tag, "LeaseLost")
      assert.strictEqual((yield* Effect.flip(queue.cancel(jobId("failed"))))._tag, "JobNotFound")
      assert.deepStrictEqual(
        (yield* queue.list({ limit: 10 })).jobs.map(({ job }) => job.id),
        [jobId("waiting")]
      )
      assert.strictEqual((yield* submit("completed", { payload: "another" })).status, "pending")
    })
  )

  test(
    "a queue that can claim and store answers a ping",
    Effect.gen(function* () {
      yield* (yield* JobQueue).ping
    })
  )
}
