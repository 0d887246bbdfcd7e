/** Watching one job through the feed, and waiting for its end. */
import { assert } from "@effect/vitest"
import { EventFeed, type JobChange } from "@muster/core/event/EventFeed"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { type Job, type JobError, request } from "@muster/core/job/Job"
import * as JobEnd from "@muster/core/job/JobEnd"
import { Duration, Effect, Fiber, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { claimOne, jobId, type QueueLayer, submit } from "../job/QueueTest.ts"
import { LogSwitch, on, reading, until } from "./FeedTest.ts"

const error: JobError = { kind: "Rejected", message: "no" }

/** A change in a word: what the job is, in capitals, or what happened. */
const word = (change: JobChange): string => {
  if (change._tag === "State") return change.job.status.toUpperCase()
  const { progress, type } = change.event
  return `${type.replace("job.", "")}${progress === undefined ? "" : ` ${progress.percent}`}`
}
const words = (changes: ReadonlyArray<JobChange>) => changes.map(word)

const watching = (id: string) => Effect.flatMap(EventFeed, (feed) => reading(feed.watch(jobId(id))))

/** Waits until all that happened has been read. */
const allRead = Effect.gen(function* () {
  const feed = yield* EventFeed
  const log = yield* EventLog
  const queue = yield* JobQueue
  const before = (yield* feed.totals).get("job.submitted") ?? 0
  yield* queue.submit(jobId(`read-${yield* log.end}`), request({ service_required: "nobody" }))
  yield* until(
    "all is read",
    // Where the clock of the test went on and the store's did not, a read has been given up.
    Effect.andThen(
      TestClock.adjust("10 millis"),
      Effect.map(feed.totals, (totals) => (totals.get("job.submitted") ?? 0) > before)
    )
  )
})

export const watchSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "a watcher is told the state, and then each change up to the end",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("other")
      yield* queue.cancel(jobId("other"))
      const job = yield* submit("j")
      const watcher = yield* watching("j")
      yield* watcher.count(1)
      const { fence } = yield* claimOne()
      yield* queue.start(fence)
      yield* watcher.count(3)
      yield* queue.progress(fence, { percent: 50 })
      yield* watcher.count(4)
      yield* submit("more")
      yield* queue.complete(fence, 1)
      yield* watcher.end
      assert.deepStrictEqual(words(watcher.items), ["PENDING", "assigned", "started", "progress 50", "completed"])
      const [first] = watcher.items
      assert(first?._tag === "State")
      assert.deepStrictEqual(first.job, job)
      const { events } = yield* (yield* EventLog).read({ after: first.cursor, limit: 10 })
      assert.strictEqual(events[0]!.type, "job.assigned")
    })
  )

  test(
    "a watcher of a job that has ended is told so, and nobody waits for one that is unknown",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const queue = yield* JobQueue
      yield* submit("done")
      yield* queue.complete((yield* claimOne()).fence, 1)
      yield* submit("failed")
      yield* queue.fail((yield* claimOne()).fence, error, null)
      for (const id of ["done", "failed"]) {
        const changes = yield* Stream.runCollect(feed.watch(jobId(id)))
        assert.strictEqual(changes.length, 1)
        assert.strictEqual(changes[0]!._tag, "State")
      }
      const missing = yield* Effect.flip(Stream.runCollect(feed.watch(jobId("unknown"))))
      assert.strictEqual(missing._tag, "JobNotFound")
      assert.strictEqual((yield* Effect.flip(JobEnd.awaitJob(jobId("unknown"))))._tag, "JobNotFound")
    })
  )

  test(
    "failing is an end, also when the job is retried at once",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const feed = yield* EventFeed
      yield* submit("j")
      const pull = yield* Stream.toPull(feed.watch(jobId("j")))
      assert.deepStrictEqual(words(yield* pull), ["PENDING"])
      yield* queue.fail((yield* claimOne()).fence, error, null)
      yield* queue.retry(jobId("j"))
      yield* claimOne()
      yield* allRead
      assert.deepStrictEqual(words(yield* pull), ["assigned", "failed"])
      assert.strictEqual((yield* Effect.exit(pull))._tag, "Failure")
    })
  )

  test(
    "progress that was not taken yet is told once, the newest, and in its order",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const feed = yield* EventFeed
      yield* submit("j")
      const pull = yield* Stream.toPull(feed.watch(jobId("j")))
      assert.deepStrictEqual(words(yield* pull), ["PENDING"])
      const first = yield* claimOne()
      for (let percent = 1; percent <= 90; percent++) yield* queue.progress(first.fence, { percent })
      yield* queue.giveBack(first.fence)
      const second = yield* claimOne()
      for (let percent = 1; percent <= 60; percent++) yield* queue.progress(second.fence, { percent })
      yield* queue.start(second.fence)
      yield* allRead
      const items = [...(yield* pull)]
      assert.deepStrictEqual(words(items), ["assigned", "requeued", "assigned", "progress 60", "started"])
      yield* queue.progress(second.fence, { percent: 61 })
      yield* allRead
      assert.deepStrictEqual(words(yield* pull), ["progress 61"])
    })
  )

  test(
    "a watcher that left too much untaken is told the state instead",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const feed = yield* EventFeed
      yield* submit("j", { max_retries: 100 })
      const pull = yield* Stream.toPull(feed.watch(jobId("j")))
      assert.deepStrictEqual(words(yield* pull), ["PENDING"])
      for (let n = 0; n < 60; n++) yield* queue.giveBack((yield* claimOne()).fence)
      const { fence } = yield* claimOne()
      yield* queue.start(fence)
      yield* allRead
      assert.deepStrictEqual(words(yield* pull), ["PROCESSING"])
      yield* queue.complete(fence, 1)
      assert.deepStrictEqual(words(yield* pull), ["completed"])
    })
  )

  test(
    "when events are lost a watcher is told the state again",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const broken = yield* LogSwitch
      yield* submit("j")
      const watcher = yield* watching("j")
      yield* watcher.count(1)
      yield* broken.mute
      const { fence } = yield* claimOne()
      yield* broken.lose
      yield* broken.mend
      yield* watcher.count(2)
      yield* queue.complete(fence, 1)
      yield* watcher.end
      assert.deepStrictEqual(words(watcher.items), ["PENDING", "ASSIGNED", "completed"])
    })
  )

  test(
    "an end that came during an outage is told after it",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const feed = yield* EventFeed
      const broken = yield* LogSwitch
      yield* submit("j")
      const watcher = yield* watching("j")
      yield* watcher.count(1)
      yield* broken.cut
      yield* until(
        "the feed knows of the outage",
        Effect.map(feed.lag, ({ connected }) => !connected)
      )
      yield* queue.complete((yield* claimOne()).fence, 1)
      yield* broken.mend
      yield* TestClock.adjust("10 seconds")
      yield* watcher.end
      assert.strictEqual(words(watcher.items).at(-1)!.toLowerCase(), "completed")
    })
  )

  test(
    "an end that no event tells of is found within 40 s",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const broken = yield* LogSwitch
      yield* submit("j")
      const watcher = yield* watching("j")
      yield* watcher.count(1)
      yield* broken.mute
      yield* queue.complete((yield* claimOne()).fence, { pixels: 1 })
      yield* TestClock.adjust("40 seconds")
      yield* watcher.end
      assert.deepStrictEqual(words(watcher.items), ["PENDING", "COMPLETED"])
    })
  )

  test(
    "a watcher that has to read state while that is away tries until it is there; a new one is told at once",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const queue = yield* JobQueue
      const broken = yield* LogSwitch
      yield* submit("j")
      const watcher = yield* watching("j")
      yield* watcher.count(1)
      yield* broken.mute
      yield* queue.complete((yield* claimOne()).fence, 1)
      yield* broken.blind
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(words(watcher.items), ["PENDING"])
      const refused = yield* Effect.flip(Stream.runCollect(feed.watch(jobId("j"))))
      assert.strictEqual(refused._tag, "StorageError")
      yield* broken.mute
      yield* TestClock.adjust("10 seconds")
      yield* watcher.end
      assert.deepStrictEqual(words(watcher.items), ["PENDING", "COMPLETED"])
    })
  )

  test(
    "silence alone is no news",
    Effect.gen(function* () {
      yield* submit("j")
      const watcher = yield* watching("j")
      yield* watcher.count(1)
      for (let n = 0; n < 10; n++) yield* TestClock.adjust("30 seconds")
      yield* allRead
      assert.deepStrictEqual(words(watcher.items), ["PENDING"])
    })
  )

  test(
    "awaiting gives the job as it ended, or as it is when the time has passed",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const short = yield* Effect.forkChild(JobEnd.awaitJob(jobId("j"), Duration.seconds(5)), {
        startImmediately: true
      })
      const long = yield* Effect.forkChild(JobEnd.awaitJob(jobId("j")), { startImmediately: true })
      const { fence } = yield* claimOne()
      yield* allRead
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* joined(short)).status, "assigned")
      yield* queue.complete(fence, { pixels: 42 })
      const job = yield* joined(long)
      assert.strictEqual(job.status, "completed")
      assert.deepStrictEqual(job.result, { pixels: 42 })
      assert.deepStrictEqual(yield* JobEnd.awaitJob(jobId("j"), Duration.zero), job)
      assert.deepStrictEqual(Option.some(job), yield* queue.get(jobId("j")))
    })
  )
}

/** What a fiber ends with, within a minute. */
export const joined = <E>(fiber: Fiber.Fiber<Job, E>) =>
  TestClock.withLive(Effect.timeout(Fiber.join(fiber), "60 seconds"))
