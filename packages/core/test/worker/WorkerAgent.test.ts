import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Exit, Fiber, Layer, Option, Ref } from "effect"
import { TestClock } from "effect/testing"
import type { RunningConnector } from "@muster/core/connector/Connector"
import type { ConnectorReport } from "@muster/core/connector/ConnectorReport"
import * as Offering from "@muster/core/connector/runtime/Offering"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobId, request } from "@muster/core/job/Job"
import { MassLossBrake } from "@muster/core/worker/MassLossBrake"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { RegistryAccess, RegistryUnreachable } from "@muster/core/worker/RegistryAccess"
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerAgent from "@muster/core/worker/WorkerAgent"
import * as WorkerQueries from "@muster/core/worker/WorkerQueries"
import * as WorkerScheduler from "@muster/core/worker/WorkerScheduler"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"

const broker = RegistryAccess.layerLocal.pipe(
  Layer.provideMerge(Layer.mergeAll(MemoryRegistry.layer, MemoryJobQueue.layer, MassLossBrake.layer))
)

const id = WorkerId.make("worker-1")
const instant: RunningConnector = { health: Effect.void, process: () => Effect.succeed("done") }

const start = (instance_id: string, over: Partial<WorkerAgent.AgentOptions> = {}) =>
  Effect.forkChild(
    WorkerAgent.run({
      registration: { id, region: "eu", capacity: 1, instance_id },
      offering: Offering.fixed({ job_types: ["simulation"] }, new Map([["simulation", instant]])),
      beatInterval: Duration.seconds(15),
      ...over
    }),
    { startImmediately: true }
  )

const instanceNow = Effect.map(WorkerQueries.getWorker(id), ({ instance_id }) => instance_id)

/** An offering whose only connector is what a test says. */
const anOffering = () => {
  const fixed = Offering.fixed({ job_types: ["simulation"] }, new Map([["simulation", instant]]))
  const listeners = new Set<() => void>()
  let report: ConnectorReport = {
    name: "TestConnector",
    status: "idle",
    since: DateTime.makeUnsafe(0),
    reason: null,
    job_types: ["simulation"]
  }
  const offering: Offering.Offering = {
    ...fixed,
    reports: () => [report],
    onChange: (notify) => {
      listeners.add(notify)
      return () => listeners.delete(notify)
    }
  }
  const become = (over: Partial<ConnectorReport>) =>
    Effect.sync(() => {
      report = { ...report, ...over }
      for (const notify of listeners) notify()
    })
  return { become, offering }
}

describe("WorkerAgent", () => {
  it.effect("tells the registry how its connectors are, once for what changes together, and not that they work", () =>
    Effect.gen(function* () {
      const registry = yield* RegistryAccess
      let updates = 0
      const counting = Layer.succeed(
        RegistryAccess,
        RegistryAccess.of({
          ...registry,
          update: (...args) => Effect.suspend(() => (updates++, registry.update(...args)))
        })
      )
      const { become, offering } = anOffering()
      yield* Effect.provide(start("one", { offering }), counting)
      yield* TestClock.adjust("2 seconds")
      const known = Effect.map(WorkerQueries.getWorker(id), ({ connectors, unhealthy_job_types }) => [
        connectors.map(({ reason, status }) => [status, reason]),
        unhealthy_job_types
      ])
      assert.deepStrictEqual([yield* known, updates], [[[["idle", null]], []], 0])

      yield* become({ status: "active" })
      yield* become({ status: "idle" })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(updates, 0)

      yield* become({ status: "error", reason: "first" })
      yield* become({ status: "error", reason: "ServiceUnavailable: away" })
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([yield* known, updates], [[[["error", "ServiceUnavailable: away"]], ["simulation"]], 1])
      yield* become({ status: "idle", reason: null })
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual([yield* known, updates], [[[["idle", null]], []], 2])
    }).pipe(Effect.provide(broker))
  )

  it.effect("registers, beats, becomes active and runs a job", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* start("one")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* WorkerScheduler.runAllChecks).activated, [id])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* WorkerQueries.getHeartbeatHistory(id, 100)).length, 5)
      yield* queue.submit(JobId.make("job"), request({ service_required: "simulation" }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(Option.getOrThrow(yield* queue.get(JobId.make("job"))).result, "done")
    }).pipe(Effect.provide(broker))
  )

  it.effect("leaves when it is stopped, and its successor comes in at once", () =>
    Effect.gen(function* () {
      const first = yield* start("one")
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.interrupt(first)
      assert.strictEqual((yield* WorkerQueries.getWorker(id)).status, "offline")
      assert.deepStrictEqual((yield* WorkerScheduler.runAllChecks).reactivated, [])
      yield* start("two")
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* instanceNow, "two")
    }).pipe(Effect.provide(broker))
  )

  it.effect("does not take the place of a living twin", () =>
    Effect.gen(function* () {
      yield* start("one")
      yield* TestClock.adjust("5 seconds")
      const twin = yield* start("two")
      yield* TestClock.adjust("30 seconds")
      const exit = yield* Fiber.await(twin)
      assert.isTrue(Exit.isFailure(exit))
      assert.include(String(exit), "LiveTwin")
      assert.strictEqual(yield* instanceNow, "one")
    }).pipe(Effect.provide(broker))
  )

  it.effect("takes the place of a dead one when its silence is long enough", () =>
    Effect.gen(function* () {
      yield* WorkerUseCases.registerWorker({ id, region: "eu", capacity: 1, instance_id: "dead" })
      yield* WorkerUseCases.recordHeartbeat(id)
      yield* start("two")
      yield* TestClock.adjust("58 seconds")
      assert.strictEqual(yield* instanceNow, "dead")
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* instanceNow, "two")
      assert.deepStrictEqual((yield* WorkerQueries.getWorker(id)).capabilities.job_types, ["simulation"])
    }).pipe(Effect.provide(broker))
  )

  it.effect("takes the place of one known to be gone at once", () =>
    Effect.gen(function* () {
      yield* WorkerUseCases.registerWorker({ id, region: "eu", capacity: 1, instance_id: "dead" })
      yield* WorkerUseCases.recordHeartbeat(id)
      yield* start("two", { isGone: (instance) => instance === "dead" })
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* instanceNow, "two")
    }).pipe(Effect.provide(broker))
  )

  it.effect("ends when it was replaced while it could not be heard", () =>
    Effect.gen(function* () {
      const cut = yield* Ref.make(false)
      const registry = yield* RegistryAccess
      const flaky = RegistryAccess.of({
        ...registry,
        beat: (which) =>
          Effect.flatMap(Ref.get(cut), (isCut) =>
            isCut ? Effect.fail(new RegistryUnreachable({ message: "cut off", cause: "test" })) : registry.beat(which)
          )
      })
      const frozen = yield* Effect.provideService(start("one"), RegistryAccess, flaky)
      yield* TestClock.adjust("20 seconds")
      yield* Ref.set(cut, true)
      yield* TestClock.adjust("2 minutes")
      yield* start("two")
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* instanceNow, "two")
      yield* Ref.set(cut, false)
      yield* TestClock.adjust("16 seconds")
      assert.include(String(yield* Fiber.await(frozen)), "LiveTwin")
      assert.strictEqual(yield* instanceNow, "two")
      assert.notStrictEqual((yield* WorkerQueries.getWorker(id)).status, "offline")
    }).pipe(Effect.provide(broker))
  )

  it.effect("registers again when the registry has forgotten it", () =>
    Effect.gen(function* () {
      yield* start("one")
      yield* TestClock.adjust("1 second")
      yield* WorkerUseCases.unregisterWorker(id)
      yield* TestClock.adjust("15 seconds")
      assert.strictEqual(yield* instanceNow, "one")
    }).pipe(Effect.provide(broker))
  )

  it.effect("waits for a registry that cannot be reached", () =>
    Effect.gen(function* () {
      const away = yield* Ref.make(true)
      const registry = yield* RegistryAccess
      const flaky = RegistryAccess.of({
        ...registry,
        register: (registration) =>
          Effect.flatMap(Ref.get(away), (isAway) =>
            isAway
              ? Effect.fail(new RegistryUnreachable({ message: "no route", cause: "test" }))
              : registry.register(registration)
          )
      })
      yield* Effect.provideService(start("one"), RegistryAccess, flaky)
      yield* TestClock.adjust("10 minutes")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(instanceNow)))
      yield* Ref.set(away, false)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* instanceNow, "one")
    }).pipe(Effect.provide(broker))
  )
})
