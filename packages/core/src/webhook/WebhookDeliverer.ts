/**
 * Delivers webhooks. Any number of servers may do so at once: each webhook is worked on by the one that has leased it,
 * and taken over when that is silent for as long as a lease.
 */
import { Clock, Duration, Effect, FiberMap, Layer } from "effect"
import { recurring } from "../Recurring.ts"
import { type LeasedWebhook, type WebhookLease, WebhookStore } from "./internal/WebhookStore.ts"
import type { WebhookId } from "./Webhook.ts"
import * as WebhookRun from "./WebhookRun.ts"
import { WebhookSettings } from "./WebhookSettings.ts"

/** Webhooks that a server takes in one round, so that servers which start together share them. */
const atOnce = 50

/** How long the last words of a server that stops may take. */
const farewell = Duration.seconds(1)

/** Looks again this often whether a lease could be renewed. */
const lookAgain = Duration.millis(500)

const monotonic = Effect.map(Clock.currentTimeNanos, (now) => Number(now / 1_000_000n))

interface Held {
  readonly lease: WebhookLease
  /** By the monotonic clock, in ms: from then on somebody else may have it. */
  until: number
}

/** Delivers for as long as the surrounding scope. */
export const start = Effect.gen(function* () {
  const settings = yield* WebhookSettings
  const store = yield* WebhookStore
  const held = new Map<WebhookId, Held>()
  const fibers = yield* FiberMap.make<WebhookId>()
  yield* Effect.addFinalizer(() => {
    const leases = [...held.values()].map(({ lease }) => lease)
    const release = store.release(leases).pipe(Effect.timeout(farewell), Effect.ignore)
    return Effect.andThen(FiberMap.clear(fibers), leases.length === 0 ? Effect.void : release)
  })

  const forget = (mine: Held) =>
    Effect.sync(() => {
      if (held.get(mine.lease.id) === mine) held.delete(mine.lease.id)
    })

  const untilHeld = (mine: Held): Effect.Effect<void> =>
    Effect.flatMap(monotonic, (now) =>
      now < mine.until ? Effect.void : Effect.andThen(Effect.sleep(lookAgain), untilHeld(mine))
    )

  const begin = Effect.fnUntraced(function* (leased: LeasedWebhook, until: number) {
    const mine: Held = { lease: leased.lease, until }
    held.set(leased.lease.id, mine)
    // A webhook that fails here for a reason of ours is taken again in a later round.
    const work = WebhookRun.run(leased, untilHeld(mine)).pipe(
      Effect.catchCause((cause) =>
        Effect.logError(`webhook ${leased.lease.id} could not be worked on`, cause).pipe(
          Effect.andThen(Effect.ignore(store.release([leased.lease])))
        )
      ),
      Effect.ensuring(forget(mine))
    )
    yield* FiberMap.run(fibers, leased.lease.id, work)
  })

  const renew = Effect.gen(function* () {
    const mine = [...held.values()]
    if (mine.length === 0) return
    const until = (yield* monotonic) + Duration.toMillis(settings.lease)
    const renewed = yield* store.renew({ leases: mine.map(({ lease }) => lease), lease: settings.lease })
    const still = new Map(renewed.map((lease) => [lease.id, lease.number]))
    for (const one of mine) {
      if (still.get(one.lease.id) === one.lease.number) one.until = until
      else if (held.get(one.lease.id) === one) yield* FiberMap.remove(fibers, one.lease.id)
    }
  })

  const take = Effect.gen(function* () {
    const until = (yield* monotonic) + Duration.toMillis(settings.lease)
    const taken = yield* store.take({ lease: settings.lease, limit: atOnce })
    yield* Effect.forEach(taken, (leased) => begin(leased, until), { discard: true })
  })

  yield* recurring("webhooks", settings.interval, Effect.andThen(renew, take))
})

export const layer = Layer.effectDiscard(start)
