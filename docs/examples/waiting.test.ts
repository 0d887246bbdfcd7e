import { assert, it } from "@effect/vitest"
import { EventFeed } from "@muster/core/event/EventFeed"
import { request } from "@muster/core/job/Job"
import * as JobEnd from "@muster/core/job/JobEnd"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerLayers from "@muster/impl/WorkerLayers"
import { Duration, Effect, Fiber, Stream } from "effect"

/** What a worker does: takes one job and completes it. */
const work = Effect.gen(function* () {
  const nonce = crypto.randomUUID()
  const [job] = yield* JobUseCases.claimJobs({
    worker_id: WorkerId.make("gpu-1-worker-render-0"),
    capabilities: { job_types: ["render"] },
    capacity: 1,
    limit: 1,
    nonce
  })
  assert(job !== undefined)
  const fence = { job_id: job.id, attempt: job.attempt, nonce }
  yield* JobUseCases.startJob(fence)
  yield* JobUseCases.reportProgress(fence, { percent: 50, message: "half way" })
  yield* JobUseCases.completeJob(fence, { pixels: 42 })
})

it.effect("waits for a job, and follows what happens", () =>
  Effect.gen(function* () {
    const feed = yield* EventFeed
    const { job } = yield* JobUseCases.submitJob({ request: request({ service_required: "render" }) })

    // The job at its end, or as it is after a minute.
    const waiting = yield* Effect.forkChild(JobEnd.awaitJob(job.id, Duration.minutes(1)), { startImmediately: true })

    // The same, step by step: its state first, then each event, up to its end.
    const watching = yield* JobEnd.watchJob(job.id).pipe(
      Stream.map((change) => (change._tag === "State" ? `is ${change.job.status}` : change.event.type)),
      Stream.runCollect,
      Effect.forkChild({ startImmediately: true })
    )

    // Events of many jobs, from now on; `after` resumes behind an event that is known.
    const following = yield* feed.follow({ filter: { types: ["job.completed"], service_required: "render" } }).pipe(
      Stream.map((item) => (item._tag === "Event" ? item.event.job_id : "look at state again")),
      Stream.take(1),
      Stream.runCollect,
      Effect.forkChild({ startImmediately: true })
    )

    yield* work

    const ended = yield* Fiber.join(waiting)
    assert.strictEqual(ended.status, "completed")
    assert.deepStrictEqual(ended.result, { pixels: 42 })
    assert.deepStrictEqual(yield* Fiber.join(watching), [
      "is pending",
      "job.assigned",
      "job.started",
      "job.progress",
      "job.completed"
    ])
    assert.deepStrictEqual(yield* Fiber.join(following), [job.id])
  }).pipe(Effect.provide(WorkerLayers.inMemory))
)
