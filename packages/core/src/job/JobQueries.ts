/** Reading jobs, those that run and those that are history alike. */
import { Effect, Option, Struct } from "effect"
import { WorkerRepository } from "../worker/internal/WorkerRepository.ts"
import type { WorkerId } from "../worker/Worker.ts"
import type { ListRequest } from "./internal/JobQueue.ts"
import type { JobId } from "./Job.ts"
import { JobNotFound } from "./JobErrors.ts"
import * as JobHistory from "./JobHistory.ts"

export const getJob = Effect.fn("JobQueries.getJob")(function* (id: JobId) {
  const found = yield* JobHistory.findJob(id)
  if (Option.isNone(found)) return yield* new JobNotFound({ id })
  return found.value
})

/** The attempts of a job, oldest first; the last 100 of them. */
export const getJobAttempts = Effect.fn("JobQueries.getJobAttempts")(function* (id: JobId) {
  const found = yield* JobHistory.findAttempts(id)
  if (Option.isNone(found)) return yield* new JobNotFound({ id })
  return found.value
})

/** Which jobs: as the stores know them, or of a worker or machine by its name. */
export interface JobListRequest extends Omit<ListRequest, "workers"> {
  readonly worker_id?: WorkerId | undefined
  /** The workers that are registered on this machine now. */
  readonly machine_id?: string | undefined
}

/** Undefined stands for all. */
const workersMeant = Effect.fnUntraced(function* ({ machine_id, worker_id }: JobListRequest) {
  if (machine_id === undefined) return worker_id === undefined ? undefined : [worker_id]
  const workers = yield* WorkerRepository
  const there = yield* workers.onMachine(machine_id)
  return worker_id === undefined ? there : there.filter((id) => id === worker_id)
})

/** A page of jobs, newest first. */
export const listJobs = Effect.fn("JobQueries.listJobs")(function* (request: JobListRequest) {
  const workers = yield* workersMeant(request)
  if (workers?.length === 0) return { jobs: [], next_cursor: null, incomplete: false }
  return yield* JobHistory.listJobs({ ...Struct.omit(request, ["machine_id", "worker_id"]), workers })
})
