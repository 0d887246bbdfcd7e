/**
 * The life of one job as a stream that can be taken up again: its state, each event, and the job as it ended. To wait
 * within a process `JobEnd` is enough; this is for readers that lose their connection and come back.
 */
import { Effect, Option, Stream } from "effect"
import { isFinished, type Job, type JobId } from "../job/Job.ts"
import type { JobNotFound, StorageError } from "../job/JobErrors.ts"
import * as JobQueries from "../job/JobQueries.ts"
import { isMeant } from "./Event.ts"
import { compare, type EventCursor } from "./EventCursor.ts"
import { CursorLost } from "./EventErrors.ts"
import { EventFeed, type FeedItem } from "./EventFeed.ts"
import { EventLog } from "./internal/EventLog.ts"

export type JobEvent =
  | FeedItem
  /** The job as it is: at first, and again when events were lost. Later events come after `cursor`. */
  | { readonly _tag: "Snapshot"; readonly job: Job; readonly cursor: EventCursor }
  /** The last one. */
  | { readonly _tag: "End"; readonly job: Job }

type Needs = EventFeed | EventLog | Effect.Services<ReturnType<typeof JobQueries.getJob>>
type Life = Stream.Stream<JobEvent, JobNotFound | StorageError, Needs>

const pageSize = 1_000

/**
 * Events, of whatever job, that are looked at for one reader that comes back. The log may have millions between a job's
 * last event and now, and after a restart all readers come back at once.
 */
export const lookedAt = 20_000

/** What the log has about a job, after one cursor and up to another; `CursorLost` also when they lie too far apart. */
const between = (id: JobId, after: EventCursor, until: EventCursor) => {
  let seen = 0
  return Stream.paginate(after, (from) =>
    Effect.gen(function* () {
      if (seen >= lookedAt) return yield* new CursorLost({ cursor: after, why: "trimmed" })
      const log = yield* EventLog
      const { events, position } = yield* log.read({ after: from, limit: pageSize })
      seen += events.length
      const meant = events.filter((event) => isMeant(event, { job_id: id }) && compare(event.cursor, until) <= 0)
      const isThrough = events.length === 0 || compare(position, until) >= 0
      return [
        meant.map((event): JobEvent => ({ _tag: "Event", event })),
        isThrough ? Option.none() : Option.some(position)
      ] as const
    })
  )
}

/** After `last` in place of the first state, as far as the log goes back and is looked at. A job that starts over is told on. */
const life = (id: JobId, last: EventCursor | undefined): Life => {
  let from = last
  return Stream.unwrap(Effect.map(EventFeed, ({ watch }) => watch(id))).pipe(
    Stream.flatMap((change): Life => {
      if (change._tag === "Event") return Stream.succeed(change)
      const { cursor, job } = change
      const snapshot = { _tag: "Snapshot", job, cursor } as const
      if (from === undefined) return Stream.succeed(snapshot)
      const missed = between(id, from, cursor)
      from = undefined
      return Stream.catchTag(missed, "CursorLost", () =>
        Stream.make<[JobEvent, JobEvent]>({ _tag: "Reset", position: cursor }, snapshot)
      )
    }),
    Stream.concat(Stream.unwrap(Effect.map(JobQueries.getJob(id), ending)))
  )
}

const ending = (job: Job): Life =>
  isFinished(job.status) ? Stream.succeed({ _tag: "End", job }) : life(job.id, undefined)

/**
 * The life of a job from its state on, or, for a reader that knows all up to `last`, from there on: with a `Reset` and
 * the state when the log does not go back so far, or too much happened since. Fails before the stream begins when there is no such job.
 */
export const follow = (id: JobId, last?: EventCursor) => Effect.as(JobQueries.getJob(id), life(id, last))
