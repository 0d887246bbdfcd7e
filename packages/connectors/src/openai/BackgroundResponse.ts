/**
 * A response that is made in the background: asked for, watched until it has ended, and cancelled when nobody waits for
 * it any more.
 */
import type { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { Clock, DateTime, type Duration, Effect } from "effect"
import * as Polling from "../protocol/Polling.ts"
import { ending, type ResponseAnswer } from "./ResponseAnswer.ts"

export interface BackgroundOptions<E, R> {
  /** Asks for it. This is not interrupted: so what was taken on is known, and can be cancelled. */
  readonly submit: Effect.Effect<ResponseAnswer, E, R>
  readonly retrieve: (id: string) => Effect.Effect<ResponseAnswer, ConnectorFailure>
  readonly cancel: (id: string) => Effect.Effect<unknown, unknown>
  readonly every: Duration.Duration
  readonly tries: number
  readonly report: (progress: Progress) => Effect.Effect<void>
  /** Hears what became of work that was taken on and failed. */
  readonly told: (failure: ConnectorFailure) => Effect.Effect<void>
}

/** Makes a response. A failure to ask for it is as it was; one after that is of work that was taken on. */
export const make = <E, R, E2>(
  options: BackgroundOptions<E, R>,
  afterwards: (failure: ConnectorFailure) => E2
): Effect.Effect<ResponseAnswer, E | E2, R> => {
  const look = (answer: ResponseAnswer) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      // The id stands there for those who have to look it up when a worker died meanwhile.
      const told = options.report({ percent: 0, message: `response ${answer.id}: ${answer.status ?? "done"}` })
      return Effect.as(told, ending(answer, DateTime.makeUnsafe(now)))
    })
  const watch = (submitted: ResponseAnswer, restore: Polling.Restore) => {
    let isFirst = true
    return Polling.untilDone({
      ask: Effect.suspend(() => {
        const answer = isFirst ? Effect.succeed(submitted) : options.retrieve(submitted.id)
        isFirst = false
        return Effect.flatMap(answer, look)
      }),
      every: options.every,
      tries: options.tries,
      cancel: options.cancel(submitted.id),
      what: `response ${submitted.id}`,
      restore
    })
  }
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(options.submit, (submitted) =>
      watch(submitted, restore).pipe(Effect.tapError(options.told), Effect.mapError(afterwards))
    )
  )
}
