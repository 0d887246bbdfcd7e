/**
 * What was paid for and is not kept yet. When its files cannot be stored, the next attempt of the job finds it here, if
 * the same process runs it, and pays nothing. Bounded: the oldest go first.
 */
import type { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Clock, Duration, Effect } from "effect"

const mostBytes = 256 * 1024 * 1024
const keptFor = Duration.hours(1)

interface Kept<A> {
  readonly value: A
  readonly bytes: number
  readonly until: number
}

export interface PaidResults<A> {
  /** Pays for a result, unless it is here, and keeps its files; it is forgotten once they are. */
  readonly through: <B, E, R, R2>(
    key: string,
    pay: Effect.Effect<A, E, R>,
    keep: (value: A) => Effect.Effect<B, ConnectorFailure, R2>
  ) => Effect.Effect<B, E | ConnectorFailure, R | R2>
}

/** `sizeOf` says how many bytes a result takes, about. */
export const make = <A>(sizeOf: (value: A) => number): PaidResults<A> => {
  const kept = new Map<string, Kept<A>>()
  let total = 0

  const forget = (key: string) => {
    total -= kept.get(key)?.bytes ?? 0
    kept.delete(key)
  }

  const found = (key: string, now: number): Kept<A> | undefined => {
    for (const [old, { until }] of kept) {
      if (until > now) break
      forget(old)
    }
    return kept.get(key)
  }

  const remember = (key: string, value: A, now: number) => {
    const bytes = sizeOf(value)
    if (bytes > mostBytes) return
    forget(key)
    kept.set(key, { value, bytes, until: now + Duration.toMillis(keptFor) })
    total += bytes
    for (const old of kept.keys()) {
      if (total <= mostBytes) break
      forget(old)
    }
  }

  return {
    through: (key, pay, keep) =>
      Effect.gen(function* () {
        const before = found(key, yield* Clock.currentTimeMillis)
        const value =
          before?.value ??
          (yield* Effect.tap(pay, (value) => Effect.map(Clock.currentTimeMillis, (now) => remember(key, value, now))))
        const saved = yield* keep(value)
        forget(key)
        return saved
      })
  }
}
