import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobId, request } from "@muster/core/job/Job"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import { RepositoryError } from "@muster/core/worker/WorkerErrors"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"

const stores = Layer.mergeAll(MemoryRegistry.layer, MemoryJobQueue.layer)
const job = { id: JobId.make("job-1"), request: request({ service_required: "render" }) }
const registryAway = Layer.mock(WorkerRepository, {
  accepting: () =>
    Effect.fail(
      new RepositoryError({ operation: "WorkerRepository.accepting", detail: "away", unavailable: true, cause: "test" })
    )
})

describe("submitting a job", () => {
  it.effect("says how many workers accept it, and rejects only a job that asks for it", () =>
    Effect.gen(function* () {
      const picky = { ...job, if_unmatchable: "reject" } as const
      assert.strictEqual((yield* Effect.flip(JobUseCases.submitJob(picky)))._tag, "NotMatchable")
      assert.deepStrictEqual((yield* JobUseCases.submitJob(job)).matching, { active: 0, registered: 0 })
      // Accepted once, it stays accepted.
      assert.isFalse((yield* JobUseCases.submitJob(picky)).created)
      yield* WorkerUseCases.registerWorker({
        id: WorkerId.make("worker-1"),
        region: "eu",
        capacity: 1,
        capabilities: { job_types: ["render"] }
      })
      const other = yield* JobUseCases.submitJob({ ...picky, id: JobId.make("job-2") })
      assert.deepStrictEqual(other.matching, { active: 0, registered: 1 })
    }).pipe(Effect.provide(stores))
  )

  it.effect("gives a job without an id one of its own", () =>
    Effect.gen(function* () {
      const first = yield* JobUseCases.submitJob({ request: job.request })
      const second = yield* JobUseCases.submitJob({ request: job.request })
      assert.notStrictEqual(first.job.id, second.job.id)
    }).pipe(Effect.provide(stores))
  )

  it.effect("does not wait for a registry that does not answer", () =>
    Effect.gen(function* () {
      const submitting = yield* Effect.forkChild(JobUseCases.submitJob(job))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(submitting)).matching, null)
    }).pipe(
      Effect.provide(
        Layer.mergeAll(Layer.mock(WorkerRepository, { accepting: () => Effect.never }), MemoryJobQueue.layer)
      )
    )
  )

  it.effect("needs the registry only for a job that asks to be rejected", () =>
    Effect.gen(function* () {
      const { created, matching } = yield* JobUseCases.submitJob(job)
      assert.deepStrictEqual([created, matching], [true, null])
      const refused = yield* Effect.flip(JobUseCases.submitJob({ ...job, if_unmatchable: "reject" }))
      assert.strictEqual(refused._tag, "RepositoryError")
    }).pipe(Effect.provide(Layer.mergeAll(registryAway, MemoryJobQueue.layer)))
  )
})
