/**
 * The one reader of the event log in a process, and what everybody in it learns from that: followers of events, those
 * who wait for a job, and rates. However many follow, the log is read once; a follower that does not read costs
 * nothing, and one that reads late takes what it missed from the log.
 */
import { Context, type Effect, type Stream } from "effect"
import type { Job, JobId } from "../job/Job.ts"
import type { JobNotFound, StorageError } from "../job/JobErrors.ts"
import type { Event, EventFilter, EventType } from "./Event.ts"
import type { EventCursor } from "./EventCursor.ts"

export type FeedItem =
  | { readonly _tag: "Event"; readonly event: Event }
  /** Events were lost to this follower: it should look at state again. What follows comes after `position`. */
  | { readonly _tag: "Reset"; readonly position: EventCursor }

export type JobChange =
  /** The job as it is now: at first, and again when events were lost. Later events come after `cursor`. */
  | { readonly _tag: "State"; readonly job: Job; readonly cursor: EventCursor }
  | { readonly _tag: "Event"; readonly event: Event }

export interface FollowRequest {
  /** The last event that is known; left out: from now on. */
  readonly after?: EventCursor | undefined
  readonly filter: EventFilter
}

/** What happened to jobs of one requirement class within the last 60 s. */
export interface ClassRate {
  readonly submitted: number
  readonly started: number
  readonly ended: number
}

export interface FeedLag {
  /** From when the newest event happened, by the store's clock, to when it was read; null before the first. */
  readonly ms: number | null
  /** Whether the log can be read now. */
  readonly connected: boolean
}

export class EventFeed extends Context.Service<
  EventFeed,
  {
    /** Events in their order, each once. A cursor that the log does not go on from begins with a `Reset`. Never ends. */
    readonly follow: (request: FollowRequest) => Stream.Stream<FeedItem, StorageError>

    /**
     * What becomes of a job: its state, and then each event, until it has ended. Of progress that was not taken yet only
     * the newest is given; transitions are never left out but for a new `State`. Ends whatever disconnects meanwhile.
     */
    readonly watch: (id: JobId) => Stream.Stream<JobChange, JobNotFound | StorageError>

    /** By requirement class, as events name it: those with anything in the last minute, while this process lived. */
    readonly rates: Effect.Effect<ReadonlyMap<string, ClassRate>>

    /** Events that this process has read, by type. */
    readonly totals: Effect.Effect<ReadonlyMap<EventType, number>>

    readonly lag: Effect.Effect<FeedLag>
  }
>()("@muster/core/event/EventFeed") {}
