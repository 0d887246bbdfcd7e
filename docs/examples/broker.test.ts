import { assert, it } from "@effect/vitest"
import { JobId, request } from "@muster/core/job/Job"
import * as JobQueries from "@muster/core/job/JobQueries"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerQueries from "@muster/core/worker/WorkerQueries"
import * as WorkerScheduler from "@muster/core/worker/WorkerScheduler"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import * as WorkerLayers from "@muster/impl/WorkerLayers"
import { Effect } from "effect"

const worker_id = WorkerId.make("gpu-1-worker-render-0")

it.effect("a worker registers, becomes active, and runs a job", () =>
  Effect.gen(function* () {
    yield* WorkerUseCases.registerWorker({
      id: worker_id,
      region: "eu-central",
      capacity: 1,
      capabilities: { job_types: ["render"] }
    })
    yield* WorkerUseCases.recordHeartbeat(worker_id)
    yield* WorkerScheduler.runAllChecks
    assert.strictEqual((yield* WorkerQueries.getActiveWorkers).length, 1)

    const { job, matching } = yield* JobUseCases.submitJob({
      id: JobId.make("poster"),
      request: request({ service_required: "render", payload: { scene: 7 } })
    })
    assert.deepStrictEqual(matching, { active: 1, registered: 1 })

    // What a worker does; WorkerAgent and JobRunner do it for you, with leases, retries and shutdown.
    const nonce = crypto.randomUUID()
    const [claimed] = yield* JobUseCases.claimJobs({
      worker_id,
      capabilities: { job_types: ["render"] },
      capacity: 1,
      limit: 1,
      nonce
    })
    assert(claimed?.id === job.id)
    const fence = { job_id: job.id, attempt: claimed.attempt, nonce }
    yield* JobUseCases.startJob(fence)
    yield* JobUseCases.completeJob(fence, { pixels: 42 })

    const finished = yield* JobQueries.getJob(job.id)
    assert.strictEqual(finished.status, "completed")
    assert.deepStrictEqual(finished.result, { pixels: 42 })
  }).pipe(Effect.provide(WorkerLayers.inMemory))
)
