/**
 * Commands on workers. Each is one change; none of them waits for another process. Source: document 004.
 */
import { type Duration, Effect, Option } from "effect"
import { InvalidStateTransition } from "../InvalidStateTransition.ts"
import { JobQueue } from "../job/internal/JobQueue.ts"
import { HeartbeatStore } from "./internal/HeartbeatStore.ts"
import { WorkerRepository } from "./internal/WorkerRepository.ts"
import { MassLossBrake } from "./MassLossBrake.ts"
import { RegistrySettings } from "./RegistrySettings.ts"
import {
  afterUpdate,
  fromRegistration,
  type WorkerId,
  type WorkerRegistration,
  type WorkerStatus,
  type WorkerUpdate
} from "./Worker.ts"
import { InvalidConfiguration, WorkerNotFound } from "./WorkerErrors.ts"
import { getWorker } from "./WorkerQueries.ts"

const requireDistinct = (path: string, values: ReadonlyArray<string> | undefined) => {
  const twice = values?.find((value, at) => values.indexOf(value) !== at)
  return twice === undefined
    ? Effect.void
    : Effect.fail(new InvalidConfiguration({ path, detail: `${twice} is named twice` }))
}

/** Adds a worker as pending. Of concurrent registrations of one id exactly one wins. */
export const registerWorker = Effect.fn("WorkerUseCases.registerWorker")(function* (registration: WorkerRegistration) {
  yield* requireDistinct("capabilities.job_types", registration.capabilities?.job_types)
  const workers = yield* WorkerRepository
  return yield* workers.insert(fromRegistration(registration))
})

/**
 * Puts a worker that came back, or whose offer changed, in place of its old record. Another instance under the same
 * id is refused while the known one beats, and takes its place when it does not.
 */
export const updateWorker = Effect.fn("WorkerUseCases.updateWorker")(function* (id: WorkerId, update: WorkerUpdate) {
  yield* requireDistinct("capabilities.job_types", update.capabilities.job_types)
  const workers = yield* WorkerRepository
  const { heartbeatTimeout } = yield* RegistrySettings
  const worker = yield* getWorker(id)
  return yield* workers.replace(afterUpdate(worker, update), {
    aliveWithin: heartbeatTimeout,
    gone: update.replaces ?? null
  })
})

/**
 * Removes a worker; the jobs it holds wait again without having used a retry. When the process dies in between, the
 * jobs come back by the end of their leases, and repeating the call hands them back at once.
 */
export const unregisterWorker = Effect.fn("WorkerUseCases.unregisterWorker")(function* (id: WorkerId) {
  const workers = yield* WorkerRepository
  const queue = yield* JobQueue
  const removed = yield* workers.remove(id)
  const returned = yield* queue.giveBackAll(id)
  if (!removed && returned.length === 0) return yield* new WorkerNotFound({ id })
})

/**
 * Records that the worker is alive, by the store's clock. Changes no state: the scheduler does. Untraced: a fleet
 * beats thousands of times a second, and a span costs more than the rest of the call.
 */
export const recordHeartbeat = Effect.fnUntraced(function* (id: WorkerId) {
  const heartbeats = yield* HeartbeatStore
  yield* heartbeats.record(id)
})

/** Pending workers that have beaten become active. Returns their ids. */
export const activatePendingWorkers = Effect.fn("WorkerUseCases.activatePendingWorkers")(function* () {
  const workers = yield* WorkerRepository
  return yield* workers.activatePending
})

/**
 * Active workers that were silent for `timeout` become offline. Returns their ids: none when the mass-loss brake
 * holds.
 */
export const markStaleWorkersOffline = Effect.fn("WorkerUseCases.markStaleWorkersOffline")(function* (
  timeout: Duration.Duration
) {
  const workers = yield* WorkerRepository
  const brake = yield* MassLossBrake
  const report = yield* workers.markStale(timeout, yield* brake.rule(timeout))
  yield* brake.note(report)
  return report.marked
})

/** Offline workers heard from within `timeout` become active. Returns their ids. */
export const reactivateOfflineWorkers = Effect.fn("WorkerUseCases.reactivateOfflineWorkers")(function* (
  timeout: Duration.Duration
) {
  const workers = yield* WorkerRepository
  return yield* workers.reactivateOffline(timeout)
})

/**
 * Sets the status by hand. The same status is a no-op. The next checks judge by heartbeats again, so for a lasting
 * stop pause or drain the worker instead.
 */
export const updateWorkerStatus = Effect.fn("WorkerUseCases.updateWorkerStatus")(function* (
  id: WorkerId,
  status: WorkerStatus
) {
  const workers = yield* WorkerRepository
  const worker = yield* getWorker(id)
  if (worker.status === status) return worker
  if (!worker.canBecome(status)) {
    return yield* new InvalidStateTransition({ subject: "worker", id, from: worker.status, to: status })
  }
  const moved = yield* workers.move(id, worker.status, status)
  if (Option.isSome(moved)) return moved.value
  // Somebody else moved the worker between the two steps: judge again by what is stored now.
  const now = yield* getWorker(id)
  if (now.status === status) return now
  return yield* new InvalidStateTransition({ subject: "worker", id, from: now.status, to: status })
})
