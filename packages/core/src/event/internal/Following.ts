/**
 * Following the log: a follower is a cursor, and takes from the ring while it keeps up, from the log when it is behind.
 */
import { Array, Deferred, Effect, Stream } from "effect"
import type { StorageError } from "../../job/JobErrors.ts"
import { whileAway } from "../../WhileAway.ts"
import { type Event, meantBy } from "../Event.ts"
import type { EventCursor } from "../EventCursor.ts"
import type { FeedItem, FollowRequest } from "../EventFeed.ts"
import type { EventLog } from "./EventLog.ts"
import type { EventItem, EventRing } from "./EventRing.ts"

/** Events looked at in one go. */
const fromRing = 1_000
const fromLog = 500

interface Follower {
  cursor: EventCursor
  /** The number of its next event, while it is in the ring. */
  number: number | undefined
}

const asItem = (event: Event): EventItem => ({ _tag: "Event", event })

export const follow = (
  log: EventLog["Service"],
  ring: EventRing,
  { after, filter }: FollowRequest
): Stream.Stream<FeedItem, StorageError> => {
  const isMeant = meantBy(filter)
  const isAll = Object.keys(filter).length === 0

  /** What comes next in the ring: undefined when that is not the place to look. */
  const takeFromRing = (follower: Follower): ReadonlyArray<EventItem> | undefined => {
    const number = follower.number ?? ring.numberAfter(follower.cursor)
    const items = number === undefined ? undefined : ring.from(number, fromRing)
    follower.number = number === undefined || items === undefined ? undefined : number + items.length
    return items
  }

  /** What comes next in the log; the follower begins anew where that does not go on. Waits out an outage. */
  const takeFromLog = (follower: Follower): Effect.Effect<ReadonlyArray<FeedItem>, StorageError> =>
    log.read({ after: follower.cursor, limit: fromLog }).pipe(
      Effect.map((page): ReadonlyArray<FeedItem> => {
        follower.cursor = page.position
        return page.events.map(asItem)
      }),
      Effect.catchTag("CursorLost", () =>
        Effect.map(log.start, (position): ReadonlyArray<FeedItem> => {
          follower.cursor = position
          return [{ _tag: "Reset", position }]
        })
      ),
      Effect.retry({ schedule: whileAway, while: ({ unavailable }) => unavailable })
    )

  const meant = (items: ReadonlyArray<FeedItem>): ReadonlyArray<FeedItem> =>
    isAll ? items : items.filter((item) => item._tag === "Reset" || isMeant(item.event))

  const next = Effect.fnUntraced(function* (follower: Follower) {
    while (true) {
      // Taken before anything is looked at: what comes meanwhile is not missed.
      const change = ring.change()
      const items = takeFromRing(follower) ?? (yield* takeFromLog(follower))
      const last = items.at(-1)
      if (last?._tag === "Event") follower.cursor = last.event.cursor
      const found = meant(items)
      if (Array.isReadonlyArrayNonEmpty(found)) return found
      if (items.length > 0) continue
      yield* Deferred.await(change)
      // Whoever wakes followers is in the middle of a step.
      yield* Effect.yieldNow
    }
  })

  return Stream.fromPull(
    Effect.map(after === undefined ? log.end : Effect.succeed(after), (cursor) => next({ cursor, number: undefined }))
  )
}
