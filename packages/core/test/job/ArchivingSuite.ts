/** What a queue does for an archive, and takes back from it. */
import { assert } from "@effect/vitest"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import type { Job, JobError } from "@muster/core/job/Job"
import { DateTime, Duration, Effect, Option } from "effect"
import { claim, claimOne, complete, fail, jobId, jobNow, nonce, on, passTicking, type QueueLayer } from "./QueueTest.ts"
import { submit, worker } from "./QueueTest.ts"

const error: JobError = { kind: "Rejected", message: "no" }

const unarchivedIds = (limit = 100) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    return (yield* queue.unarchived(limit)).map(({ job }) => String(job.id))
  })

const endOf = ({ finished_at, id }: Job) => ({ id, finished_at: finished_at! })

/** Runs the next job to its end. */
const finishNext = Effect.gen(function* () {
  const { fence } = yield* claimOne()
  return yield* complete(fence, { by: fence.attempt })
})

export const archivingSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "finished jobs are handed over whole, those that ended first before others, until they are marked",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.keepForArchive
      yield* queue.keepForArchive
      for (const id of ["a", "b", "c", "waits"]) yield* submit(id)
      yield* finishNext
      yield* passTicking("1 second")
      yield* queue.cancel(jobId("c"))
      yield* passTicking("1 second")
      // Where time passes by moving what is stored, its end is elsewhere now.
      const a = yield* jobNow("a")
      const b = yield* fail((yield* claimOne()).fence, error, null)
      assert.deepStrictEqual(yield* unarchivedIds(), ["a", "c", "b"])
      assert.deepStrictEqual(yield* unarchivedIds(2), ["a", "c"])
      assert.strictEqual((yield* queue.counts).unarchived, 3)
      const [first] = yield* queue.unarchived(1)
      assert.deepStrictEqual(first!.job, a)
      assert.deepStrictEqual(first!.attempts, Option.getOrThrow(yield* queue.attempts(jobId("a"))))
      const { jobs } = yield* queue.list({ limit: 10 })
      assert.strictEqual(first!.position, jobs.find(({ job }) => job.id === "a")!.position)
      yield* queue.markArchived([endOf(a), endOf(b)])
      assert.deepStrictEqual(yield* unarchivedIds(), ["c"])
      yield* queue.markArchived([endOf(a), { id: jobId("unknown"), finished_at: a.finished_at! }])
      assert.deepStrictEqual(yield* unarchivedIds(), ["c"])
      assert.strictEqual((yield* queue.counts).unarchived, 1)
      assert.strictEqual((yield* jobNow("a")).status, "completed")
    })
  )

  test(
    "no job is forgotten before it was marked, and then after the retention",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.keepForArchive
      for (const id of ["a", "b"]) yield* submit(id)
      const a = yield* finishNext
      yield* finishNext
      yield* queue.markArchived([endOf(a)])
      yield* passTicking("61 minutes")
      assert.isTrue(Option.isNone(yield* queue.get(jobId("a"))))
      assert.deepStrictEqual(yield* unarchivedIds(), ["b"])
      yield* queue.markArchived([endOf(yield* jobNow("b"))])
      yield* queue.tick
      assert.isTrue(Option.isNone(yield* queue.get(jobId("b"))))
      assert.deepStrictEqual(yield* unarchivedIds(), [])
    })
  )

  test(
    "a job that was retried and ended again is handed over again, and a mark of its old end is not for it",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.keepForArchive
      yield* submit("j")
      const first = yield* fail((yield* claimOne()).fence, error, null)
      yield* queue.markArchived([endOf(first)])
      yield* queue.retry(jobId("j"))
      assert.deepStrictEqual(yield* unarchivedIds(), [])
      yield* passTicking("1 second")
      const second = yield* finishNext
      yield* queue.markArchived([endOf(first)])
      assert.deepStrictEqual(yield* unarchivedIds(), ["j"])
      assert.deepStrictEqual((yield* queue.unarchived(10))[0]!.job, second)
      yield* queue.markArchived([endOf(second)])
      assert.deepStrictEqual(yield* unarchivedIds(), [])
    })
  )

  test(
    "a failed job is revived as it was, at the end of its line, and counts its attempts on",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.keepForArchive
      yield* submit("old", { payload: { n: [1] }, customer_id: "acme", priority: 70, max_retries: 2 })
      yield* fail((yield* claimOne()).fence, error, { delay: Duration.zero, usesRetry: true })
      const failed = yield* fail((yield* claimOne()).fence, error, null)
      const [placed] = yield* queue.unarchived(1)
      yield* queue.markArchived([endOf(failed)])
      yield* passTicking("61 minutes")
      assert.isTrue(Option.isNone(yield* queue.get(jobId("old"))))
      yield* submit("same", { priority: 70 })
      yield* submit("plain")
      yield* passTicking("1 second")

      const revived = yield* queue.revive(placed!)
      assert.deepStrictEqual(revived, {
        ...failed,
        status: "pending",
        retry_count: 0,
        worker_id: null,
        progress: null,
        assigned_at: null,
        started_at: null,
        finished_at: null
      })
      assert.deepStrictEqual(yield* jobNow("old"), revived)
      const { jobs } = yield* queue.list({ limit: 10 })
      assert.deepStrictEqual(
        jobs.map(({ job }) => String(job.id)),
        ["plain", "same", "old"]
      )
      assert.strictEqual(jobs[2]!.position, placed!.position)
      const again = yield* Effect.flip(queue.revive(placed!))
      assert.strictEqual(again._tag, "JobAlreadyExists")
      const claimed = yield* claim({ limit: 3 })
      assert.deepStrictEqual(
        claimed.map(({ job }) => String(job.id)),
        ["same", "old", "plain"]
      )
      assert.strictEqual(claimed[1]!.job.attempt, failed.attempt + 1)
      yield* queue.complete(claimed[1]!.fence, 1)
      assert.deepStrictEqual(yield* unarchivedIds(), ["old"])
    })
  )

  test(
    "a revived job is the same to who submits it again",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.keepForArchive
      const over = { payload: { scene: 7 }, metadata: { by: "me" }, workflow_id: "film" }
      yield* submit("j", over)
      const failed = yield* fail((yield* claimOne()).fence, error, null)
      const [placed] = yield* queue.unarchived(1)
      yield* queue.markArchived([endOf(failed)])
      yield* passTicking("61 minutes")
      yield* queue.revive(placed!)
      assert.strictEqual((yield* submit("j", over)).attempt, 1)
      assert.strictEqual((yield* Effect.flip(submit("j", { payload: 8 })))._tag, "JobAlreadyExists")
      const [job] = yield* queue.claim({
        worker_id: worker("w2"),
        capabilities: { job_types: ["simulation"] },
        capacity: 1,
        limit: 1,
        nonce: nonce()
      })
      assert.deepStrictEqual(job!.payload, { scene: 7 })
      assert.isTrue(DateTime.Equivalence(job!.created_at, failed.created_at))
    })
  )
}
