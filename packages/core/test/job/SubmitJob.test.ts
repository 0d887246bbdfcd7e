import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobId, request } from "@muster/core/job/Job"
import type { JobFacts } from "@muster/core/job/Matching"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import { RepositoryError } from "@muster/core/worker/WorkerErrors"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"

const jobs = Layer.mergeAll(MemoryJobQueue.layer, JobArchive.layerNone)
const stores = Layer.mergeAll(MemoryRegistry.layer, jobs)
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
    }).pipe(Effect.provide(Layer.mergeAll(Layer.mock(WorkerRepository, { accepting: () => Effect.never }), jobs)))
  )

  it.effect("together is all or nothing, also for jobs that ask to be rejected", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const plain = { request: request({ service_required: "anything" }) }
      const choosy = { ...job, if_unmatchable: "reject" } as const
      const refused = yield* Effect.flip(JobUseCases.submitJobs([plain, choosy]))
      assert.deepInclude(refused, { _tag: "NotMatchable", service_required: "render", type_accepted: false })
      assert.deepStrictEqual((yield* queue.list({ limit: 10 })).jobs, [])

      yield* JobUseCases.submitJob(job)
      // Accepted once, it stays accepted; another job of its type is not.
      const [first, second] = yield* JobUseCases.submitJobs([plain, choosy])
      assert.isTrue(first?.created)
      assert.deepStrictEqual(second, { id: job.id, created: false })
      const another = yield* Effect.flip(JobUseCases.submitJobs([choosy, { ...choosy, id: JobId.make("job-2") }]))
      assert.strictEqual(another._tag, "NotMatchable")
      const nameless = yield* Effect.flip(JobUseCases.submitJobs([{ ...choosy, id: undefined }]))
      assert.strictEqual(nameless._tag, "NotMatchable")
    }).pipe(Effect.provide(stores))
  )

  it.effect("says whether its job type or its requirements are what nobody meets", () =>
    Effect.gen(function* () {
      const picky = { ...job, if_unmatchable: "reject" } as const
      const large = { ...picky, request: { ...job.request, requirements: { hardware: { gpu_memory_gb: 80 } } } }
      const nobody = yield* Effect.flip(JobUseCases.submitJob(large))
      assert.strictEqual(nobody.message, "no registered worker accepts render")
      yield* WorkerUseCases.registerWorker({
        id: WorkerId.make("worker-1"),
        region: "eu",
        capacity: 1,
        capabilities: { job_types: ["render"], hardware: { gpu_memory_gb: 24 } }
      })
      const [alone, together] = [
        JobUseCases.submitJob(large),
        JobUseCases.submitJobs([picky, { ...large, id: JobId.make("job-2") }])
      ]
      for (const refused of [Effect.asVoid(alone), Effect.asVoid(together)]) {
        const error = yield* Effect.flip(refused)
        assert.deepInclude(error, { _tag: "NotMatchable", service_required: "render", type_accepted: true })
        assert.include(error.message, "its requirements are not met")
      }
      const labelled = { ...picky, request: { ...job.request, requirements: { labels: { region: "eu" } } } }
      assert.deepStrictEqual((yield* JobUseCases.submitJob(labelled)).matching, { active: 0, registered: 1 })
    }).pipe(Effect.provide(stores))
  )

  it.effect("together asks the registry once for each class of jobs, and only where a job asks for it", () => {
    const asked: Array<JobFacts> = []
    const registry = Layer.mock(WorkerRepository, {
      accepting: (facts) => {
        asked.push(facts)
        return Effect.succeed({ active: 1, registered: 1 })
      }
    })
    return Effect.gen(function* () {
      const submission = (
        service_required: string,
        if_unmatchable: "wait" | "reject",
        over: Partial<JobFacts> = {}
      ) => ({ request: request({ service_required, ...over }), if_unmatchable })
      const [two, equal] = [{ models: ["x", "y"] }, { models: ["y", "x"], labels: {} }]
      const submitted = yield* JobUseCases.submitJobs([
        submission("b", "reject"),
        submission("a", "reject", { requirements: two }),
        submission("c", "wait"),
        submission("b", "reject"),
        submission("b", "wait", { requirements: two }),
        submission("a", "reject", { requirements: equal }),
        submission("a", "reject", { customer_id: "acme" }),
        submission("a", "reject", { workflow_id: "acme" })
      ])
      assert.deepStrictEqual(
        asked.map(({ customer_id, requirements, service_required, workflow_id }) => [
          service_required,
          requirements,
          customer_id,
          workflow_id
        ]),
        [
          ["b", {}, null, null],
          ["a", two, null, null],
          ["a", {}, "acme", null],
          ["a", {}, null, "acme"]
        ]
      )
      assert.strictEqual(new Set(submitted.map(({ id }) => id)).size, 8)
      const queue = yield* JobQueue
      const { jobs } = yield* queue.list({ limit: 10 })
      assert.deepStrictEqual(
        jobs.map(({ job }) => job.id).toReversed(),
        submitted.map(({ id }) => id)
      )
    }).pipe(Effect.provide(Layer.mergeAll(registry, jobs)))
  })

  it.effect("together needs no registry while no job asks for it", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* JobUseCases.submitJobs([job])).length, 1)
    }).pipe(Effect.provide(Layer.mergeAll(registryAway, jobs)))
  )

  it.effect("needs the registry only for a job that asks to be rejected", () =>
    Effect.gen(function* () {
      const { created, matching } = yield* JobUseCases.submitJob(job)
      assert.deepStrictEqual([created, matching], [true, null])
      const refused = yield* Effect.flip(JobUseCases.submitJob({ ...job, if_unmatchable: "reject" }))
      assert.strictEqual(refused._tag, "RepositoryError")
    }).pipe(Effect.provide(Layer.mergeAll(registryAway, jobs)))
  )
})
