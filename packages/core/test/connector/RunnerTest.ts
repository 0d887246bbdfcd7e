/** What the tests of the claim loop share: connectors, a runner, jobs, and time. */
import { Effect, Option, Ref } from "effect"
import { TestClock } from "effect/testing"
import type { ConnectorJob, RunningConnector } from "@muster/core/connector/Connector"
import type { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import * as Offering from "@muster/core/connector/runtime/Offering"
import * as JobRunner from "@muster/core/connector/runner/JobRunner"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { JobId, type JobRequest, request } from "@muster/core/job/Job"
import { type Capabilities, WorkerId } from "@muster/core/worker/Worker"

export const worker_id = WorkerId.make("worker-1")
export const id = JobId.make("job-1")

/** A connector whose work is what a test says, and which remembers how often it was stopped. */
export const aConnector = (work: (job: ConnectorJob) => Effect.Effect<unknown, ConnectorFailure>) =>
  Effect.gen(function* () {
    const stopped = yield* Ref.make(0)
    const connector: RunningConnector = {
      health: Effect.void,
      process: (job) => work(job).pipe(Effect.onInterrupt(() => Ref.update(stopped, (n) => n + 1)))
    }
    return { connector, stopped }
  })

export const runWith = (
  connector: RunningConnector,
  {
    capabilities = { job_types: ["simulation", "without-a-connector"] },
    ...over
  }: Partial<JobRunner.RunnerOptions> & { readonly capabilities?: Capabilities } = {}
) =>
  Effect.forkChild(
    JobRunner.run({
      worker_id,
      offering: Offering.fixed(capabilities, new Map([["simulation", connector]])),
      capacity: 1,
      ...over
    }),
    { startImmediately: true }
  )

/** Turns for fibers that hand work to one another, without any time passing. */
export const turns = Effect.replicateEffect(Effect.yieldNow, 50, { discard: true })

export const submit = (over: Partial<JobRequest> = {}, as: JobId = id) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    yield* queue.submit(as, request({ service_required: "simulation", ...over }))
    yield* turns
  })

export const jobNow = (which: JobId = id) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    return Option.getOrThrow(yield* queue.get(which))
  })

/** Time that passes in small steps, so that fibers which hand work to one another get their turns. */
export const pass = (milliseconds: number) =>
  Effect.replicateEffect(TestClock.adjust(milliseconds / 20), 20, { discard: true })
