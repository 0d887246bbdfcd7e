/** Work that a service takes on and is asked about until it ends; whoever stops waiting stops the work. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Duration, Effect, Exit, Option } from "effect"

/** How long a service is given to hear that its work is not wanted any more. */
const cancelWithin = Duration.seconds(5)

/**
 * Asks until `ask` gives a result. Failures that `ask` has after its own tries end it. `cancel` is called when the
 * waiting is interrupted or ends in a failure, because the work may still go on; it is not called after a result.
 */
export const untilDone = <A, R, R2>(options: {
  readonly ask: Effect.Effect<Option.Option<A>, ConnectorFailure, R>
  readonly every: Duration.Duration
  /** Questions at most; undefined asks as long as it is let. */
  readonly tries?: number | undefined
  readonly cancel: Effect.Effect<unknown, unknown, R2>
  readonly what: string
}): Effect.Effect<A, ConnectorFailure, R | R2> =>
  Effect.gen(function* () {
    for (let asked = 0; options.tries === undefined || asked < options.tries; asked++) {
      if (asked > 0) yield* Effect.sleep(options.every)
      const result = yield* options.ask
      if (Option.isSome(result)) return result.value
    }
    return yield* new ConnectorFailure({
      kind: "Timeout",
      message: `${options.what} was not done after ${options.tries} looks, ${Duration.format(options.every)} apart`
    })
  }).pipe(
    Effect.onExit((exit) =>
      Exit.isSuccess(exit)
        ? Effect.void
        : options.cancel.pipe(Effect.timeout(cancelWithin), Effect.ignore({ log: "Debug" }))
    )
  )
