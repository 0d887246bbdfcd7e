/**
 * Commands on workers. Each is one change; none of them waits for another process. Source: document 004.
 */
import { Duration, Effect, Option } from "effect"
import { InvalidStateTransition } from "../InvalidStateTransition.ts"
import { JobQueue } from "../job/internal/JobQueue.ts"
import * as CapabilityCheck from "./CapabilityCheck.ts"
import { HeartbeatStore } from "./internal/HeartbeatStore.ts"
import { WorkerRepository } from "./internal/WorkerRepository.ts"
import { MassLossBrake } from "./MassLossBrake.ts"
import { RegistrySettings } from "./RegistrySettings.ts"
import {
  afterUpdate,
  fromRegistration,
  type Worker,
  type WorkerId,
  type WorkerRegistration,
  type WorkerStanding,
  type WorkerStatus,
  type WorkerUpdate
} from "./Worker.ts"
import { WorkerNotFound } from "./WorkerErrors.ts"
import { getWorker } from "./WorkerQueries.ts"
import * as WorkerStandings from "./WorkerStandings.ts"

/** How long a worker that enrols waits until the queue knows that it may claim. */
const queueWithin = Duration.seconds(1)

/**
 * Tells the queue how a worker stands that has just enrolled: one that was unregistered before may claim again. The
 * registry has decided already, so a queue that is away refuses nobody; it is told when it is back.
 */
const enrolled = (worker: Worker) =>
  WorkerStandings.tell(worker.id, worker.standing).pipe(
    Effect.timeoutOption(queueWithin),
    Effect.ignore({ log: "Debug" }),
    Effect.as(worker)
  )

/** Adds a worker as pending and open. Of concurrent registrations of one id exactly one wins. */
export const registerWorker = Effect.fn("WorkerUseCases.registerWorker")(function* (registration: WorkerRegistration) {
  if (registration.capabilities !== undefined) yield* CapabilityCheck.check(registration.capabilities)
  const workers = yield* WorkerRepository
  return yield* enrolled(yield* workers.insert(fromRegistration(registration)))
})

/**
 * Puts a worker that came back, or whose offer changed, in place of its old record; a paused or draining one stays so.
 * Another instance under the same id is refused while the known one beats, and takes its place when it does not.
 */
export const updateWorker = Effect.fn("WorkerUseCases.updateWorker")(function* (id: WorkerId, update: WorkerUpdate) {
  yield* CapabilityCheck.check(update.capabilities)
  const workers = yield* WorkerRepository
  const { heartbeatTimeout } = yield* RegistrySettings
  const worker = yield* getWorker(id)
  const replaced = yield* workers.replace(afterUpdate(worker, update), {
    aliveWithin: heartbeatTimeout,
    gone: update.replaces ?? null
  })
  return yield* enrolled(replaced)
})

/**
 * Removes a worker, which can claim no more; the jobs it holds wait again without having used a retry. When the process
 * dies in between, the jobs come back by the end of their leases, and repeating the call hands them back at once.
 */
export const unregisterWorker = Effect.fn("WorkerUseCases.unregisterWorker")(function* (id: WorkerId) {
  const workers = yield* WorkerRepository
  const queue = yield* JobQueue
  const removed = yield* workers.remove(id)
  yield* WorkerStandings.tell(id, "gone")
  const returned = yield* queue.giveBackAll(id)
  if (!removed && returned.length === 0) return yield* new WorkerNotFound({ id })
})

/** The registry first: when the queue is away the call fails, and the queue follows the registry once it is back. */
const setStanding = Effect.fnUntraced(function* (id: WorkerId, standing: WorkerStanding) {
  const workers = yield* WorkerRepository
  const found = yield* workers.setStanding(id, standing)
  if (Option.isNone(found)) return yield* new WorkerNotFound({ id })
  yield* WorkerStandings.tell(id, standing)
  return found.value
})

/** The worker keeps the jobs it holds and is given no more, until it is resumed. Repeating it changes nothing. */
export const pauseWorker = Effect.fn("WorkerUseCases.pauseWorker")(function* (id: WorkerId) {
  return yield* setStanding(id, "paused")
})

/**
 * The worker is to become free, for good or until it is resumed: it is given no more jobs, and finishes those it holds
 * or, with `return`, has them handed back at once, without using a retry. Repeating it changes nothing; a call that
 * failed before the jobs were handed back has to be repeated for that.
 */
export const drainWorker = Effect.fn("WorkerUseCases.drainWorker")(function* (
  id: WorkerId,
  options: { readonly jobs: "finish" | "return" }
) {
  const worker = yield* setStanding(id, "draining")
  if (options.jobs === "return") {
    const queue = yield* JobQueue
    yield* queue.giveBackAll(id)
  }
  return worker
})

/** The worker is given jobs again. Repeating it changes nothing. */
export const resumeWorker = Effect.fn("WorkerUseCases.resumeWorker")(function* (id: WorkerId) {
  return yield* setStanding(id, "open")
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
