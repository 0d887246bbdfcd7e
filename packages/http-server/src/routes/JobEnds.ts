/** Answers with a job when it has ended, as far as the caller and the server are ready to wait. */
import { isFinished, type JobId } from "@muster/core/job/Job"
import * as JobEnd from "@muster/core/job/JobEnd"
import * as JobQueries from "@muster/core/job/JobQueries"
import { type Duration, Effect, Latch } from "effect"
import { OpenRequests } from "../OpenRequests.ts"

/** The job at its end; or as it is when `wait` is over, or when the server stops. */
export const atEnd = Effect.fnUntraced(function* (id: JobId, wait: Duration.Duration) {
  const job = yield* JobQueries.getJob(id)
  if (isFinished(job.status)) return job
  const { admit } = yield* OpenRequests
  const stop = yield* Latch.make()
  yield* admit({ look: () => {}, end: () => stop.openUnsafe() })
  return yield* Effect.raceFirst(JobEnd.awaitJob(id, wait), Effect.andThen(stop.await, JobQueries.getJob(id)))
}, Effect.scoped)
