/**
 * Waits for news in the event log: one connection for all that wait in this process, from the first one on. It says
 * only that there may be something; what there is, is read elsewhere.
 */
import { Deferred, Effect, Scope } from "effect"
import type { Redis } from "./Redis.ts"
import type { RedisFailure } from "./RedisFailure.ts"

/** How long one look waits, in ms: less than the time after which a command counts as lost. */
const waitMs = "3000"

interface Waiter {
  readonly entry: string
  readonly news: Deferred.Deferred<void, RedisFailure>
}

const isBefore = (entry: string, other: string): boolean => {
  const [ms = 0, seq = 0] = entry.split("-").map(Number)
  const [otherMs = 0, otherSeq = 0] = other.split("-").map(Number)
  return ms < otherMs || (ms === otherMs && seq < otherSeq)
}

export const make = Effect.fnUntraced(function* (redis: Redis["Service"], queue: string) {
  const scope = yield* Effect.scope
  const connection = yield* Effect.cached(Scope.provide(redis.another, scope))
  const waiting = new Set<Waiter>()
  /** Behind which entry the look under way looks. */
  let lookingBehind: string | undefined

  /** Looks for as long as anybody waits. */
  const look: Effect.Effect<void> = Effect.gen(function* () {
    const send = yield* connection
    while (waiting.size > 0) {
      const earliest = [...waiting].reduce((a, b) => (isBefore(b.entry, a.entry) ? b : a)).entry
      lookingBehind = earliest
      const found = yield* Effect.exit(
        send("XREAD", ["BLOCK", waitMs, "COUNT", "1", "STREAMS", `${queue}:log`, earliest])
      )
      // Those who came meanwhile look again, too: it costs little, and nobody waits for a look that began too late.
      for (const waiter of waiting) Deferred.doneUnsafe(waiter.news, Effect.asVoid(found))
      waiting.clear()
    }
    // In the same step as the last glance at those who wait: who comes later begins a look of their own.
    lookingBehind = undefined
  })

  /** Ends when there may be something behind an entry, and after a few seconds anyway. */
  const behind = (entry: string): Effect.Effect<void, RedisFailure> =>
    Effect.suspend(() => {
      // Somebody has read what comes after it.
      if (lookingBehind !== undefined && isBefore(entry, lookingBehind)) return Effect.void
      const waiter: Waiter = { entry, news: Deferred.makeUnsafe() }
      waiting.add(waiter)
      const begun = lookingBehind === undefined ? Effect.forkIn(look, scope, { startImmediately: true }) : Effect.void
      lookingBehind ??= entry
      return Effect.andThen(begun, Deferred.await(waiter.news)).pipe(
        Effect.ensuring(Effect.sync(() => waiting.delete(waiter)))
      )
    })

  return { behind }
})
