/**
 * The one reader of the event log in a process, and what everybody in it learns from that: followers of events, those
 * who wait for a job, and rates. However many follow, the log is read once; a follower that does not read costs
 * nothing, and one that reads late takes what it missed from the log.
 */
import { Clock, Context, DateTime, Effect, Layer, type Stream } from "effect"
import { JobArchive } from "../job/internal/JobArchive.ts"
import { JobQueue } from "../job/internal/JobQueue.ts"
import type { AttemptOutcome } from "../job/Attempt.ts"
import type { Job, JobErrorKind, JobId } from "../job/Job.ts"
import type { JobNotFound, StorageError } from "../job/JobErrors.ts"
import type { Event, EventFilter, EventType } from "./Event.ts"
import type { EventCursor } from "./EventCursor.ts"
import { EventLog } from "./internal/EventLog.ts"
import * as EventRing from "./internal/EventRing.ts"
import * as EventTally from "./internal/EventTally.ts"
import * as Following from "./internal/Following.ts"
import * as JobWatchers from "./internal/JobWatchers.ts"
import * as LogReader from "./internal/LogReader.ts"

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

/** How many attempts ended in one way, for one kind of reason. */
export interface AttemptEnds {
  readonly outcome: AttemptOutcome
  /** Null where no error was the reason. */
  readonly error_kind: JobErrorKind | null
  readonly count: number
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
    /**
     * Events in their order, each once. A cursor that the log does not go on from begins with a `Reset`. Never ends, and
     * waits out an outage that comes after its beginning.
     */
    readonly follow: (request: FollowRequest) => Stream.Stream<FeedItem, StorageError>

    /**
     * What becomes of a job: its state, and then each event, until it has ended. Of progress that was not taken yet only
     * the newest is given; transitions are never left out but for a new `State`. Ends whatever disconnects meanwhile,
     * but begins only while the stores are there.
     */
    readonly watch: (id: JobId) => Stream.Stream<JobChange, JobNotFound | StorageError>

    /** By requirement class, as events name it: those with anything in the last minute, while this process lived. */
    readonly rates: Effect.Effect<ReadonlyMap<string, ClassRate>>

    /** Events that this process has read, by type. */
    readonly totals: Effect.Effect<ReadonlyMap<EventType, number>>

    /** Ends of attempts among them. */
    readonly attempts: Effect.Effect<ReadonlyArray<AttemptEnds>>

    readonly lag: Effect.Effect<FeedLag>
  }
>()("@muster/core/event/EventFeed") {}

const make = Effect.fnUntraced(function* (kept: number) {
  const log = yield* EventLog
  const queue = yield* JobQueue
  const archive = yield* JobArchive
  const clock = yield* Clock.Clock
  const ring = EventRing.make(kept)
  const watchers = JobWatchers.make({ log, queue, archive })
  const tally = EventTally.make()
  let lag: FeedLag = { ms: null, connected: false }
  let hasBegun = false

  yield* LogReader.run(log, {
    connected: (position) => {
      lag = { ...lag, connected: true }
      if (!hasBegun) ring.reset(position)
      hasBegun = true
      // They may have looked at state before anything was read, or while nothing could be.
      watchers.doubt("check")
    },
    disconnected: () => {
      lag = { ...lag, connected: false }
    },
    events: (events, position) => {
      const now = clock.currentTimeMillisUnsafe()
      const newest = events.at(-1)
      if (newest !== undefined) lag = { ...lag, ms: Math.max(0, now - DateTime.toEpochMillis(newest.at)) }
      tally.add(events, now)
      watchers.tell(events)
      ring.add(events, position)
    },
    lost: (position) => {
      hasBegun = true
      ring.reset(position)
      watchers.doubt("lost")
    }
  })

  return EventFeed.of({
    follow: (request) => Following.follow(log, ring, request),
    watch: watchers.watch,
    rates: Effect.sync(() => tally.rates(clock.currentTimeMillisUnsafe())),
    totals: Effect.sync(tally.totals),
    attempts: Effect.sync(tally.attempts),
    lag: Effect.sync(() => lag)
  })
})

/** Keeps this many events in memory, up to twice as many for moments. */
export const layerKeeping = (kept: number): Layer.Layer<EventFeed, never, EventLog | JobQueue | JobArchive> =>
  Layer.effect(EventFeed, make(kept))

/** Can be built while the log is away. One for all of a process: provide it once, outside of what needs it. */
export const layer = layerKeeping(10_000)
