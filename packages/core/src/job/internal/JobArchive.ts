/**
 * The archive port: finished jobs with their attempts, and events, for as long as the archive keeps them. On
 * PostgreSQL, and one that keeps nothing for a broker in memory.
 *
 * Promises: each method is one atomic step; storing again what is stored changes nothing.
 */
import { Context, type DateTime, type Duration, Effect, Layer, Option } from "effect"
import type { Event } from "../../event/Event.ts"
import type { EventCursor } from "../../event/EventCursor.ts"
import type { Attempt } from "../Attempt.ts"
import type { JobId } from "../Job.ts"
import type { StorageError } from "../JobErrors.ts"
import type { ListRequest, Placed } from "./JobQueue.ts"

/** A job that has ended, as the queue hands it to the archive. */
export interface FinishedJob extends Placed {
  readonly attempts: ReadonlyArray<Attempt>
}

/** Which archived jobs: as a list asks for them, down to a position. */
export interface ArchivedRequest extends ListRequest {
  /** Only jobs whose position is this or above: the queue has looked no further down. */
  readonly from?: string | undefined
}

export class JobArchive extends Context.Service<
  JobArchive,
  {
    /** Whether anything is kept at all. */
    readonly keeps: boolean

    /** Stores jobs with their attempts; of two ends of one job the later one stays. */
    readonly store: (jobs: ReadonlyArray<FinishedJob>) => Effect.Effect<void, StorageError>

    /** Those of these jobs that are kept. */
    readonly find: (ids: ReadonlyArray<JobId>) => Effect.Effect<ReadonlyArray<Placed>, StorageError>

    readonly attempts: (id: JobId) => Effect.Effect<Option.Option<ReadonlyArray<Attempt>>, StorageError>

    /** Newest first; fewer than `limit` only when there are no more. */
    readonly list: (request: ArchivedRequest) => Effect.Effect<ReadonlyArray<Placed>, StorageError>

    /** Up to where events are stored; null before the first. */
    readonly cursor: Effect.Effect<EventCursor | null, StorageError>

    /**
     * Stores events and moves the cursor with them, when it still is `from`; says whether it was. Of several
     * archivers, one goes on and the others see where it is.
     */
    readonly storeEvents: (page: {
      readonly from: EventCursor | null
      readonly to: EventCursor
      readonly events: ReadonlyArray<Event>
    }) => Effect.Effect<boolean, StorageError>

    /** Forgets what ended or happened before a time, a bounded amount a call; says whether more is left. */
    readonly forget: (before: DateTime.Utc) => Effect.Effect<boolean, StorageError>

    /**
     * Whether this one of several archivers is to work now: for as long as it asks again within `hold`, no other is. It
     * only keeps them from doing the same work twice; what they store is right whoever stores it.
     */
    readonly takeTurn: (holder: string, hold: Duration.Duration) => Effect.Effect<boolean, StorageError>

    /** Leaves the turn to others at once, if `holder` has it. */
    readonly leaveTurn: (holder: string) => Effect.Effect<void, StorageError>

    /** Fails when the archive could not store now. */
    readonly ping: Effect.Effect<void, StorageError>
  }
>()("@muster/core/job/internal/JobArchive") {}

/** Keeps nothing: what the queue forgets is gone. */
export const layerNone: Layer.Layer<JobArchive> = Layer.succeed(JobArchive, {
  keeps: false,
  store: () => Effect.void,
  find: () => Effect.succeed([]),
  attempts: () => Effect.succeed(Option.none()),
  list: () => Effect.succeed([]),
  cursor: Effect.succeed(null),
  storeEvents: () => Effect.succeed(true),
  forget: () => Effect.succeed(false),
  takeTurn: () => Effect.succeed(true),
  leaveTurn: () => Effect.void,
  ping: Effect.void
})
