/** The claim loop of a worker: what becomes of the jobs it is given. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Ref } from "effect"
import { TestClock } from "effect/testing"
import type { RunningConnector } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobId } from "@muster/core/job/Job"
import { StorageError } from "@muster/core/job/JobErrors"
import { aConnector, id, jobNow, pass, runWith, submit, worker_id } from "./RunnerTest.ts"

describe("JobRunner", () => {
  it.effect("runs a job submitted while it idles and stores its result", () =>
    Effect.gen(function* () {
      const { connector } = yield* aConnector((job) => Effect.as(Effect.sleep("1 second"), { seen: job.payload }))
      yield* runWith(connector)
      yield* submit({ payload: [1, null] })
      yield* TestClock.adjust("10 millis")
      assert.strictEqual((yield* jobNow()).status, "processing")
      yield* TestClock.adjust("1 second")
      const job = yield* jobNow()
      assert.strictEqual(job.status, "completed")
      assert.deepStrictEqual(job.result, { seen: [1, null] })
      assert.strictEqual(job.worker_id, worker_id)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("runs as many jobs at once as its capacity, and the next as soon as one ends", () =>
    Effect.gen(function* () {
      const { connector } = yield* aConnector((job) => Effect.sleep(`${Number(job.payload)} seconds`))
      yield* runWith(connector, { capacity: 2 })
      const queue = yield* JobQueue
      yield* Effect.forEach([1, 9, 9], (payload, at) => submit({ payload }, JobId.make(`job-${at}`)))
      yield* TestClock.adjust("10 millis")
      assert.strictEqual((yield* queue.heldBy([worker_id])).get(worker_id)?.length, 2)
      assert.strictEqual((yield* jobNow(JobId.make("job-2"))).status, "pending")
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* jobNow(JobId.make("job-0"))).status, "completed")
      assert.strictEqual((yield* jobNow(JobId.make("job-2"))).status, "processing")
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("reports failures by kind: retried with a delay, or not at all", () =>
    Effect.gen(function* () {
      const { connector } = yield* aConnector((job) =>
        Effect.fail(
          new ConnectorFailure({ kind: job.payload === "away" ? "ServiceUnavailable" : "Rejected", message: "no" })
        )
      )
      yield* runWith(connector)
      yield* submit({ payload: "away" }, JobId.make("away"))
      yield* submit({ payload: "bad" }, JobId.make("bad"))
      yield* pass(100)
      const away = yield* jobNow(JobId.make("away"))
      assert.deepStrictEqual([away.status, away.retry_count, away.error?.kind], ["scheduled", 1, "ServiceUnavailable"])
      const bad = yield* jobNow(JobId.make("bad"))
      assert.deepStrictEqual([bad.status, bad.retry_count, bad.error?.kind], ["failed", 0, "Rejected"])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("takes a crash of a connector for a failure and goes on", () =>
    Effect.gen(function* () {
      const { connector } = yield* aConnector((job) =>
        job.payload === "crash" ? Effect.die(new Error("boom")) : Effect.succeed("fine")
      )
      yield* runWith(connector)
      yield* submit({ payload: "crash", max_retries: 0 }, JobId.make("crash"))
      yield* submit({ payload: "ok" }, JobId.make("ok"))
      yield* pass(100)
      const crashed = yield* jobNow(JobId.make("crash"))
      assert.strictEqual(crashed.status, "failed")
      assert.include(crashed.error?.message, "boom")
      assert.strictEqual((yield* jobNow(JobId.make("ok"))).status, "completed")
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("stops an attempt at its timeout", () =>
    Effect.gen(function* () {
      const { connector, stopped } = yield* aConnector(() => Effect.never)
      yield* runWith(connector)
      yield* submit({ timeout_ms: 500, max_retries: 0 })
      yield* TestClock.adjust("600 millis")
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.error?.kind], ["failed", "Timeout"])
      assert.strictEqual(yield* Ref.get(stopped), 1)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("keeps a long job by renewing its lease", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const { connector } = yield* aConnector(() => Effect.sleep("10 minutes"))
      yield* runWith(connector)
      yield* submit()
      for (let seconds = 0; seconds < 600; seconds += 5) {
        yield* TestClock.adjust("5 seconds")
        yield* queue.tick
      }
      yield* TestClock.adjust("1 second")
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.attempt], ["completed", 1])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("stops the connector of a job that was cancelled, without a report", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const { connector, stopped } = yield* aConnector(() => Effect.never)
      yield* runWith(connector)
      yield* submit()
      yield* TestClock.adjust("1 second")
      yield* queue.cancel(id)
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual(yield* Ref.get(stopped), 1)
      assert.strictEqual((yield* jobNow()).status, "cancelled")
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("hands its jobs back when it is stopped, without using a retry", () =>
    Effect.gen(function* () {
      const { connector, stopped } = yield* aConnector(() => Effect.never)
      const runner = yield* runWith(connector)
      yield* submit()
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* jobNow()).status, "processing")
      yield* Fiber.interrupt(runner)
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.retry_count, job.worker_id], ["pending", 0, null])
      assert.strictEqual(yield* Ref.get(stopped), 1)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("runs one claim of a job at a time: the older one is stopped when the job is claimed again", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const { connector, stopped } = yield* aConnector(() => Effect.never)
      yield* runWith(connector, { capacity: 2 })
      yield* submit()
      yield* pass(1_000)
      yield* queue.giveBackAll(worker_id)
      yield* pass(1_000)
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.attempt], ["processing", 2])
      assert.strictEqual(yield* Ref.get(stopped), 1)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("leaves behind a connector that does not stop, and goes on", () =>
    Effect.gen(function* () {
      const { connector } = yield* aConnector((job) =>
        job.payload === "stubborn" ? Effect.uninterruptible(Effect.never) : Effect.succeed("fine")
      )
      const runner = yield* runWith(connector)
      yield* submit({ payload: "stubborn", timeout_ms: 500, max_retries: 0 })
      yield* submit({ payload: "ok" }, JobId.make("ok"))
      yield* pass(10_000)
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.error?.kind], ["failed", "Timeout"])
      assert.strictEqual((yield* jobNow(JobId.make("ok"))).status, "completed")
      yield* Fiber.interrupt(runner)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("stores only progress that can be read again, and the last of it", () =>
    Effect.gen(function* () {
      const connector: RunningConnector = {
        health: Effect.void,
        process: (_job, report) =>
          report({ percent: Number.NaN, message: "lost" }).pipe(
            Effect.andThen(
              report({ percent: 100.5, message: "x".repeat(5_000), step: 0.5, total_steps: 2, preview: "../secret" })
            ),
            Effect.as("done")
          )
      }
      yield* runWith(connector)
      yield* submit()
      yield* pass(1_000)
      const job = yield* jobNow()
      assert.strictEqual(job.status, "completed")
      assert.deepStrictEqual(job.progress, { percent: 100, message: "x".repeat(1_000), total_steps: 2 })
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("takes what is done for all done, and what failed for as far as it came", () =>
    Effect.gen(function* () {
      const connector: RunningConnector = {
        health: Effect.void,
        process: ({ payload }, report) =>
          Effect.andThen(
            report({ percent: 12, message: "6 tokens" }),
            payload === "ok"
              ? Effect.succeed("done")
              : Effect.fail(new ConnectorFailure({ kind: "Rejected", message: "no" }))
          )
      }
      yield* runWith(connector)
      yield* submit({ payload: "ok" }, JobId.make("ok"))
      yield* submit({ payload: "bad" }, JobId.make("bad"))
      yield* pass(1_000)
      assert.deepStrictEqual((yield* jobNow(JobId.make("ok"))).progress, { percent: 100, message: "6 tokens" })
      assert.deepStrictEqual((yield* jobNow(JobId.make("bad"))).progress, { percent: 12, message: "6 tokens" })
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("takes a result that is no JSON for a failure", () =>
    Effect.gen(function* () {
      const { connector } = yield* aConnector(() => Effect.succeed({ pixels: 7n }))
      yield* runWith(connector)
      yield* submit()
      yield* TestClock.adjust("1 second")
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.error?.kind], ["failed", "InvalidPayload"])
      assert.include(job.error?.message, "no JSON")
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("refuses a result that is too large to store", () =>
    Effect.gen(function* () {
      const { connector } = yield* aConnector(() => Effect.succeed("x".repeat(100)))
      yield* runWith(connector, { maxResultLength: 50 })
      yield* submit()
      yield* TestClock.adjust("1 second")
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.error?.kind], ["failed", "InvalidPayload"])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )
})

/** The queue of the reference, whose connection a test can cut. */
const cuttable = Effect.gen(function* () {
  const away = yield* Ref.make(false)
  const stuck = yield* Ref.make(false)
  const queue = yield* JobQueue
  const error = new StorageError({ operation: "test", detail: "away", unavailable: true, cause: "test" })
  const guard = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | StorageError, R> =>
    Effect.gen(function* () {
      if (yield* Ref.get(stuck)) return yield* Effect.never
      if (yield* Ref.get(away)) return yield* error
      return yield* effect
    })
  const cut = JobQueue.of({
    ...queue,
    // The claim is done, and its answer is what gets lost.
    claim: (claim) => Effect.flatMap(queue.claim(claim), (claimed) => guard(Effect.succeed(claimed))),
    progress: (fence, progress) => guard(queue.progress(fence, progress)),
    start: (fence) => guard(queue.start(fence)),
    complete: (fence, result) => guard(queue.complete(fence, result)),
    fail: (fence, failure, retry) => guard(queue.fail(fence, failure, retry)),
    giveBack: (fence) => guard(queue.giveBack(fence)),
    renew: (request) => guard(queue.renew(request))
  })
  return { away, stuck, layer: Layer.succeed(JobQueue, cut) }
})

describe("JobRunner without its store", () => {
  it.effect("keeps the end of a job until it can be reported", () =>
    Effect.gen(function* () {
      const { away, layer } = yield* cuttable
      const { connector } = yield* aConnector(() => Effect.as(Effect.sleep("5 seconds"), "paid for"))
      yield* Effect.provide(runWith(connector), layer)
      yield* submit()
      yield* TestClock.adjust("1 second")
      yield* Ref.set(away, true)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual((yield* jobNow()).status, "processing")
      yield* Ref.set(away, false)
      yield* TestClock.adjust("10 seconds")
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.result, job.attempt], ["completed", "paid for", 1])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("tells the end of a job whose work is done when it is stopped, instead of handing the job back", () =>
    Effect.gen(function* () {
      const { away, layer } = yield* cuttable
      const { connector } = yield* aConnector(() => Effect.as(Effect.sleep("5 seconds"), "paid for"))
      const runner = yield* Effect.provide(runWith(connector), layer)
      yield* submit()
      yield* pass(1_000)
      yield* Ref.set(away, true)
      yield* pass(9_000)
      assert.strictEqual((yield* jobNow()).status, "processing")
      yield* Ref.set(away, false)
      yield* Fiber.interrupt(runner)
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.result], ["completed", "paid for"])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("lets go of a job before its lease can have ended, and works again afterwards", () =>
    Effect.gen(function* () {
      const { away, layer } = yield* cuttable
      const { connector, stopped } = yield* aConnector((job) =>
        job.payload === "long" ? Effect.never : Effect.succeed(1)
      )
      yield* Effect.provide(runWith(connector), layer)
      yield* submit({ payload: "long" })
      yield* TestClock.adjust("1 second")
      yield* Ref.set(away, true)
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(yield* Ref.get(stopped), 1)
      yield* submit({ payload: "short" }, JobId.make("short"))
      yield* Ref.set(away, false)
      yield* TestClock.adjust("10 seconds")
      const job = yield* jobNow()
      assert.strictEqual(job.retry_count, 0)
      assert.strictEqual(job.attempt > 1, true)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("takes up the jobs of a claim whose answer was lost", () =>
    Effect.gen(function* () {
      const { away, layer } = yield* cuttable
      const { connector } = yield* aConnector(() => Effect.succeed("done"))
      yield* Ref.set(away, true)
      yield* submit({ max_retries: 0 })
      yield* Effect.provide(runWith(connector), layer)
      yield* pass(100)
      assert.strictEqual((yield* jobNow()).status, "assigned")
      yield* Ref.set(away, false)
      yield* pass(10_000)
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.attempt], ["completed", 1])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("lets go of a job in time when renewing it never ends", () =>
    Effect.gen(function* () {
      const { layer, stuck } = yield* cuttable
      const { connector, stopped } = yield* aConnector(() => Effect.never)
      yield* Effect.provide(runWith(connector), layer)
      yield* submit()
      yield* pass(1_000)
      yield* Ref.set(stuck, true)
      yield* pass(29_000)
      assert.strictEqual(yield* Ref.get(stopped), 1)
      yield* Ref.set(stuck, false)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("does not hold up a connector whose progress the store does not take", () =>
    Effect.gen(function* () {
      const { layer, stuck } = yield* cuttable
      const connector: RunningConnector = {
        health: Effect.void,
        process: (_job, report) =>
          Effect.replicateEffect(Effect.andThen(Effect.sleep("100 millis"), report({ percent: 1 })), 10).pipe(
            Effect.as("in time")
          )
      }
      yield* Effect.provide(runWith(connector), layer)
      yield* submit({ timeout_ms: 2_000, max_retries: 0 })
      yield* pass(500)
      yield* Ref.set(stuck, true)
      yield* pass(1_500)
      yield* Ref.set(stuck, false)
      assert.strictEqual((yield* jobNow()).error, null)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("stops within its patience when the store does not answer an idle worker", () =>
    Effect.gen(function* () {
      const { layer, stuck } = yield* cuttable
      const { connector } = yield* aConnector(() => Effect.never)
      yield* Ref.set(stuck, true)
      const runner = yield* Effect.provide(runWith(connector), layer)
      yield* pass(1_000)
      const stopping = yield* Effect.forkChild(Fiber.interrupt(runner))
      yield* pass(1_500)
      assert.isDefined(stopping.pollUnsafe())
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("stops within its patience when the store does not answer", () =>
    Effect.gen(function* () {
      const { layer, stuck } = yield* cuttable
      const { connector } = yield* aConnector(() => Effect.never)
      const runner = yield* Effect.provide(runWith(connector), layer)
      yield* submit()
      yield* TestClock.adjust("1 second")
      yield* Ref.set(stuck, true)
      const ended = yield* Deferred.make<Exit.Exit<never, unknown>>()
      yield* Effect.forkChild(
        Effect.andThen(
          Fiber.interrupt(runner),
          Effect.flatMap(Fiber.await(runner), (exit) => Deferred.succeed(ended, exit))
        )
      )
      yield* TestClock.adjust("1500 millis")
      assert.isTrue(yield* Deferred.isDone(ended))
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )
})
