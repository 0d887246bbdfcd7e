import { assert, describe, it } from "@effect/vitest"
import { JobQueue, type Standing } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobId, request } from "@muster/core/job/Job"
import { StorageError } from "@muster/core/job/JobErrors"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { MassLossBrake } from "@muster/core/worker/MassLossBrake"
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerQueries from "@muster/core/worker/WorkerQueries"
import * as WorkerScheduler from "@muster/core/worker/WorkerScheduler"
import * as WorkerStandings from "@muster/core/worker/WorkerStandings"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import { Context, Effect, Layer, Option, Ref } from "effect"
import { TestClock } from "effect/testing"

const id = WorkerId.make("worker-1")
const capabilities = { job_types: ["render"] }
const registration = { id, region: "eu", capacity: 2, capabilities }

/** Whether the queue tells and learns standings now; jobs it holds in any case. */
class Away extends Context.Service<Away, Ref.Ref<boolean>>()("@muster/core/test/worker/WorkerStandings/Away") {}

const failure = new StorageError({ operation: "JobQueue", detail: "away", unavailable: true, cause: "test" })

const flakyQueue = Layer.effect(
  JobQueue,
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const away = yield* Away
    const unlessAway = <A>(call: Effect.Effect<A, StorageError>) =>
      Effect.flatMap(Ref.get(away), (isAway) => (isAway ? Effect.fail(failure) : call))
    return JobQueue.of({
      ...queue,
      setStanding: (worker, standing) => unlessAway(queue.setStanding(worker, standing)),
      giveBackAll: (worker) => unlessAway(queue.giveBackAll(worker)),
      heldBy: (workers) => unlessAway(queue.heldBy(workers)),
      standings: unlessAway(queue.standings)
    })
  })
).pipe(Layer.provide(MemoryJobQueue.layer))

const broker = Layer.mergeAll(MemoryRegistry.layer, flakyQueue, MassLossBrake.layer).pipe(
  Layer.provideMerge(Layer.effect(Away, Ref.make(false)))
)

const goAway = (isAway: boolean) => Effect.flatMap(Away, (away) => Ref.set(away, isAway))

const submit = (job: string) =>
  Effect.flatMap(JobQueue, (queue) => queue.submit(JobId.make(job), request({ service_required: "render" })))

const claim = Effect.gen(function* () {
  const queue = yield* JobQueue
  const nonce = globalThis.crypto.randomUUID()
  const jobs = yield* queue.claim({ worker_id: id, capabilities, capacity: 2, limit: 1, nonce })
  return jobs.map((job) => job.id)
})

const inQueue = Effect.flatMap(JobQueue, (queue) => Effect.map(queue.standings, (all) => all.get(id) ?? "open"))
const inRegistry = Effect.map(WorkerQueries.getWorker(id), ({ standing }) => standing)
const statusOf = (job: string) =>
  Effect.flatMap(JobQueue, (queue) =>
    Effect.map(queue.get(JobId.make(job)), (found) => Option.getOrThrow(found).status)
  )

describe("a worker that is not open", () => {
  it.effect("is given no more jobs while it is paused, and keeps those it holds", () =>
    Effect.gen(function* () {
      yield* WorkerUseCases.registerWorker(registration)
      yield* submit("job-1")
      yield* submit("job-2")
      assert.deepEqual(yield* claim, ["job-1"])
      const paused = yield* Effect.replicateEffect(WorkerUseCases.pauseWorker(id), 2)
      assert.deepStrictEqual(
        paused.map((worker) => worker.standing),
        ["paused", "paused"]
      )
      assert.deepEqual(yield* claim, [])
      assert.strictEqual(yield* statusOf("job-1"), "assigned")
      assert.deepInclude(yield* WorkerQueries.getWorkerWithMetadata(id), {
        standing: "paused",
        occupancy: "paused",
        current_jobs: [JobId.make("job-1")]
      })
      const resumed = yield* Effect.replicateEffect(WorkerUseCases.resumeWorker(id), 2)
      assert.deepStrictEqual(
        resumed.map((worker) => worker.standing),
        ["open", "open"]
      )
      assert.strictEqual((yield* WorkerQueries.getWorkerWithMetadata(id)).occupancy, "busy")
      assert.deepEqual(yield* claim, ["job-2"])
    }).pipe(Effect.provide(broker))
  )

  it.effect("finishes what it holds while it drains, or hands it back without using a retry", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* WorkerUseCases.registerWorker(registration)
      yield* submit("job-1")
      yield* claim
      assert.strictEqual((yield* WorkerUseCases.drainWorker(id, { jobs: "finish" })).standing, "draining")
      assert.strictEqual(yield* statusOf("job-1"), "assigned")
      assert.strictEqual((yield* WorkerQueries.getWorkerWithMetadata(id)).occupancy, "draining")
      yield* Effect.replicateEffect(WorkerUseCases.drainWorker(id, { jobs: "return" }), 2)
      const job = Option.getOrThrow(yield* queue.get(JobId.make("job-1")))
      assert.deepInclude(job, { status: "pending", retry_count: 0, worker_id: null })
      assert.deepEqual(yield* claim, [])
    }).pipe(Effect.provide(broker))
  )

  it.effect("stays so when its process starts again", () =>
    Effect.gen(function* () {
      yield* WorkerUseCases.registerWorker(registration)
      yield* WorkerUseCases.pauseWorker(id)
      const { capacity, region } = registration
      const updated = yield* WorkerUseCases.updateWorker(id, { capacity, region, capabilities, instance_id: "two" })
      assert.strictEqual(updated.standing, "paused")
      assert.strictEqual(yield* inQueue, "paused")
    }).pipe(Effect.provide(broker))
  )

  it.effect("has to be registered", () =>
    Effect.gen(function* () {
      for (const command of [
        WorkerUseCases.pauseWorker(id),
        WorkerUseCases.resumeWorker(id),
        WorkerUseCases.drainWorker(id, { jobs: "return" })
      ]) {
        assert.deepInclude(yield* Effect.flip(command), { _tag: "WorkerNotFound", id })
      }
      assert.strictEqual(yield* inQueue, "open")
    }).pipe(Effect.provide(broker))
  )

  it.effect("may not claim once it is unregistered, until it registers again", () =>
    Effect.gen(function* () {
      yield* WorkerUseCases.registerWorker(registration)
      yield* submit("job-1")
      yield* claim
      yield* WorkerUseCases.unregisterWorker(id)
      assert.strictEqual(yield* statusOf("job-1"), "pending")
      assert.strictEqual(yield* inQueue, "gone")
      assert.deepEqual(yield* claim, [])
      yield* WorkerUseCases.registerWorker(registration)
      assert.deepEqual(yield* claim, ["job-1"])
    }).pipe(Effect.provide(broker))
  )
})

describe("while the queue is away", () => {
  it.effect("the wish of an operator is kept, and the queue follows it later", () =>
    Effect.gen(function* () {
      yield* WorkerUseCases.registerWorker(registration)
      yield* goAway(true)
      const error = yield* Effect.flip(WorkerUseCases.pauseWorker(id))
      assert.deepInclude(error, { _tag: "StorageError", unavailable: true })
      assert.strictEqual(yield* inRegistry, "paused")
      // What the registry knows is shown.
      assert.deepInclude(yield* WorkerQueries.getWorkerWithMetadata(id), { occupancy: "paused", current_jobs: null })
      yield* goAway(false)
      assert.strictEqual(yield* inQueue, "open")
      assert.deepStrictEqual(yield* WorkerStandings.reconcile, [id])
      assert.strictEqual(yield* inQueue, "paused")
      assert.deepStrictEqual(yield* WorkerStandings.reconcile, [])
    }).pipe(Effect.provide(broker))
  )

  it.effect("a worker registers, and is opened in the queue later", () =>
    Effect.gen(function* () {
      yield* WorkerUseCases.registerWorker(registration)
      yield* WorkerUseCases.unregisterWorker(id)
      yield* goAway(true)
      yield* WorkerUseCases.registerWorker(registration)
      yield* goAway(false)
      assert.strictEqual(yield* inQueue, "gone")
      assert.deepStrictEqual(yield* WorkerStandings.reconcile, [id])
      assert.strictEqual(yield* inQueue, "open")
    }).pipe(Effect.provide(broker))
  )

  it.effect("servers try on by themselves, soon and every half minute", () =>
    Effect.gen(function* () {
      const workers = yield* WorkerRepository
      const queue = yield* JobQueue
      yield* WorkerUseCases.registerWorker(registration)
      yield* workers.setStanding(id, "draining")
      yield* WorkerScheduler.startScheduledJobs
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* inQueue, "draining")
      // What the queue has lost, it is told again.
      yield* queue.setStanding(id, "open")
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* inQueue, "draining")
      yield* goAway(true)
      yield* workers.setStanding(id, "open")
      yield* TestClock.adjust("2 minutes")
      yield* goAway(false)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* inQueue, "open")
    }).pipe(Effect.scoped, Effect.provide(broker))
  )
})

describe("the queue follows the registry", () => {
  it.effect("and what it says of workers that are not registered stays", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const standing: ReadonlyArray<readonly [string, Standing, Standing]> = [
        ["stranger-1", "gone", "gone"],
        ["stranger-2", "paused", "gone"],
        ["worker-1", "draining", "open"]
      ]
      yield* WorkerUseCases.registerWorker(registration)
      for (const [which, told] of standing) yield* queue.setStanding(WorkerId.make(which), told)
      assert.sameMembers(
        [...(yield* WorkerStandings.reconcile)],
        [WorkerId.make("stranger-2"), WorkerId.make("worker-1")]
      )
      const now = yield* queue.standings
      for (const [which, , follows] of standing) {
        assert.strictEqual(now.get(WorkerId.make(which)) ?? "open", follows, which)
      }
    }).pipe(Effect.provide(broker))
  )

  it.effect("whichever of commands that overtake one another comes last", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const workers = yield* WorkerRepository
      yield* WorkerUseCases.registerWorker(registration)
      // Between the registry and the queue somebody else decides otherwise, and has told the queue already.
      const overtaken = JobQueue.of({
        ...queue,
        setStanding: (worker, standing) =>
          standing === "paused"
            ? Effect.andThen(
                Effect.orDie(Effect.andThen(workers.setStanding(id, "draining"), queue.setStanding(id, "draining"))),
                queue.setStanding(worker, standing)
              )
            : queue.setStanding(worker, standing)
      })
      yield* Effect.provideService(WorkerUseCases.pauseWorker(id), JobQueue, overtaken)
      assert.strictEqual(yield* inRegistry, "draining")
      assert.strictEqual(yield* inQueue, "draining")
    }).pipe(Effect.provide(broker))
  )
})
