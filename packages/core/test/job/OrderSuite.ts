/** Which job comes next, and who gets it. */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { type JobRequest, request } from "@muster/core/job/Job"
import { longestPriorityStep } from "@muster/core/job/QueueSettings"
import {
  claim,
  type Claimed,
  claimedIds,
  claimOne,
  idsOf,
  inSeconds,
  jobId,
  jobNow,
  offer,
  on,
  type QueueLayer,
  StoreTime,
  submit,
  worker
} from "./QueueTest.ts"

export const orderSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "a higher priority comes first, from 0 to 100",
    Effect.gen(function* () {
      for (const priority of [50, 0, 100, 1, 99]) yield* submit(`p${priority}`, { priority })
      assert.deepStrictEqual(yield* claimedIds(), ["p100", "p99", "p50", "p1", "p0"])
    })
  )

  test(
    "the workflow's priority counts when there is one, 0 included",
    Effect.gen(function* () {
      yield* submit("workflow-0", { priority: 100, workflow_priority: 0 })
      yield* submit("plain-1", { priority: 1 })
      yield* submit("workflow-2", { priority: 0, workflow_priority: 2 })
      assert.deepStrictEqual(yield* claimedIds(), ["workflow-2", "plain-1", "workflow-0"])
    })
  )

  test(
    "the workflow's time counts, never later than the creation nor more than a day before it",
    Effect.gen(function* () {
      yield* submit("now")
      yield* submit("future", { workflow_datetime: yield* inSeconds(600) })
      yield* submit("day-and-more", { workflow_datetime: yield* inSeconds(-30 * 3_600) })
      yield* submit("much-more", { workflow_datetime: yield* inSeconds(-300 * 3_600) })
      yield* submit("hour", { workflow_datetime: yield* inSeconds(-3_600) })
      yield* submit("after-future")
      assert.deepStrictEqual(yield* claimedIds(), [
        "day-and-more",
        "much-more",
        "hour",
        "now",
        "future",
        "after-future"
      ])
    })
  )

  test(
    "one priority point holds back an older job by one step at most",
    Effect.gen(function* () {
      const time = yield* StoreTime
      yield* submit("old", { priority: 50 })
      yield* time.pass("30 seconds")
      yield* submit("overtakes", { priority: 51 })
      yield* time.pass("40 seconds")
      yield* submit("too-late", { priority: 51 })
      assert.deepStrictEqual(yield* claimedIds(), ["overtakes", "old", "too-late"])
    })
  )

  test(
    "one millisecond decides, however large the ranks are",
    Effect.gen(function* () {
      const base = DateTime.toEpochMillis(yield* inSeconds(-60))
      for (const ms of [3, 1, 4, 2, 5]) {
        yield* submit(`${ms}-ms-ago`, { priority: 100, workflow_datetime: DateTime.makeUnsafe(base - ms) })
      }
      assert.deepStrictEqual(
        yield* claimedIds(),
        [5, 4, 3, 2, 1].map((ms) => `${ms}-ms-ago`)
      )
    }),
    { priorityStep: longestPriorityStep }
  )

  test(
    "equal ranks go by submission, across job types too, and a run_at gone by changes nothing",
    Effect.gen(function* () {
      const workflow_datetime = yield* inSeconds(-60)
      const run_at = yield* inSeconds(-600)
      const ids = Array.from({ length: 12 }, (_, n) => `j${n}`)
      for (const [n, id] of ids.entries()) {
        yield* submit(id, { service_required: n % 3 === 0 ? "a" : "b", workflow_datetime, run_at })
      }
      assert.deepStrictEqual(yield* claimedIds(["b", "a"]), ids)
    })
  )

  test(
    "a job that ran late takes its place by its run_at",
    Effect.gen(function* () {
      const time = yield* StoreTime
      yield* submit("scheduled", { run_at: yield* inSeconds(20) })
      yield* submit("before")
      yield* time.pass("30 seconds")
      yield* submit("after")
      assert.deepStrictEqual((yield* (yield* JobQueue).tick).promoted, [jobId("scheduled")])
      assert.deepStrictEqual(yield* claimedIds(), ["before", "scheduled", "after"])
    })
  )

  test(
    "1,000 jobs of one burst come in submission order",
    Effect.gen(function* () {
      const ids = Array.from({ length: 1_000 }, (_, n) => `j${n}`)
      for (const id of ids) yield* submit(id)
      const order: Array<string> = []
      for (let round = 0; round < 10; round++) {
        order.push(...(yield* claim({ limit: 100 })).map(({ job }) => String(job.id)))
      }
      assert.deepStrictEqual(order, ids)
    })
  )

  test(
    "orderByRankThenSequenceAcrossClasses: 10,000 jobs of one time come in submission order",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      // Its time makes the ranks equal, whatever the millisecond in which the store takes a job.
      const workflow_datetime = yield* inSeconds(-60)
      const ids = Array.from({ length: 10_000 }, (_, n) => `j${n}`)
      const racks = [0, 1, 2, 3, 4, 5, 6]
      const classOf = (n: number): Partial<JobRequest> => ({
        requirements: n % 9 === 8 ? {} : { labels: { rack: racks[n % racks.length]! } },
        service_required: n % 2 === 0 ? "a" : "b"
      })
      yield* queue.submitMany(
        ids.map((id, n) => ({
          id: jobId(id),
          request: request({ service_required: "a", workflow_datetime, ...classOf(n) })
        }))
      )
      const capabilities = { job_types: ["a", "b"], labels: { rack: racks } }
      const order: Array<string> = []
      while (order.length < ids.length) {
        const claimed = yield* claim({ limit: 1_000, capacity: 20_000, capabilities })
        assert.isNotEmpty(claimed)
        order.push(...idsOf(claimed))
      }
      assert.deepStrictEqual(order, ids)
    })
  )

  test(
    "orderByRankThenSequenceAcrossClasses: every kind of worker finds its jobs in that order, with jobs going back",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const workflow_datetime = yield* inSeconds(-60)
      const jobs = Array.from({ length: 600 }, (_, n) => ({ id: `j${n}`, priority: (n * 7) % 5, rack: (n * 11) % 6 }))
      yield* queue.submitMany(
        jobs.map(({ id, priority, rack }) => ({
          id: jobId(id),
          request: request({
            service_required: "simulation",
            workflow_datetime,
            priority,
            requirements: { labels: { rack } }
          })
        }))
      )
      const inOrder = jobs.toSorted((a, b) => b.priority - a.priority)
      for (const racks of [[1], [0, 2, 5], [3, 4], [0, 1, 2, 3, 4, 5], [5]]) {
        const expected = inOrder.filter(({ rack }) => racks.includes(rack)).map(({ id }) => id)
        const claimed: Array<Claimed> = []
        while (claimed.length < expected.length) {
          const more = yield* claim({ limit: 1_000, capabilities: offer({ labels: { rack: racks } }) })
          assert.isNotEmpty(more)
          claimed.push(...more)
        }
        assert.deepStrictEqual(idsOf(claimed), expected)
        // Backwards, so that each has to find its place again.
        for (const { fence } of claimed.toReversed()) yield* queue.giveBack(fence)
      }
    })
  )

  test(
    "a job handed back comes before those submitted later",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["a", "b", "c"]) yield* submit(id)
      const [a, b] = yield* claim({ limit: 2 })
      yield* queue.giveBack(b!.fence)
      yield* queue.fail(a!.fence, { kind: "Timeout", message: "late" }, { delay: Duration.zero, usesRetry: true })
      assert.deepStrictEqual(yield* claimedIds(), ["a", "b", "c"])
    })
  )

  test(
    "one claim takes from several job types in one order, each named once or twice",
    Effect.gen(function* () {
      yield* submit("a1", { service_required: "a" })
      yield* submit("b1", { service_required: "b", priority: 60 })
      yield* submit("c1", { service_required: "c", priority: 100 })
      yield* submit("b2", { service_required: "b" })
      yield* submit("a2", { service_required: "a", priority: 55 })
      assert.deepStrictEqual(yield* claimedIds(["b", "a", "b", "unknown"]), ["b1", "a2", "a1", "b2"])
      assert.deepStrictEqual(yield* claimedIds(["b", "a"]), [])
      assert.deepStrictEqual(yield* claimedIds([]), [])
      assert.deepStrictEqual(yield* claimedIds(["c"]), ["c1"])
    })
  )

  test(
    "a claim gives a lease and the next attempt number",
    Effect.gen(function* () {
      yield* submit("j")
      const { job } = yield* claimOne("w7")
      assert.deepInclude(job, { status: "assigned", attempt: 1, worker_id: worker("w7"), started_at: null })
      assert.isNotNull(job.assigned_at)
      assert.deepStrictEqual(yield* jobNow("j"), job)
    })
  )

  test(
    "a claim gives no more than its limit, nor than the worker may hold",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (let n = 0; n < 8; n++) yield* submit(n)
      const first = yield* claim({ limit: 2, capacity: 3 })
      assert.strictEqual(first.length, 2)
      assert.strictEqual((yield* claim({ limit: 5, capacity: 3 })).length, 1)
      assert.strictEqual((yield* claim({ limit: 5, capacity: 3 })).length, 0)
      assert.strictEqual((yield* claim({ limit: 5, capacity: 2 })).length, 0)
      assert.strictEqual((yield* claim({ limit: 0 })).length, 0)
      assert.strictEqual((yield* claim({ worker: "w2", limit: 1, capacity: 1 })).length, 1)
      yield* queue.complete(first[0]!.fence, null)
      assert.strictEqual((yield* claim({ limit: 5, capacity: 3 })).length, 1)
    })
  )

  test(
    "claims at once never give a job twice, nor a worker more than it may hold",
    Effect.gen(function* () {
      for (let n = 0; n < 200; n++) yield* submit(n)
      const claims = yield* Effect.forEach(
        Array.from({ length: 120 }, (_, n) => n),
        (n) => claim({ worker: `w${n % 12}`, limit: 3, capacity: 15 }),
        { concurrency: "unbounded" }
      )
      const ids = claims.flat().map(({ job }) => job.id)
      assert.strictEqual(new Set(ids).size, ids.length)
      assert.strictEqual(ids.length, 12 * 15)
    })
  )

  test(
    "a worker has room again from the report of its last job on, also for a claim made with it",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["a", "b", "c"]) yield* submit(id)
      const claimOnly = claim({ worker: "w1", limit: 3, capacity: 1 })
      const [a] = yield* claimOnly
      const [, [b, ...others]] = yield* Effect.all([queue.complete(a!.fence, null), claimOnly], {
        concurrency: "unbounded"
      })
      assert.strictEqual(b?.job.id, jobId("b"))
      const [, [again]] = yield* Effect.all([queue.giveBack(b!.fence), claimOnly], { concurrency: "unbounded" })
      assert.strictEqual(again?.job.id, jobId("b"))
      assert.deepStrictEqual([...others, ...(yield* claimOnly)], [])
    })
  )

  test(
    "a job past its expires_at is not given, whoever looks first",
    Effect.gen(function* () {
      const time = yield* StoreTime
      yield* submit("short", { expires_at: yield* inSeconds(10) })
      yield* submit("long", { expires_at: yield* inSeconds(100) })
      yield* time.pass("20 seconds")
      assert.deepStrictEqual(yield* claimedIds(), ["long"])
      const expired = yield* jobNow("short")
      assert.strictEqual(expired.status, "expired")
      assert.strictEqual(expired.error?.kind, "Expired")
      assert.isNotNull(expired.finished_at)
      assert.strictEqual(expired.attempt, 0)
    })
  )
}
