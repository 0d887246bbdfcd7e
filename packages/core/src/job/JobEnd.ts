/** Waiting for the end of a job, however long that takes and whatever is lost on the way. */
import { type Duration, Effect, Option, Stream } from "effect"
import { EventFeed } from "../event/EventFeed.ts"
import { whileAway } from "../WhileAway.ts"
import { isFinished, type JobId } from "./Job.ts"
import { getJob } from "./JobQueries.ts"

const patientGetJob = (id: JobId) =>
  getJob(id).pipe(
    Effect.retry({ schedule: whileAway, while: (error) => error._tag === "StorageError" && error.unavailable })
  )

/** The job once it has ended. One that was retried by hand before anybody looked is waited for again. */
const ended = Effect.fnUntraced(function* (id: JobId) {
  const feed = yield* EventFeed
  while (true) {
    const last = yield* Stream.runLast(feed.watch(id))
    const isState = Option.isSome(last) && last.value._tag === "State"
    const job = isState ? last.value.job : yield* patientGetJob(id)
    if (isFinished(job.status)) return job
  }
})

/**
 * The job as it is at its end, or as it is when `within` has passed; without `within` it waits as long as it takes. A
 * job that has failed is at its end, although it can be retried by hand. Fails at once for a job that does not exist and
 * while the stores are away; an outage during the wait is waited out.
 */
export const awaitJob = Effect.fn("JobEnd.awaitJob")(function* (id: JobId, within?: Duration.Duration) {
  if (within === undefined) return yield* ended(id)
  const job = yield* Effect.timeoutOption(ended(id), within)
  return Option.isSome(job) ? job.value : yield* getJob(id)
})

/** The same as a stream: the job's state, and what happens to it until its end. */
export const watchJob = (id: JobId) => Stream.unwrap(Effect.map(EventFeed, (feed) => feed.watch(id)))
