/** Reading the registry. Source: document 004. */
import { Duration, Effect, Option } from "effect"
import { JobQueue } from "../job/internal/JobQueue.ts"
import type { JobId } from "../job/Job.ts"
import { HeartbeatStore } from "./internal/HeartbeatStore.ts"
import { type ListWorkers, WorkerRepository } from "./internal/WorkerRepository.ts"
import type { Occupancy, Worker, WorkerId, WorkerStanding, WorkerStatus, WorkerWithMetadata } from "./Worker.ts"
import { WorkerNotFound } from "./WorkerErrors.ts"

export const getWorker = Effect.fn("WorkerQueries.getWorker")(function* (id: WorkerId) {
  const workers = yield* WorkerRepository
  const found = yield* workers.find(id)
  if (Option.isNone(found)) return yield* new WorkerNotFound({ id })
  return found.value
})

/** Workers by id, of one status or of all. */
export const getWorkersByStatus = Effect.fn("WorkerQueries.getWorkersByStatus")(function* (status: WorkerStatus) {
  const workers = yield* WorkerRepository
  return yield* workers.list({ status })
})

export const getActiveWorkers = getWorkersByStatus("active")

export const getAllWorkers = Effect.fn("WorkerQueries.getAllWorkers")(function* () {
  const workers = yield* WorkerRepository
  return yield* workers.list({})
})

/** The last heartbeat; none is not an error. */
export const getLastHeartbeat = Effect.fn("WorkerQueries.getLastHeartbeat")(function* (id: WorkerId) {
  yield* getWorker(id)
  const heartbeats = yield* HeartbeatStore
  return yield* heartbeats.last(id)
})

/** The newest `limit` heartbeats, newest first. */
export const getHeartbeatHistory = Effect.fn("WorkerQueries.getHeartbeatHistory")(function* (
  id: WorkerId,
  limit: number
) {
  yield* getWorker(id)
  const heartbeats = yield* HeartbeatStore
  return yield* heartbeats.history(id, limit)
})

/** How long to wait for the queue: an operator needs the list of workers most when the queue is in trouble. */
const queueWithin = Duration.seconds(1)

const occupancyOf = (standing: WorkerStanding, jobs: ReadonlyArray<JobId> | null): Occupancy | null => {
  if (standing !== "open") return standing
  if (jobs === null) return null
  return jobs.length === 0 ? "idle" : "busy"
}

const withMetadata = Effect.fnUntraced(function* (workers: ReadonlyArray<Worker>) {
  const heartbeats = yield* HeartbeatStore
  const queue = yield* JobQueue
  const ids = workers.map(({ id }) => id)
  const asked = queue.heldBy(ids).pipe(
    Effect.timeoutOrElse({ duration: queueWithin, orElse: () => Effect.succeed(null) }),
    Effect.catchIf(
      (error) => error.unavailable,
      () => Effect.succeed(null)
    )
  )
  const [beats, held] = yield* Effect.all([heartbeats.lastOf(ids), asked], { concurrency: 2 })
  return workers.map((worker): WorkerWithMetadata => {
    const current_jobs = held === null ? null : (held.get(worker.id) ?? [])
    return {
      ...worker,
      last_heartbeat_at: beats.get(worker.id) ?? null,
      occupancy: occupancyOf(worker.standing, current_jobs),
      current_jobs
    }
  })
})

/** Workers with their last heartbeat, occupancy and current jobs: a page by id, of one status or of all. */
export const getWorkersWithMetadata = Effect.fn("WorkerQueries.getWorkersWithMetadata")(function* (
  request: ListWorkers = {}
) {
  const workers = yield* WorkerRepository
  return yield* withMetadata(yield* workers.list(request))
})

/** One worker with its last heartbeat, occupancy and current jobs. */
export const getWorkerWithMetadata = Effect.fn("WorkerQueries.getWorkerWithMetadata")(function* (id: WorkerId) {
  const [worker] = yield* withMetadata([yield* getWorker(id)])
  if (worker === undefined) return yield* new WorkerNotFound({ id })
  return worker
})
