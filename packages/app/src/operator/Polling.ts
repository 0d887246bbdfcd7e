/** Looking at the server again and again until something has come about. */
import { Duration, Effect, Schedule } from "effect"

const firstPause = Duration.millis(100)
const longestPause = Duration.seconds(1)

/** Pauses that grow to a second: what is short is seen to end at once, what is long costs the server little. */
export const pauses = Schedule.min([Schedule.exponential(firstPause, 1.5), Schedule.spaced(longestPause)])

/** So long a server may be away, or its store, while somebody waits. */
const outage = Duration.seconds(30)

const outages = new Set(["ServerUnreachable", "StoreUnavailable"])

/** Looks once more while nobody answers, until an outage has lasted too long; `others` are errors that pass as well. */
export const throughOutages = <A, E extends { readonly _tag: string }, R>(
  look: Effect.Effect<A, E, R>,
  others: ReadonlyArray<E["_tag"]> = []
) =>
  Effect.retry(look, {
    while: ({ _tag }) => outages.has(_tag) || others.includes(_tag),
    schedule: Schedule.upTo(pauses, { duration: outage })
  })
