/** Answers with a job when it has ended, as far as the caller and the server are ready to wait. */
import { EventFeed } from "@muster/core/event/EventFeed"
import { isFinished, type JobId } from "@muster/core/job/Job"
import * as JobQueries from "@muster/core/job/JobQueries"
import { type Duration, Effect, Latch, Stream } from "effect"
import { OpenRequests } from "../OpenRequests.ts"

/** The job at its end; or as it is when `wait` is over, or when the server stops. */
export const atEnd = Effect.fnUntraced(function* (id: JobId, wait: Duration.Duration) {
  const job = yield* JobQueries.getJob(id)
  if (isFinished(job.status)) return job
  const { watch } = yield* EventFeed
  const { admit } = yield* OpenRequests
  const stop = yield* Latch.make()
  yield* admit({ look: () => {}, end: () => stop.openUnsafe() })
  yield* Stream.runDrain(watch(id)).pipe(Effect.raceFirst(stop.await), Effect.timeoutOption(wait))
  return yield* JobQueries.getJob(id)
}, Effect.scoped)
