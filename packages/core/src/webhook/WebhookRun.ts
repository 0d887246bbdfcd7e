/**
 * Works on one leased webhook: follows the log from its cursor and delivers what it wants, one delivery after the
 * other, each until it succeeded. At least once and in order: whoever goes on after a death begins behind the last
 * delivery that was recorded.
 */
import { Clock, Data, Duration, Effect, Fiber, Option, Random, Schedule, Stream } from "effect"
import type { Event } from "../event/Event.ts"
import type { EventCursor } from "../event/EventCursor.ts"
import { EventFeed, type FeedItem } from "../event/EventFeed.ts"
import { whileAway } from "../WhileAway.ts"
import type { RepositoryError } from "../worker/WorkerErrors.ts"
import { type DeliveryEffect, type LeasedWebhook, WebhookStore } from "./internal/WebhookStore.ts"
import * as Notice from "./Notice.ts"
import * as Sending from "./Sending.ts"
import { isWanted, type Webhook } from "./Webhook.ts"
import { WebhookSettings } from "./WebhookSettings.ts"

/** Somebody else works on the webhook, or nobody any more. */
class Over extends Data.TaggedError("Over") {}

/** A cursor that moved without a delivery is stored this often. */
const saveInterval = Duration.seconds(10)

/** The pause before the next attempt: it doubles, a random half of it apart, so that receivers are not hit in step. */
const pauseAfter = Effect.fnUntraced(function* (failures: number, asked: Duration.Duration | null) {
  const { firstPause, longestAskedPause, longestPause } = yield* WebhookSettings
  const doubled = Duration.times(firstPause, 2 ** Math.min(failures, 30))
  const longest = Duration.toMillis(Duration.min(doubled, longestPause))
  const ours = Duration.millis(Math.ceil(longest * (0.5 + (yield* Random.next) / 2)))
  return asked === null ? ours : Duration.max(ours, Duration.min(asked, longestAskedPause))
})

const storeAway = <A, R>(self: Effect.Effect<A, RepositoryError, R>) =>
  Effect.retry(self, { while: ({ unavailable }) => unavailable, schedule: whileAway })

const say = (before: Webhook, now: Webhook, error: string | null) => {
  const { consecutive_failures, id, status, status_reason } = now
  if (status === "disabled") return Effect.logError(`webhook ${id} is disabled: ${status_reason}`)
  if (consecutive_failures === 1) return Effect.logWarning(`webhook ${id} takes no events: ${error}; trying on`)
  if (consecutive_failures === 0 && before.consecutive_failures > 0) {
    return Effect.logInfo(`webhook ${id} takes events again; failures before that: ${before.consecutive_failures}`)
  }
  return Effect.void
}

/** One after the other; each call answers what comes next, or none within the time. */
const nextOf = <A, E, R>(pull: Effect.Effect<A, E, R>) => {
  let waiting: Fiber.Fiber<A, E> | undefined
  return Effect.fnUntraced(function* (within: Duration.Duration) {
    waiting ??= yield* Effect.forkScoped(pull)
    const next = yield* Effect.timeoutOption(Fiber.join(waiting), within)
    if (Option.isSome(next)) waiting = undefined
    return next
  })
}

/**
 * Runs until the lease is lost or the webhook disabled. `held` waits until the lease is certainly held; nothing is sent
 * without it.
 */
export const run = Effect.fnUntraced(
  function* ({ lease, pause, secret, webhook: leased }: LeasedWebhook, held: Effect.Effect<void>) {
    const feed = yield* EventFeed
    const store = yield* WebhookStore
    const { batch, disableAfter } = yield* WebhookSettings
    let webhook = leased
    let savedAt = yield* Clock.currentTimeMillis
    /** Behind what was looked at, and not delivered unless the webhook's own cursor is there too. */
    let position = webhook.cursor

    const meaningOf = Effect.fnUntraced(function* ({ delivery, gone, retryAfter }: Sending.Sent, cursor: EventCursor) {
      if (delivery.outcome === "delivered") return { _tag: "Delivered", cursor } as DeliveryEffect
      if (gone) return { _tag: "Disabled", reason: "the receiver answered 410: gone" } as DeliveryEffect
      const pause = yield* pauseAfter(webhook.consecutive_failures, retryAfter)
      return { _tag: "Failed", pause, disableAfter } as DeliveryEffect
    })

    const deliver = Effect.fnUntraced(function* (notice: Notice.Notice, cursor: EventCursor) {
      while (true) {
        yield* held
        const attempt = webhook.consecutive_failures + 1
        const sent = yield* Sending.send({ webhook, secret, notice, attempt })
        const meaning = yield* meaningOf(sent, cursor)
        const stored = yield* storeAway(store.report(lease, sent.delivery, meaning))
        if (Option.isNone(stored)) return yield* new Over()
        yield* say(webhook, stored.value, sent.delivery.error)
        webhook = stored.value
        if (webhook.status === "disabled") return yield* new Over()
        savedAt = yield* Clock.currentTimeMillis
        if (meaning._tag === "Delivered") return
        if (meaning._tag === "Failed") yield* Effect.sleep(meaning.pause)
      }
    })

    /** What is not meant moves the cursor too: the log may forget it. */
    const save = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (position === webhook.cursor || now - savedAt < Duration.toMillis(saveInterval)) return
      if (!(yield* storeAway(store.moveTo(lease, position)))) return yield* new Over()
      webhook = { ...webhook, cursor: position }
      savedAt = now
    })

    const take = Effect.fnUntraced(function* (items: ReadonlyArray<FeedItem>) {
      let wanted: Array<Event> = []
      const deliverWanted = Effect.suspend(() => {
        if (wanted.length === 0) return Effect.void
        const events = wanted
        wanted = []
        return deliver(Notice.ofEvents(events), position)
      })
      for (const item of items) {
        if (item._tag === "Reset") {
          yield* deliverWanted
          yield* deliver(Notice.ofReset({ lost_after: position, goes_on_after: item.position }), item.position)
          position = item.position
        } else {
          position = item.event.cursor
          if (isWanted(item.event, webhook.filter)) wanted.push(item.event)
          if (wanted.length >= batch) yield* deliverWanted
        }
      }
      yield* deliverWanted
    })

    const follow = Effect.gen(function* () {
      const next = nextOf(yield* Stream.toPull(feed.follow({ after: position, filter: {} })))
      while (true) {
        const items = yield* next(saveInterval)
        if (Option.isSome(items)) yield* take(items.value)
        yield* save
      }
    }).pipe(Effect.scoped)

    yield* Effect.sleep(pause)
    return yield* Effect.retry(follow, {
      while: (error) => "unavailable" in error && error.unavailable,
      schedule: Schedule.spaced("1 second")
    })
  },
  (effect, { webhook }) =>
    effect.pipe(
      Effect.catchTag("Over", () => Effect.void),
      Effect.annotateLogs({ webhook: webhook.id })
    )
)
