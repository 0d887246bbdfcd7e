/** Jobs that are submitted together. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { JobQueue, type Submission } from "@muster/core/job/internal/JobQueue"
import { type JobRequest, request } from "@muster/core/job/Job"
import {
  claim,
  claimedIds,
  claimOne,
  complete,
  inSeconds,
  jobId,
  jobNow,
  on,
  type QueueLayer,
  submit
} from "./QueueTest.ts"

const job = (id: string | number, over: Partial<JobRequest> = {}): Submission => ({
  id: jobId(id),
  request: request({ service_required: "simulation", ...over })
})

const numbered = (count: number): ReadonlyArray<Submission> =>
  Array.from({ length: count }, (_, n) => job(`j${n}`, { payload: { n } }))

const count = Effect.gen(function* () {
  const queue = yield* JobQueue
  let found = 0
  let cursor: string | null | undefined
  while (cursor !== null) {
    const page = yield* queue.list({ limit: 1_000, cursor })
    found += page.jobs.length
    cursor = page.next_cursor
  }
  return found
})

export const batchSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "jobs of a batch are the same as jobs submitted one by one",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const over: Partial<JobRequest> = {
        payload: { text: "\u0000 ü 🦆", list: [] },
        priority: 7,
        workflow_id: "flow",
        workflow_priority: 0,
        workflow_datetime: yield* inSeconds(-60),
        customer_id: "customer",
        max_retries: 0,
        timeout_ms: 5_000,
        run_at: yield* inSeconds(60),
        expires_at: yield* inSeconds(3_600),
        metadata: { from: "a test" }
      }
      const single = yield* submit("single", over)
      assert.deepStrictEqual(yield* queue.submitMany([job("whole", over), job("plain")]), [
        { id: jobId("whole"), created: true },
        { id: jobId("plain"), created: true }
      ])
      const { created_at, ...whole } = yield* jobNow("whole")
      assert.isNotNull(created_at)
      assert.deepStrictEqual({ ...whole, created_at: single.created_at, id: single.id }, { ...single })
      assert.strictEqual((yield* jobNow("plain")).status, "pending")
      assert.deepStrictEqual(yield* claimedIds(), ["plain"])
    })
  )

  test(
    "a batch of no job does nothing",
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* (yield* JobQueue).submitMany([]), [])
      assert.strictEqual(yield* count, 0)
    })
  )

  test(
    "however many there are, they come in the order of the batch, after those submitted before",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const jobs = numbered(1_000)
      yield* submit("before")
      const submitted = yield* queue.submitMany(jobs)
      yield* submit("after")
      assert.deepStrictEqual(
        submitted,
        jobs.map(({ id }) => ({ id, created: true }))
      )
      const order: Array<string> = []
      for (let round = 0; round < 11; round++) {
        order.push(...(yield* claim({ limit: 100, capacity: 2_000 })).map(({ job }) => String(job.id)))
      }
      assert.deepStrictEqual(order, ["before", ...jobs.map(({ id }) => String(id)), "after"])
    })
  )

  test(
    "within a batch priorities, schedules and job types count as ever",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.submitMany([
        job("low", { priority: 0 }),
        job("later", { priority: 100, run_at: yield* inSeconds(60) }),
        job("other", { priority: 60, service_required: "other" }),
        job("high", { priority: 90 })
      ])
      assert.strictEqual((yield* jobNow("later")).status, "scheduled")
      assert.deepStrictEqual(yield* claimedIds(["simulation", "other"]), ["high", "other", "low"])
    })
  )

  test(
    "repeating a batch finds its jobs as they are now and stores those that were missing",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const jobs = numbered(250)
      yield* queue.submitMany(jobs.slice(0, 130))
      const { fence } = yield* claimOne()
      const done = yield* complete(fence, { done: true })
      const again = yield* queue.submitMany(jobs)
      assert.deepStrictEqual(
        again,
        jobs.map(({ id }, n) => ({ id, created: n >= 130 }))
      )
      assert.deepStrictEqual(yield* jobNow("j0"), done)
      assert.strictEqual(yield* count, 250)
      assert.isTrue((yield* queue.submitMany(jobs)).every(({ created }) => !created))
      const one = yield* queue.submit(jobs[249]!.id, jobs[249]!.request)
      assert.isFalse(one.created)
    })
  )

  for (const at of [0, 120, 249]) {
    test(
      `an id that is taken by another request refuses the whole batch: job ${at} of 250`,
      Effect.gen(function* () {
        const queue = yield* JobQueue
        const before = yield* submit(`j${at}`, { payload: "another" })
        const error = yield* Effect.flip(queue.submitMany(numbered(250)))
        assert.strictEqual(error._tag, "JobAlreadyExists")
        assert.deepInclude(error, { id: jobId(`j${at}`) })
        assert.strictEqual(yield* count, 1)
        assert.deepStrictEqual(yield* jobNow(`j${at}`), before)
        assert.deepStrictEqual(yield* claimedIds(), [`j${at}`])
      })
    )
  }

  test(
    "of several ids that are taken the first one is named",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["c", "b"]) yield* submit(id, { payload: "another" })
      const error = yield* Effect.flip(queue.submitMany(["a", "b", "c"].map((id) => job(id))))
      assert.deepInclude(error, { _tag: "JobAlreadyExists", id: jobId("b") })
    })
  )

  test(
    "an id that stands twice refuses the whole batch, with its place, however equal the requests",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const jobs = numbered(250)
      for (const twice of [jobs[7]!, { ...jobs[7]!, request: jobs[8]!.request }]) {
        const error = yield* Effect.flip(queue.submitMany([...jobs.slice(0, 200), twice, ...jobs.slice(200)]))
        assert.strictEqual(error._tag, "DuplicateJobId")
        assert.deepInclude(error, { id: jobId("j7"), index: 200 })
      }
      assert.strictEqual(yield* count, 0)
      assert.isTrue(Option.isNone(yield* queue.get(jobId("j0"))))
    })
  )

  test(
    "of equal batches at once each job is created once",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const jobs = numbered(250)
      const all = yield* Effect.replicateEffect(queue.submitMany(jobs), 4, { concurrency: "unbounded" })
      const created = all.flat().filter(({ created }) => created)
      assert.strictEqual(created.length, 250)
      assert.strictEqual(new Set(created.map(({ id }) => id)).size, 250)
      assert.strictEqual(yield* count, 250)
    })
  )

  test(
    "large payloads come back as they were",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const image = "x".repeat(400_000)
      const jobs = Array.from({ length: 7 }, (_, n) => job(n, { payload: { n, image } }))
      assert.isTrue((yield* queue.submitMany(jobs)).every(({ created }) => created))
      for (let n = 0; n < 7; n++) assert.deepStrictEqual((yield* jobNow(n)).payload, { n, image })
      assert.deepStrictEqual(
        yield* claimedIds(),
        jobs.map(({ id }) => String(id))
      )
    })
  )
}
