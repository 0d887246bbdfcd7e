/** Background work that runs for as long as its scope, whatever happens in one round. */
import { type Duration, Effect, Schedule, type Scope } from "effect"

/**
 * Forks `round` to run now and then `interval` after each end. A failure or defect costs that round, is logged once
 * with its cause, and the next round comes as planned.
 */
export const recurring = <A, E, R>(
  fiber: string,
  interval: Duration.Duration,
  round: Effect.Effect<A, E, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  round.pipe(
    Effect.catchCause((cause) => Effect.logWarning(`${fiber} failed, trying again next time`, cause)),
    Effect.repeat(Schedule.spaced(interval)),
    Effect.annotateLogs({ fiber }),
    Effect.forkScoped,
    Effect.asVoid
  )
