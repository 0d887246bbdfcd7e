/** Background work that runs for as long as its scope, whatever happens in one round. */
import { Cause, Duration, Effect, Option, Predicate, Ref, type Scope } from "effect"

/** What a log needs to say about a store that is away: its own words. Anything else is logged whole. */
const wordsOfOutage = (cause: Cause.Cause<unknown>): Option.Option<string> =>
  Option.flatMap(Cause.findErrorOption(cause), (error) =>
    Predicate.hasProperty(error, "unavailable") && error.unavailable === true && error instanceof Error
      ? Option.some(error.message)
      : Option.none()
  )

/** How long to wait after a round that failed, where the interval is longer: an outage should not outlast itself. */
const afterFailure = Duration.seconds(1)

/**
 * Forks `round` to run now and then `interval` after each end. A failure or defect costs that round alone. The first
 * of a row of failures is logged, and the end of the row: an outage of a store must not bury everything else.
 */
export const recurring = <A, E, R>(
  fiber: string,
  interval: Duration.Duration,
  round: Effect.Effect<A, E, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const failing = yield* Ref.make(false)
    const failed = (cause: Cause.Cause<E>) =>
      Effect.flatMap(Ref.getAndSet(failing, true), (already) => {
        if (already) return Effect.logDebug(`${fiber} failed again`, cause)
        return Option.match(wordsOfOutage(cause), {
          onNone: () => Effect.logWarning(`${fiber} failed, trying again next time`, cause),
          onSome: (words) => Effect.logWarning(`${fiber} has to wait: ${words}`)
        })
      })
    const worked = Effect.flatMap(Ref.getAndSet(failing, false), (before) =>
      before ? Effect.logInfo(`${fiber} works again`) : Effect.void
    )
    const next = round.pipe(
      Effect.andThen(worked),
      Effect.as(interval),
      Effect.catchCause((cause) => Effect.as(failed(cause), Duration.min(interval, afterFailure))),
      Effect.flatMap(Effect.sleep)
    )
    yield* Effect.forkScoped(Effect.annotateLogs(Effect.forever(next), { fiber }))
  })
