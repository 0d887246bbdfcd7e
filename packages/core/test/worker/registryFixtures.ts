/** What the contract suites of the registry share. They run on every layer, so they know the ports alone. */
import type { JobFacts } from "@muster/core/job/Matching"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { type NewWorker, WorkerId } from "@muster/core/worker/Worker"
import { type Duration, Effect, type Layer } from "effect"

/** A layer under test, and how time passes for its store. */
export interface RegistryUnderTest<R, E> {
  readonly layer: Layer.Layer<WorkerRepository | HeartbeatStore | R, E>
  readonly passTime: (duration: Duration.Input) => Effect.Effect<void, never, R>
}

export const worker = (id: string, over: Partial<NewWorker> = {}): NewWorker => ({
  id: WorkerId.make(id),
  region: "eu-1",
  capacity: 1,
  capabilities: { job_types: ["simulation"] },
  machine_id: null,
  worker_type: null,
  process_name: null,
  instance_id: null,
  unhealthy_job_types: [],
  connectors: [],
  ...over
})

/** What the matching rule reads of a job. */
export const facts = (service_required: string, over: Partial<JobFacts> = {}): JobFacts => ({
  service_required,
  requirements: {},
  customer_id: null,
  workflow_id: null,
  ...over
})

/** Ids in their order. */
export const ids = (prefix: string, count: number): ReadonlyArray<WorkerId> =>
  Array.from({ length: count }, (_, at) => WorkerId.make(`${prefix}-${String(at).padStart(3, "0")}`))

/** Tests share one store: each begins by emptying it. */
export const emptied = Effect.gen(function* () {
  const workers = yield* WorkerRepository
  for (const { id } of yield* workers.list({})) yield* workers.remove(id)
})

export const insertAll = Effect.fnUntraced(function* (which: ReadonlyArray<WorkerId>) {
  const workers = yield* WorkerRepository
  yield* Effect.forEach(which, (id) => workers.insert(worker(id)), { concurrency: 8, discard: true })
})

export const beatAll = Effect.fnUntraced(function* (which: ReadonlyArray<WorkerId>) {
  const heartbeats = yield* HeartbeatStore
  yield* Effect.forEach(which, heartbeats.record, { concurrency: "unbounded", discard: true })
})

/** Registered workers that have beaten and are active. */
export const activeFleet = Effect.fnUntraced(function* (which: ReadonlyArray<WorkerId>) {
  const workers = yield* WorkerRepository
  yield* insertAll(which)
  yield* beatAll(which)
  yield* workers.activatePending
})
