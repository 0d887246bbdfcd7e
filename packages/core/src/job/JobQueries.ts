/** Reading jobs. */
import { Effect, Option } from "effect"
import { JobQueue, type ListRequest } from "./internal/JobQueue.ts"
import type { JobId } from "./Job.ts"
import { JobNotFound } from "./JobErrors.ts"

export const getJob = Effect.fn("JobQueries.getJob")(function* (id: JobId) {
  const queue = yield* JobQueue
  const found = yield* queue.get(id)
  if (Option.isNone(found)) return yield* new JobNotFound({ id })
  return found.value
})

/** The attempts of a job, oldest first; the last 100 of them. */
export const getJobAttempts = Effect.fn("JobQueries.getJobAttempts")(function* (id: JobId) {
  const queue = yield* JobQueue
  const found = yield* queue.attempts(id)
  if (Option.isNone(found)) return yield* new JobNotFound({ id })
  return found.value
})

/** A page of jobs, newest first. */
export const listJobs = Effect.fn("JobQueries.listJobs")(function* (request: ListRequest) {
  const queue = yield* JobQueue
  return yield* queue.list(request)
})
