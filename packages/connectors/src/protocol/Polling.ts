/** Work that a service takes on and is asked about until it ends; whoever stops waiting stops the work. */
import { ConnectorFailure, type FailureKind } from "@muster/core/connector/ConnectorFailure"
import { Clock, Duration, Effect, Exit, Option, Schedule } from "effect"

/** How long a service is given to hear that its work is not wanted any more. */
const cancelWithin = Duration.seconds(5)

/** The work goes on while nobody can be asked about it, and was paid for: so asking goes on for a while too. */
const patience = Duration.minutes(5)

const passing: ReadonlySet<FailureKind> = new Set<FailureKind>([
  "ServiceUnavailable",
  "Timeout",
  "RateLimited",
  // The service answered well when it took the work on: a page in its place is that of something on the way.
  "ProtocolError"
])

/** Whether a failure of asking says nothing about the work: it may pass, and the work goes on meanwhile. */
export const mayPass = (failure: ConnectorFailure): boolean => passing.has(failure.kind)

const again = Schedule.exponential("200 millis")

/**
 * Tells a service that its work is not wanted any more, again while that fails in a way that may pass: work nobody waits
 * for costs a GPU, or money. Gives up after a while, and never fails.
 */
export const insist = <R>(stop: Effect.Effect<unknown, unknown, R>, within: Duration.Duration) =>
  stop.pipe(
    Effect.retry({ while: (error) => !(error instanceof ConnectorFailure) || mayPass(error), schedule: again }),
    Effect.timeout(within),
    Effect.ignore({ log: "Warn", message: "work that is not wanted any more may go on at its service" })
  )

/** Makes a part of an uninterruptible effect interruptible again. */
export type Restore = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** How the work ended; none while it goes on. */
export type Looked<A> = Option.Option<Effect.Effect<A, ConnectorFailure>>

/**
 * Asks until the work has ended. A question that fails is asked again for five minutes when the failure may pass.
 * `cancel` is called when the waiting is interrupted or ends in a failure of asking, because the work may still go on.
 */
export const untilDone = <A, R, R2>(options: {
  readonly ask: Effect.Effect<Looked<A>, ConnectorFailure, R>
  readonly every: Duration.Duration
  /** Questions at most; undefined asks as long as it is let. */
  readonly tries?: number | undefined
  readonly cancel: Effect.Effect<unknown, unknown, R2>
  readonly what: string
  /**
   * Makes the waiting interruptible where this runs uninterruptibly: a submit is not interrupted, so that what was taken
   * on is always known, and no interruption may fall between it and this.
   */
  readonly restore?: Restore | undefined
}): Effect.Effect<A, ConnectorFailure, R | R2> => {
  const { restore = (self) => self } = options
  const asking = Effect.gen(function* () {
    let unheardSince: number | undefined
    for (let asked = 0; options.tries === undefined || asked < options.tries; asked++) {
      if (asked > 0) yield* Effect.sleep(options.every)
      const now = yield* Clock.currentTimeMillis
      const looked = yield* options.ask.pipe(
        Effect.tap(() => Effect.sync(() => void (unheardSince = undefined))),
        Effect.catch((failure) => {
          unheardSince ??= now
          const isOver = now - unheardSince >= Duration.toMillis(patience)
          return isOver || !mayPass(failure) ? Effect.fail(failure) : Effect.succeedNone
        })
      )
      if (Option.isSome(looked)) return looked.value
    }
    return yield* new ConnectorFailure({
      kind: "Timeout",
      message: `${options.what} was not done after ${options.tries} looks, ${Duration.format(options.every)} apart`
    })
  })
  const watch = restore(asking).pipe(
    Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : insist(options.cancel, cancelWithin)))
  )
  return Effect.flatten(watch)
}
