import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger, Option, Ref } from "effect"
import { TestClock } from "effect/testing"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobId, request } from "@muster/core/job/Job"
import { holdsAtMost, MassLossBrake } from "@muster/core/worker/MassLossBrake"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { RegistrySettings } from "@muster/core/worker/RegistrySettings"
import { WorkerId, type WorkerRegistration } from "@muster/core/worker/Worker"
import * as WorkerQueries from "@muster/core/worker/WorkerQueries"
import * as WorkerScheduler from "@muster/core/worker/WorkerScheduler"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"

const broker = Layer.mergeAll(MemoryRegistry.layer, MemoryJobQueue.layer, MassLossBrake.layer)

const id = WorkerId.make("worker-1")
const timeout = Duration.seconds(60)

const register = (over: Partial<WorkerRegistration> = {}) =>
  WorkerUseCases.registerWorker({
    id,
    region: "eu-1",
    capacity: 1,
    capabilities: { job_types: ["simulation"] },
    ...over
  })

const statusOf = (which: WorkerId = id) => Effect.map(WorkerQueries.getWorker(which), ({ status }) => status)

const activeFleet = (size: number) =>
  Effect.forEach(
    Array.from({ length: size }, (_, at) => WorkerId.make(`worker-${at}`)),
    (which) => Effect.andThen(register({ id: which }), WorkerUseCases.recordHeartbeat(which))
  ).pipe(Effect.andThen(WorkerUseCases.activatePendingWorkers()))

describe("a worker's life", () => {
  it.effect("is pending until it has beaten and a check has run", () =>
    Effect.gen(function* () {
      yield* register()
      yield* WorkerScheduler.runAllChecks
      assert.strictEqual(yield* statusOf(), "pending")
      yield* WorkerUseCases.recordHeartbeat(id)
      assert.strictEqual(yield* statusOf(), "pending")
      const { activated } = yield* WorkerScheduler.runAllChecks
      assert.deepStrictEqual(activated, [id])
      assert.strictEqual(yield* statusOf(), "active")
    }).pipe(Effect.provide(broker))
  )

  it.effect("goes offline in silence and comes back with a beat", () =>
    Effect.gen(function* () {
      yield* activeFleet(1)
      const first = WorkerId.make("worker-0")
      yield* TestClock.adjust("61 seconds")
      assert.deepStrictEqual((yield* WorkerScheduler.runAllChecks).markedOffline, [first])
      yield* WorkerUseCases.recordHeartbeat(first)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* statusOf(first), "offline")
      yield* WorkerUseCases.recordHeartbeat(first)
      assert.deepStrictEqual((yield* WorkerScheduler.runAllChecks).reactivated, [first])
    }).pipe(Effect.provide(broker))
  )

  it.effect("follows the three fibers by their own periods", () =>
    Effect.gen(function* () {
      yield* WorkerScheduler.startScheduledJobs
      yield* TestClock.adjust("1 millis")
      yield* register()
      yield* WorkerUseCases.recordHeartbeat(id)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* statusOf(), "pending")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* statusOf(), "active")
      yield* TestClock.adjust("80 seconds")
      assert.strictEqual(yield* statusOf(), "offline")
      yield* WorkerUseCases.recordHeartbeat(id)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* statusOf(), "active")
    }).pipe(Effect.scoped, Effect.provide(broker))
  )

  it.effect("forgets single beats by age, never the last", () =>
    Effect.gen(function* () {
      yield* WorkerScheduler.startScheduledJobs
      yield* register()
      yield* WorkerUseCases.recordHeartbeat(id)
      yield* TestClock.adjust("5 minutes")
      yield* WorkerUseCases.recordHeartbeat(id)
      assert.strictEqual((yield* WorkerQueries.getHeartbeatHistory(id, 10)).length, 2)
      yield* TestClock.adjust("58 minutes")
      assert.strictEqual((yield* WorkerQueries.getHeartbeatHistory(id, 10)).length, 1)
      yield* TestClock.adjust("3 hours")
      assert.isTrue(Option.isSome(yield* WorkerQueries.getLastHeartbeat(id)))
    }).pipe(
      Effect.scoped,
      Effect.provideService(RegistrySettings, {
        activationInterval: Duration.seconds(10),
        staleInterval: Duration.seconds(30),
        reactivationInterval: Duration.seconds(30),
        heartbeatTimeout: timeout,
        heartbeatHistory: Duration.hours(1)
      }),
      Effect.provide(broker)
    )
  )

  it.effect("allows by hand what the table allows, and nothing else", () =>
    Effect.gen(function* () {
      yield* register()
      assert.strictEqual((yield* WorkerUseCases.updateWorkerStatus(id, "pending")).status, "pending")
      assert.strictEqual((yield* WorkerUseCases.updateWorkerStatus(id, "offline")).status, "offline")
      const refused = yield* Effect.flip(WorkerUseCases.updateWorkerStatus(id, "pending"))
      assert.strictEqual(refused._tag, "InvalidStateTransition")
      assert.strictEqual((yield* WorkerUseCases.updateWorkerStatus(id, "active")).status, "active")
      const unknown = yield* Effect.flip(WorkerUseCases.updateWorkerStatus(WorkerId.make("nobody"), "active"))
      assert.strictEqual(unknown._tag, "WorkerNotFound")
    }).pipe(Effect.provide(broker))
  )

  it.effect("gives its jobs back when it is unregistered, without using a retry", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const job_id = JobId.make("job-1")
      yield* register()
      yield* queue.submit(job_id, request({ service_required: "simulation" }))
      yield* queue.claim({
        worker_id: id,
        capabilities: { job_types: ["simulation"] },
        capacity: 1,
        limit: 1,
        nonce: "n"
      })
      assert.deepStrictEqual((yield* WorkerQueries.getWorkerWithMetadata(id)).current_jobs, [job_id])
      assert.strictEqual((yield* WorkerQueries.getWorkerWithMetadata(id)).occupancy, "busy")
      yield* WorkerUseCases.unregisterWorker(id)
      const job = Option.getOrThrow(yield* queue.get(job_id))
      assert.deepStrictEqual([job.status, job.retry_count, job.worker_id], ["pending", 0, null])
      assert.strictEqual((yield* Effect.flip(WorkerUseCases.unregisterWorker(id)))._tag, "WorkerNotFound")
    }).pipe(Effect.provide(broker))
  )

  it.effect("has its labels filled in, its own words first", () =>
    Effect.gen(function* () {
      const worker = yield* register({
        capabilities: {
          job_types: ["simulation"],
          hardware: { gpu_count: 2 },
          labels: { tier: "gold", machine_id: "mine" }
        },
        metadata: { machine_id: "machine-7", worker_type: "simulation" }
      })
      assert.deepStrictEqual(worker.capabilities.labels, {
        machine_type: "gpu",
        worker_type: "simulation",
        machine_id: "mine",
        tier: "gold",
        region: "eu-1"
      })
    }).pipe(Effect.provide(broker))
  )

  it.effect("moves to another machine with what it says of itself, and keeps that when it says nothing", () =>
    Effect.gen(function* () {
      const metadata = { machine_id: "machine-1", worker_type: "simulation", process_name: "p-0" }
      yield* register({ metadata, instance_id: "one" })
      const update = { region: "eu-1", capacity: 1, capabilities: { job_types: ["simulation"] }, instance_id: "one" }
      const same = yield* WorkerUseCases.updateWorker(id, update)
      assert.deepInclude(same, metadata)
      assert.deepInclude(same.capabilities.labels, { machine_id: "machine-1", worker_type: "simulation" })
      const moved = yield* WorkerUseCases.updateWorker(id, { ...update, metadata: { machine_id: "machine-2" } })
      assert.deepInclude(moved, { machine_id: "machine-2", worker_type: null, process_name: null })
      assert.deepStrictEqual(moved.capabilities.labels, {
        machine_type: "api",
        machine_id: "machine-2",
        region: "eu-1"
      })
    }).pipe(Effect.provide(broker))
  )

  it.effect("has what was measured rounded down", () =>
    Effect.gen(function* () {
      const hardware = { gpu_count: 2, gpu_memory_gb: 23.988, cpu_cores: 15.5, ram_gb: 0.4 }
      const worker = yield* register({ capabilities: { job_types: [], hardware } })
      assert.deepStrictEqual(worker.capabilities.hardware, {
        gpu_count: 2,
        gpu_memory_gb: 23,
        cpu_cores: 15,
        ram_gb: 0
      })
    }).pipe(Effect.provide(broker))
  )

  for (const [what, capabilities, message] of [
    ["name a job type twice", { job_types: ["a", "b", "a"] }, "capabilities.job_types: a is named twice"],
    ["name a model twice", { models: ["a", "a"] }, "capabilities.models: a is named twice"],
    ["say a label twice", { labels: { x: ["1", 1, true, 1] } }, "capabilities.labels.x: 1 is named twice"],
    ["allow a customer twice", { customers: { allow: ["a", "a"] } }, "capabilities.customers.allow: a is named twice"],
    ["deny a customer twice", { customers: { deny: ["a", "a"] } }, "capabilities.customers.deny: a is named twice"],
    [
      "allow a customer and deny it",
      { customers: { allow: ["a", "b"], deny: ["c", "b"] } },
      "capabilities.customers: b is both allowed and denied"
    ]
  ] as const) {
    it.effect(`may not ${what}`, () =>
      Effect.gen(function* () {
        const offer = { job_types: [], ...capabilities }
        const error = yield* Effect.flip(register({ capabilities: offer }))
        assert.strictEqual(error._tag, "InvalidConfiguration")
        assert.strictEqual(error.message, message)
        yield* register()
        const update = { region: "eu-1", capacity: 1, capabilities: offer, instance_id: "one" }
        assert.strictEqual((yield* Effect.flip(WorkerUseCases.updateWorker(id, update))).message, message)
      }).pipe(Effect.provide(broker))
    )
  }
})

describe("the mass-loss brake", () => {
  it.effect("marks nobody when a fleet falls silent at once, three checks long, and says so", () =>
    Effect.gen(function* () {
      const alerts = yield* Ref.make<ReadonlyArray<string>>([])
      const alarm = Logger.make(({ logLevel, message }) => {
        if (logLevel === "Error") Effect.runSync(Ref.update(alerts, (all) => [...all, String(message)]))
      })
      yield* activeFleet(6)
      yield* TestClock.adjust("61 seconds")
      const checks = yield* Effect.replicateEffect(
        WorkerUseCases.markStaleWorkersOffline(timeout),
        holdsAtMost + 1
      ).pipe(Effect.provide(Logger.layer([alarm])))
      assert.deepStrictEqual(
        checks.map((ids) => ids.length),
        [0, 0, 0, 6]
      )
      assert.strictEqual((yield* Ref.get(alerts)).length, holdsAtMost)
    }).pipe(Effect.provide(broker))
  )

  it.effect("does not hold while somebody is heard", () =>
    Effect.gen(function* () {
      yield* activeFleet(6)
      yield* TestClock.adjust("55 seconds")
      yield* WorkerUseCases.recordHeartbeat(WorkerId.make("worker-0"))
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* WorkerUseCases.markStaleWorkersOffline(timeout)).length, 5)
    }).pipe(Effect.provide(broker))
  )

  it.effect("counts anew after a check in which it did not hold", () =>
    Effect.gen(function* () {
      yield* activeFleet(6)
      const check = WorkerUseCases.markStaleWorkersOffline(timeout)
      const beatAll = Effect.forEach([0, 1, 2, 3, 4, 5], (at) =>
        WorkerUseCases.recordHeartbeat(WorkerId.make(`worker-${at}`))
      )
      yield* TestClock.adjust("61 seconds")
      yield* Effect.replicateEffect(check, holdsAtMost)
      yield* beatAll
      yield* check
      yield* TestClock.adjust("61 seconds")
      assert.deepStrictEqual(yield* check, [])
      assert.strictEqual(yield* statusOf(WorkerId.make("worker-3")), "active")
    }).pipe(Effect.provide(broker))
  )
})
