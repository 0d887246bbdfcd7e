/**
 * Lets callers share the runs of one effect, of which there is at most one at a time: a question that many ask at once
 * is put to the database once, and under load the questions that wait for one answer grow by themselves.
 */
import { Deferred, Effect, type Scope } from "effect"

export interface SharedRuns<E> {
  /** Waits for a run that begins after this call. */
  readonly next: Effect.Effect<void, E>
  /** Waits for the run under way, and for the next one when there is none. */
  readonly current: Effect.Effect<void, E>
}

/** The runs go on when a caller is interrupted, and end with the scope. */
export const make = Effect.fnUntraced(function* <E>(
  run: Effect.Effect<void, E>
): Effect.fn.Return<SharedRuns<E>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  let underWay: Deferred.Deferred<void, E> | undefined
  let waiting: Deferred.Deferred<void, E> | undefined

  const serve = Effect.gen(function* () {
    while (waiting !== undefined) {
      underWay = waiting
      waiting = undefined
      yield* Deferred.done(underWay, yield* Effect.exit(run))
    }
    underWay = undefined
  }).pipe(
    Effect.onInterrupt(() =>
      Effect.forEach([underWay, waiting], (served) => (served === undefined ? Effect.void : Deferred.interrupt(served)))
    )
  )

  const next = Effect.suspend(() => {
    if (waiting !== undefined) return Deferred.await(waiting)
    const served = Deferred.makeUnsafe<void, E>()
    waiting = served
    const begun = underWay === undefined ? Effect.forkIn(serve, scope) : Effect.void
    return Effect.andThen(begun, Deferred.await(served))
  })
  return {
    next,
    current: Effect.suspend(() => (underWay === undefined ? next : Deferred.await(underWay)))
  }
})
