/** The claim loop between its claims: when it claims, what it is told, and what it tells. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer, Queue, Ref } from "effect"
import { TestClock } from "effect/testing"
import { type ClaimRequest, JobQueue, type RenewRequest, type Signal } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobId } from "@muster/core/job/Job"
import { WorkerId } from "@muster/core/worker/Worker"
import { aConnector, id, jobNow, pass, runWith, submit, turns, worker_id } from "./RunnerTest.ts"

/** The queue of the reference, and what was asked of it. */
const watched = Effect.gen(function* () {
  const queue = yield* JobQueue
  const claims: Array<ClaimRequest> = []
  const renewals: Array<RenewRequest> = []
  const left: Array<WorkerId> = []
  const layer = Layer.succeed(
    JobQueue,
    JobQueue.of({
      ...queue,
      claim: (request) =>
        Effect.andThen(
          Effect.sync(() => claims.push(request)),
          queue.claim(request)
        ),
      renew: (request) =>
        Effect.andThen(
          Effect.sync(() => renewals.push(request)),
          queue.renew(request)
        ),
      leaveIdle: (worker) =>
        Effect.andThen(
          Effect.sync(() => left.push(worker)),
          queue.leaveIdle(worker)
        )
    })
  )
  return { claims, renewals, left, layer }
})

/** The queue of the reference, whose workers are told what a test says. */
const standing = Effect.gen(function* () {
  const { claims, layer, left } = yield* watched
  const told = yield* Queue.unbounded<Signal>()
  const deaf = Layer.effect(
    JobQueue,
    Effect.map(JobQueue, (queue) => JobQueue.of({ ...queue, signals: () => Effect.succeed(told) }))
  ).pipe(Layer.provide(layer))
  return { claims, left, told, layer: deaf }
})

const idle = aConnector(() => Effect.never)
const instant = aConnector(() => Effect.succeed("done"))

describe("JobRunner between its claims", () => {
  it.effect("is woken by a job and starts it at once", () =>
    Effect.gen(function* () {
      const { connector } = yield* instant
      yield* runWith(connector)
      yield* TestClock.adjust("1 second")
      yield* submit()
      const job = yield* jobNow()
      assert.strictEqual(job.status, "completed")
      assert.deepStrictEqual(job.finished_at, job.created_at)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("claims rarely while nothing wakes it, and is found again when its wakes get lost", () =>
    Effect.gen(function* () {
      const { claims, layer } = yield* watched
      const queue = yield* JobQueue
      const deaf = Layer.effect(
        JobQueue,
        Effect.map(JobQueue, (queue) => JobQueue.of({ ...queue, signals: () => Queue.unbounded<Signal>() }))
      ).pipe(Layer.provide(layer))
      const { connector } = yield* instant
      yield* Effect.provide(runWith(connector), deaf)
      yield* pass(60_000)
      assert.isAtLeast(claims.length, 10)
      assert.isAtMost(claims.length, 16)
      yield* submit()
      yield* queue.tick
      assert.strictEqual((yield* jobNow()).status, "pending")
      yield* pass(6_000)
      assert.strictEqual((yield* jobNow()).status, "completed")
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("runs what its standing claim was given, under the nonce of that claim", () =>
    Effect.gen(function* () {
      const { claims, layer, told } = yield* standing
      const queue = yield* JobQueue
      const { connector } = yield* instant
      yield* Effect.provide(runWith(connector), layer)
      yield* turns
      const stands = claims[0]!
      assert.strictEqual(stands.standing, true)
      yield* submit()
      const jobs = yield* queue.claim(stands)
      assert.strictEqual(jobs[0]?.status, "assigned")
      const askedAt = yield* Clock.currentTimeNanos
      yield* Queue.offer(told, { _tag: "Given", nonce: stands.nonce, jobs, askedAt })
      yield* turns
      assert.deepInclude(yield* jobNow(), { status: "completed", attempt: 1 })
      // It looks for more, by a claim of its own.
      assert.isAtLeast(claims.length, 2)
      assert.notStrictEqual(claims[1]!.nonce, stands.nonce)
      assert.isNotTrue(claims[1]!.again)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("lostReplyLeaksNoLease: it claims again what its standing claim was given unheard", () =>
    Effect.gen(function* () {
      const { claims, layer, told } = yield* standing
      const queue = yield* JobQueue
      const { connector } = yield* instant
      yield* Effect.provide(runWith(connector), layer)
      yield* turns
      const { nonce } = claims[0]!
      yield* submit()
      assert.strictEqual((yield* queue.claim(claims[0]!)).length, 1)
      yield* Queue.offer(told, { _tag: "Unheard", nonce })
      yield* turns
      assert.deepInclude(claims[1], { nonce, again: true })
      assert.deepInclude(yield* jobNow(), { status: "completed", attempt: 1 })
      assert.notStrictEqual(claims[2]!.nonce, nonce)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("waits for something to offer before it claims again what was unheard", () =>
    Effect.gen(function* () {
      const { claims, layer, left, told } = yield* standing
      const { connector } = yield* instant
      yield* Effect.provide(runWith(connector, { capabilities: { job_types: ["without-a-connector"] } }), layer)
      yield* turns
      yield* Queue.offer(told, { _tag: "Unheard", nonce: "lost" })
      yield* turns
      yield* turns
      assert.strictEqual(claims.length, 0)
      assert.isAtMost(left.length, 3)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("claims with what it offers, but for job types without a connector", () =>
    Effect.gen(function* () {
      const { claims, layer } = yield* watched
      const { connector } = yield* instant
      const labels = { tier: "gold" }
      const capabilities = { job_types: ["without-a-connector", "simulation"], labels }
      yield* Effect.provide(runWith(connector, { capabilities, capacity: 3 }), layer)
      yield* submit({ service_required: "without-a-connector" }, JobId.make("not-ours"))
      yield* submit({ requirements: { labels } })
      assert.strictEqual((yield* jobNow()).status, "completed")
      assert.strictEqual((yield* jobNow(JobId.make("not-ours"))).status, "pending")
      for (const claim of claims) {
        assert.deepInclude(claim, {
          worker_id,
          capacity: 3,
          limit: 3,
          capabilities: { job_types: ["simulation"], labels }
        })
      }
      assert.strictEqual(new Set(claims.map(({ nonce }) => nonce)).size, claims.length)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("claims as soon as it has room, and only for that", () =>
    Effect.gen(function* () {
      const { claims, layer } = yield* watched
      const { connector } = yield* aConnector((job) => Effect.sleep(`${Number(job.payload)} seconds`))
      yield* Effect.provide(runWith(connector, { capacity: 2 }), layer)
      for (const [n, seconds] of [10, 20, 30].entries()) yield* submit({ payload: seconds }, JobId.make(`job-${n}`))
      const before = claims.length
      yield* pass(9_000)
      assert.strictEqual(claims.length, before)
      yield* pass(2_000)
      assert.strictEqual((yield* jobNow(JobId.make("job-2"))).status, "processing")
      assert.strictEqual(claims.at(-1)?.limit, 1)
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("stops the connector of a cancelled job at once, and no other", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const { connector, stopped } = yield* idle
      yield* runWith(connector, { capacity: 2 })
      yield* submit()
      yield* submit({}, JobId.make("other"))
      yield* queue.cancel(id)
      yield* turns
      assert.strictEqual(yield* Ref.get(stopped), 1)
      assert.strictEqual((yield* jobNow(JobId.make("other"))).status, "processing")
      assert.deepStrictEqual((yield* queue.heldBy([worker_id])).get(worker_id), [JobId.make("other")])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("takes nothing while it is paused, and goes on at once when it is open again", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const { connector } = yield* instant
      yield* queue.setStanding(worker_id, "paused")
      yield* runWith(connector)
      yield* submit()
      yield* pass(20_000)
      assert.strictEqual((yield* jobNow()).status, "pending")
      yield* queue.setStanding(worker_id, "open")
      yield* turns
      assert.strictEqual((yield* jobNow()).status, "completed")
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("leaves the idle ones when it stops, and what it was woken for to another worker", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const { layer, left } = yield* watched
      const { connector } = yield* idle
      const runner = yield* Effect.provide(runWith(connector), layer)
      yield* submit()
      const other = yield* instant
      yield* runWith(other.connector, { worker_id: WorkerId.make("worker-2") })
      yield* turns
      yield* Fiber.interrupt(runner)
      yield* turns
      assert.deepStrictEqual(left, [worker_id])
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.worker_id], ["completed", WorkerId.make("worker-2")])
      yield* submit({}, JobId.make("next"))
      assert.strictEqual((yield* jobNow(JobId.make("next"))).worker_id, WorkerId.make("worker-2"))
      assert.deepStrictEqual((yield* queue.heldBy([worker_id])).get(worker_id), [])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("renews with all it holds, and even when it holds nothing", () =>
    Effect.gen(function* () {
      const { layer, renewals } = yield* watched
      const { connector } = yield* aConnector(() => Effect.sleep("15 seconds"))
      yield* Effect.provide(runWith(connector), layer)
      yield* submit()
      yield* pass(45_000)
      assert.isAtLeast(renewals.length, 4)
      assert.isTrue(renewals.every(({ claiming, worker_id: who }) => who === worker_id && claiming === undefined))
      const held = renewals.map(({ fences }) => fences.map(({ job_id }) => job_id))
      assert.deepStrictEqual(held[1], [id])
      assert.deepStrictEqual(held.at(-1), [])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )

  it.effect("lostReplyLeaksNoLease: hands jobs back that it was given and never heard of", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const { connector } = yield* instant
      const unheard = {
        worker_id,
        capabilities: { job_types: ["simulation"] },
        capacity: 9,
        limit: 9,
        nonce: "unheard"
      }
      yield* runWith(connector, { capacity: 9 })
      yield* turns
      yield* queue.leaveIdle(worker_id)
      yield* submit({ max_retries: 0 })
      assert.strictEqual((yield* queue.claim(unheard)).length, 1)
      yield* queue.leaveIdle(worker_id)
      yield* pass(22_000)
      const job = yield* jobNow()
      assert.deepStrictEqual([job.status, job.attempt, job.retry_count], ["completed", 2, 0])
    }).pipe(Effect.provide(MemoryJobQueue.layer))
  )
})
