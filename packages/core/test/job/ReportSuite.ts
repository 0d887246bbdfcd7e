/** What an attempt may report, and what reports of others come to. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { tickBound } from "@muster/core/job/internal/MemoryTick"
import type { Fence } from "@muster/core/job/Job"
import {
  claim,
  claimedIds,
  claimOne,
  complete,
  fail,
  inSeconds,
  jobId,
  jobNow,
  offer,
  on,
  passTicking,
  type QueueLayer,
  StoreTime,
  submit,
  worker
} from "./QueueTest.ts"

const late = { kind: "Timeout", message: "took too long" } as const
const atOnce = { delay: Duration.zero, usesRetry: true }

/** Every report of this attempt is refused, and the job stays as it is. */
const refusedWhole = (fence: Fence) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const before = yield* queue.get(fence.job_id)
    const reports = [
      queue.start(fence),
      queue.progress(fence, { percent: 1 }),
      queue.complete(fence, "stale"),
      queue.fail(fence, late, atOnce),
      queue.fail(fence, late, null),
      queue.giveBack(fence)
    ]
    for (const report of reports) {
      const error = yield* Effect.flip(report as Effect.Effect<unknown, { readonly _tag: string }>)
      assert.strictEqual(error._tag, "LeaseLost")
    }
    assert.deepStrictEqual(yield* queue.renew({ worker_id: worker("nobody"), fences: [fence] }), [fence])
    assert.deepStrictEqual(yield* queue.get(fence.job_id), before)
  })

export const reportSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "a job runs from claim to completion",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne("w1")
      yield* queue.start(fence)
      const started = yield* jobNow("j")
      assert.strictEqual(started.status, "processing")
      assert.isNotNull(started.started_at)
      const progress = { percent: 40.5, message: "step ü", step: 2, total_steps: 5, preview: "j-1-preview.jpg" }
      yield* queue.progress(fence, progress)
      assert.deepStrictEqual((yield* jobNow("j")).progress, progress)
      const done = yield* complete(fence, { image: "a.png" })
      assert.deepInclude(done, {
        status: "completed",
        result: { image: "a.png" },
        error: null,
        worker_id: worker("w1"),
        attempt: 1,
        progress
      })
      assert.isNotNull(done.finished_at)
      assert.deepStrictEqual(yield* jobNow("j"), done)
      assert.deepStrictEqual(yield* claimedIds(), [])
    })
  )

  test(
    "a claim whose answer was lost finds its jobs again, and nobody else does",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["a", "b", "c"]) yield* submit(id)
      const request = { worker_id: worker("w1"), capabilities: offer(), capacity: 9, limit: 2, nonce: "lost" }
      const given = yield* queue.claim(request)
      const again = yield* queue.claim({ ...request, again: true })
      const byId = (jobs: typeof given) => jobs.toSorted((one, other) => (one.id < other.id ? -1 : 1))
      assert.deepStrictEqual(byId(again), byId(given))
      // Nothing was given under this nonce yet, so it is a claim like any other.
      const other = yield* queue.claim({ ...request, worker_id: worker("w2"), again: true })
      assert.deepStrictEqual(
        other.map(({ id, attempt }) => [id, attempt]),
        [[jobId("c"), 1]]
      )
    })
  )

  test(
    "starting twice keeps the first time",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("j")
      const { fence } = yield* claimOne()
      yield* queue.start(fence)
      yield* time.pass("5 seconds")
      const before = yield* jobNow("j")
      yield* queue.start(fence)
      assert.deepStrictEqual(yield* jobNow("j"), before)
    })
  )

  test(
    "a job may complete or fail without having said that it started",
    Effect.gen(function* () {
      yield* submit("a")
      yield* submit("b")
      const [a, b] = yield* claim({ limit: 2 })
      assert.strictEqual((yield* complete(a!.fence, 1)).status, "completed")
      assert.strictEqual((yield* fail(b!.fence, late, null)).status, "failed")
    })
  )

  test(
    "a report needs the right attempt number and the right nonce",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne()
      yield* refusedWhole({ ...fence, nonce: "made up" })
      yield* refusedWhole({ ...fence, nonce: "" })
      yield* refusedWhole({ ...fence, attempt: 0 })
      yield* refusedWhole({ ...fence, attempt: 2 })
      yield* refusedWhole({ ...fence, job_id: jobId("nobody") })
      yield* queue.start(fence)
      yield* refusedWhole({ ...fence, nonce: "made up" })
      assert.strictEqual((yield* complete(fence, 1)).status, "completed")
    })
  )

  test(
    "a job that nobody claimed takes no report",
    Effect.gen(function* () {
      yield* submit("j")
      yield* refusedWhole({ job_id: jobId("j"), attempt: 0, nonce: "" })
    })
  )

  test(
    "repeatReportSameAnswer: repeating an end gets the first answer; another end is refused",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["completed", "failed", "again", "returned"]) yield* submit(id)
      const [completed, failed, again, returned] = (yield* claim({ limit: 4 })).map(({ fence }) => fence)

      const first = yield* complete(completed!, { n: 1 })
      assert.deepStrictEqual(yield* complete(completed!, { n: 2 }), first)
      assert.strictEqual((yield* Effect.flip(queue.fail(completed!, late, null)))._tag, "LeaseLost")
      assert.strictEqual((yield* Effect.flip(queue.giveBack(completed!)))._tag, "LeaseLost")
      assert.strictEqual((yield* Effect.flip(queue.start(completed!)))._tag, "LeaseLost")
      yield* refusedWhole({ ...completed!, nonce: "made up" })
      assert.deepStrictEqual(yield* jobNow("completed"), first)

      const gone = yield* fail(failed!, late, null)
      assert.deepStrictEqual(yield* fail(failed!, { ...late, message: "other" }, atOnce), gone)
      assert.strictEqual((yield* Effect.flip(queue.complete(failed!, 1)))._tag, "LeaseLost")

      const waiting = yield* fail(again!, late, atOnce)
      assert.deepStrictEqual(yield* fail(again!, late, atOnce), waiting)
      assert.strictEqual(waiting.retry_count, 1)

      yield* queue.giveBack(returned!)
      const back = yield* jobNow("returned")
      yield* queue.giveBack(returned!)
      assert.deepStrictEqual(yield* jobNow("returned"), back)
      assert.strictEqual((yield* Effect.flip(queue.complete(returned!, 1)))._tag, "LeaseLost")

      // Once claimed again, the job no longer remembers.
      assert.strictEqual((yield* claim({ limit: 4 })).length, 2)
      yield* refusedWhole(again!)
      yield* refusedWhole(returned!)
    })
  )

  test(
    "a failure without a retry ends the job",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne("w1")
      yield* queue.start(fence)
      const job = yield* fail(fence, late, null)
      assert.deepInclude(job, {
        status: "failed",
        error: late,
        retry_count: 0,
        attempt: 1,
        worker_id: worker("w1"),
        result: null
      })
      assert.isNotNull(job.finished_at)
      assert.deepStrictEqual(yield* claimedIds(), [])
      assert.strictEqual((yield* (yield* JobQueue).heldBy([worker("w1")])).get(worker("w1"))?.length, 0)
    })
  )

  test(
    "a retry without delay waits again as before, and says why it failed",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const first = yield* claimOne()
      yield* queue.start(first.fence)
      yield* queue.progress(first.fence, { percent: 10 })
      const job = yield* fail(first.fence, late, atOnce)
      assert.deepInclude(job, {
        status: "pending",
        error: late,
        retry_count: 1,
        attempt: 1,
        worker_id: null,
        progress: null,
        assigned_at: null,
        started_at: null,
        finished_at: null
      })
      const second = yield* claimOne()
      assert.strictEqual(second.job.attempt, 2)
      assert.deepStrictEqual(second.job.error, late)
      yield* refusedWhole(first.fence)
      assert.isNull((yield* complete(second.fence, 1)).error)
    })
  )

  test(
    "a retry that uses none leaves the count",
    Effect.gen(function* () {
      yield* submit("j")
      const { fence } = yield* claimOne()
      assert.strictEqual((yield* fail(fence, late, { delay: Duration.zero, usesRetry: false })).retry_count, 0)
    })
  )

  test(
    "a delayed retry is scheduled, and promoted when its time has come",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("j")
      const { fence } = yield* claimOne()
      const job = yield* fail(fence, late, { delay: Duration.seconds(10), usesRetry: true })
      assert.strictEqual(job.status, "scheduled")
      assert.deepStrictEqual(yield* claimedIds(), [])
      assert.deepStrictEqual((yield* queue.tick).promoted, [])
      yield* time.pass("11 seconds")
      assert.deepStrictEqual(yield* claimedIds(), [])
      assert.deepStrictEqual((yield* queue.tick).promoted, [jobId("j")])
      assert.strictEqual((yield* jobNow("j")).status, "pending")
      assert.strictEqual((yield* claimOne()).job.attempt, 2)
    })
  )

  test(
    "a job handed back waits as if nobody had claimed it, but for its attempt number",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const before = yield* submit("j")
      const { fence } = yield* claimOne()
      yield* queue.start(fence)
      yield* queue.progress(fence, { percent: 10 })
      yield* queue.giveBack(fence)
      const after = yield* jobNow("j")
      assert.deepStrictEqual({ ...after }, { ...before, attempt: 1 })
      assert.strictEqual((yield* claimOne()).job.attempt, 2)
    })
  )

  test(
    "renewing prolongs the leases that hold and names the others",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      for (let n = 0; n < 230; n++) yield* submit(n)
      const fences: Array<Fence> = []
      while (fences.length < 230) fences.push(...(yield* claim({ limit: 100 })).map(({ fence }) => fence))
      yield* queue.tick
      yield* time.pass("20 seconds")
      yield* queue.tick
      const gone = [fences[3]!, fences[150]!, fences[229]!]
      yield* queue.complete(gone[0]!, 1)
      yield* queue.cancel(gone[1]!.job_id)
      yield* queue.giveBack(gone[2]!)
      const unknown = { job_id: jobId("nobody"), attempt: 1, nonce: "none" }
      assert.deepStrictEqual(yield* queue.renew({ worker_id: worker(), fences: [...fences, unknown] }), [
        ...gone,
        unknown
      ])
      yield* time.pass("20 seconds")
      assert.deepStrictEqual((yield* queue.tick).lost, [])
      assert.strictEqual((yield* jobNow(0)).status, "assigned")
      yield* time.pass("20 seconds")
      assert.strictEqual((yield* queue.tick).lost.length, tickBound)
    })
  )

  test(
    "a waiting job is cancelled, whatever it waits for",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("pending")
      yield* submit("scheduled", { run_at: yield* inSeconds(5), expires_at: yield* inSeconds(15) })
      for (const id of ["pending", "scheduled"]) {
        const job = yield* queue.cancel(jobId(id))
        assert.strictEqual(job.status, "cancelled")
        assert.isNotNull(job.finished_at)
        assert.isNull(job.error)
        assert.deepStrictEqual(yield* queue.cancel(jobId(id)), job)
      }
      const report = yield* passTicking("20 seconds")
      assert.deepStrictEqual([report.promoted, report.expired], [[], []])
      assert.deepStrictEqual(yield* claimedIds(), [])
    })
  )

  test(
    "cancelling a held job fences its attempt off and frees the worker",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const [held] = yield* claim({ capacity: 1 })
      yield* queue.start(held!.fence)
      yield* queue.progress(held!.fence, { percent: 10 })
      const job = yield* queue.cancel(jobId("j"))
      assert.deepInclude(job, { status: "cancelled", worker_id: worker("w1"), attempt: 1 })
      yield* refusedWhole(held!.fence)
      assert.deepStrictEqual((yield* passTicking("35 seconds")).lost, [])
      yield* submit("next")
      assert.strictEqual((yield* claim({ capacity: 1 })).length, 1)
    })
  )

  test(
    "a finished job is not cancelled, and an unknown one is not found",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["completed", "failed"]) yield* submit(id)
      const [completed, failed] = yield* claim({ limit: 2 })
      yield* queue.complete(completed!.fence, 1)
      yield* queue.fail(failed!.fence, late, null)
      for (const id of ["completed", "failed"]) {
        const before = yield* jobNow(id)
        const error = yield* Effect.flip(queue.cancel(jobId(id)))
        assert.strictEqual(error._tag, "InvalidStateTransition")
        assert.deepInclude(error, { subject: "job", id, from: id, to: "cancelled" })
        assert.deepStrictEqual(yield* jobNow(id), before)
      }
      assert.strictEqual((yield* Effect.flip(queue.cancel(jobId("nobody"))))._tag, "JobNotFound")
    })
  )

  test(
    "whoever looks at a job while it is completed sees it with its result, or before",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne("w1")
      const result = "long".repeat(1_000)
      const look = Effect.map(queue.get(jobId("j")), Option.getOrThrow)
      const [before, , after] = yield* Effect.all([look, queue.complete(fence, result), look], {
        concurrency: "unbounded"
      })
      for (const { result: seen, status } of [before, after, yield* look]) {
        assert.strictEqual(seen, status === "completed" ? result : null)
      }
    })
  )

  test(
    "oneSettlePerAttempt: of all that would end an attempt at once exactly one decides",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (let n = 0; n < 50; n++) yield* submit(n)
      const held = yield* claim({ limit: 50 })
      for (const [n, { fence }] of held.entries()) {
        const ends = [
          queue.complete(fence, 1),
          queue.cancel(fence.job_id),
          queue.fail(fence, late, null),
          queue.fail(fence, late, null),
          queue.giveBack(fence)
        ]
        const order = [...ends.slice(n % ends.length), ...ends.slice(0, n % ends.length)]
        const results = yield* Effect.all(order.map(Effect.result<unknown, unknown, never>), {
          concurrency: "unbounded"
        })
        const { status } = yield* jobNow(fence.job_id)
        const decided = results.filter(({ _tag }) => _tag === "Success").length
        // Only a report that is repeated, and a cancel after the job was handed back, succeed beside the first one.
        const [attempt, ...others] = Option.getOrThrow(yield* queue.attempts(fence.job_id))
        assert.deepStrictEqual(others, [])
        const allowed = { completed: 1, failed: 2, cancelled: attempt!.outcome === "returned" ? 2 : 1, pending: 1 }
        assert.strictEqual(decided, allowed[status as keyof typeof allowed], `${status} ${attempt!.outcome}`)
      }
    })
  )
}
