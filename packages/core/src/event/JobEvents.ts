/**
 * The life of one job as a stream that can be taken up again: its state, each event, and the job as it ended. To wait
 * within a process `EventFeed.watch` is enough; this is for readers that lose their connection and come back.
 */
import { Effect, Option, Stream } from "effect"
import { JobQueue } from "../job/internal/JobQueue.ts"
import { isFinished, type Job, type JobId } from "../job/Job.ts"
import type { JobNotFound, StorageError } from "../job/JobErrors.ts"
import * as JobQueries from "../job/JobQueries.ts"
import { type Event, isMeant } from "./Event.ts"
import { compare, type EventCursor } from "./EventCursor.ts"
import { EventFeed, type FeedItem } from "./EventFeed.ts"
import { EventLog } from "./internal/EventLog.ts"

export type JobEvent =
  | FeedItem
  /** The job as it is: at first, and again when events were lost. Later events come after `cursor`. */
  | { readonly _tag: "Snapshot"; readonly job: Job; readonly cursor: EventCursor | undefined }
  /** The last one. */
  | { readonly _tag: "End"; readonly job: Job }

type Life = Stream.Stream<JobEvent, JobNotFound | StorageError, JobEnvironment>
type JobEnvironment = EventFeed | EventLog | Effect.Services<ReturnType<typeof JobQueries.getJob>> | JobQueue

const pageSize = 1_000

const asItem = (event: Event): JobEvent => ({ _tag: "Event", event })

const isEnd = ({ status }: Event): boolean => status !== undefined && isFinished(status)

/** What the log has about a job, after one cursor and up to another. */
const between = (id: JobId, after: EventCursor, until: EventCursor) =>
  Stream.paginate(after, (from) =>
    Effect.gen(function* () {
      const log = yield* EventLog
      const { events, position } = yield* log.read({ after: from, limit: pageSize })
      const meant = events.filter((event) => isMeant(event, { job_id: id }) && compare(event.cursor, until) <= 0)
      const isThrough = events.length === 0 || compare(position, until) >= 0
      return [meant.map(asItem), isThrough ? Option.none() : Option.some(position)] as const
    })
  )

/** From its state on. A job that starts over right after its end is told on. */
const fromState = (id: JobId): Life =>
  Stream.unwrap(Effect.map(EventFeed, ({ watch }) => watch(id))).pipe(
    Stream.map((change): JobEvent =>
      change._tag === "State" ? { _tag: "Snapshot", job: change.job, cursor: change.cursor } : change
    ),
    Stream.concat(ending(id))
  )

const ending = (id: JobId): Life =>
  Stream.unwrap(
    Effect.map(JobQueries.getJob(id), (job): Life =>
      isFinished(job.status) ? Stream.succeed({ _tag: "End", job }) : fromState(id)
    )
  )

const begin = (job: Job): Life =>
  isFinished(job.status)
    ? Stream.make<[JobEvent, JobEvent]>({ _tag: "Snapshot", job, cursor: undefined }, { _tag: "End", job })
    : fromState(job.id)

/** Goes on after `last`; the job did not finish before `position`. */
const goOn = (id: JobId, last: EventCursor, position: EventCursor): Life => {
  let wasReset = false
  return Stream.unwrap(Effect.map(EventFeed, ({ follow }) => follow({ after: last, filter: { job_id: id } }))).pipe(
    Stream.takeUntil((item) => {
      wasReset = item._tag === "Reset"
      return item._tag === "Reset" || (isEnd(item.event) && compare(item.event.cursor, position) > 0)
    }),
    Stream.concat(Stream.suspend(() => (wasReset ? fromState(id) : ending(id))))
  )
}

/**
 * The life of a job from its state on, or, for a reader that knows all up to `last`, from there on: a `Reset` and the
 * state when the log does not go back so far. Fails before the stream begins when there is no such job.
 */
export const follow = Effect.fn("JobEvents.follow")(function* (id: JobId, last?: EventCursor) {
  const job = yield* JobQueries.getJob(id)
  if (last === undefined) return begin(job)
  const [log, queue] = [yield* EventLog, yield* JobQueue]
  const observed = yield* queue.observe(id)
  // Only the archive knows it: what there was to tell ended long ago.
  if (Option.isNone(observed)) return begin(job)
  const { position } = observed.value
  const isLost = yield* log.read({ after: last, limit: 1 }).pipe(
    Effect.as(false),
    Effect.catchTag("CursorLost", () => Effect.succeed(true))
  )
  if (isLost) return Stream.concat(Stream.succeed<JobEvent>({ _tag: "Reset", position }), begin(observed.value.job))
  if (!isFinished(observed.value.job.status)) return goOn(id, last, position)
  return between(id, last, position).pipe(
    Stream.catchTag("CursorLost", () => Stream.succeed<JobEvent>({ _tag: "Reset", position })),
    Stream.concat(ending(id))
  )
})
