/**
 * A response that is made in the background: asked for, watched until it has ended, and cancelled when nobody waits for
 * it any more. Its id is noted as soon as it is known: a later attempt of the job, on whatever worker, goes on with what an
 * earlier one has paid for.
 */
import { AssetStore } from "@muster/core/connector/AssetStore"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { Clock, DateTime, Duration, Effect, Exit, Option, Schema } from "effect"
import * as Polling from "../protocol/Polling.ts"
import { ending, ResponseAnswer } from "./ResponseAnswer.ts"
import * as TokenUsage from "./TokenUsage.ts"

/** A note that takes longer is given up: what it is about goes on. */
const noteWithin = Duration.seconds(10)

const isId = Schema.is(ResponseAnswer.fields.id)

export interface BackgroundOptions<E, R> {
  readonly job: Pick<ConnectorJob, "id" | "attempt">
  /** Of the request: see `RequestKey`. */
  readonly key: string
  /** Asks for it. This is not interrupted: so what was taken on is known, and can be cancelled. */
  readonly submit: Effect.Effect<ResponseAnswer, E, R>
  readonly retrieve: (id: string) => Effect.Effect<ResponseAnswer, ConnectorFailure>
  readonly cancel: (id: string) => Effect.Effect<unknown, unknown>
  readonly every: Duration.Duration
  readonly tries: number
  readonly report: (progress: Progress) => Effect.Effect<void>
  /** Hears of the tokens of a response that has ended, well or not. */
  readonly used: (usage: TokenUsage.TokenUsage | null) => Effect.Effect<void>
  /** Hears what became of work that was taken on and failed. */
  readonly told: (failure: ConnectorFailure) => Effect.Effect<void>
  /** Whether a response that has ended well is what was wanted; if not, another attempt asks for a new one. */
  readonly isWanted?: (answer: ResponseAnswer) => boolean
}

/**
 * Makes a response, or goes on with the one of an earlier attempt. A failure to ask for it is as it was; one after that is
 * of work that was taken on.
 */
export const make = <E, R, E2>(
  options: BackgroundOptions<E, R>,
  afterwards: (failure: ConnectorFailure) => E2
): Effect.Effect<ResponseAnswer, E | E2, R | AssetStore> => {
  const { isWanted = () => true, job, key } = options
  const look = (answer: ResponseAnswer) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      // The id stands there for people who want to look it up.
      const told = options.report({ percent: 0, message: `response ${answer.id}: ${answer.status ?? "done"}` })
      const ended = ending(answer, DateTime.makeUnsafe(now))
      const counted = Option.isNone(ended) ? Effect.void : options.used(TokenUsage.of(answer.usage))
      return Effect.as(Effect.andThen(told, counted), ended)
    })

  // One that was taken on is there, though perhaps not yet everywhere; that it is not says nothing about the payload.
  const retrieve = (id: string) =>
    Effect.mapError(options.retrieve(id), (failure) =>
      failure.kind === "InvalidPayload"
        ? new ConnectorFailure({ kind: "ServiceUnavailable", message: `response ${id}: ${failure.message}` })
        : failure
    )

  const watch = (submitted: ResponseAnswer, restore: Polling.Restore) => {
    let isFirst = true
    return Polling.untilDone({
      ask: Effect.suspend(() => {
        const answer = isFirst ? Effect.succeed(submitted) : retrieve(submitted.id)
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

  /** What an earlier attempt asked for, unless nothing can become of it. Nobody is paid while that is not known. */
  const earlier = Effect.gen(function* () {
    if (job.attempt <= 1) return undefined
    const store = yield* AssetStore
    const id = Option.getOrUndefined(
      yield* Effect.mapError(
        store.noted(job.id, key),
        ({ message }) => new ConnectorFailure({ kind: "AssetFailed", message })
      )
    )
    if (!isId(id)) return undefined
    const found = yield* options.retrieve(id).pipe(
      Effect.catchIf(
        ({ kind }) => kind === "InvalidPayload",
        () => Effect.undefined
      )
    )
    if (found === undefined) return undefined
    const ended = ending(found, DateTime.makeUnsafe(yield* Clock.currentTimeMillis))
    if (Option.isNone(ended)) return found
    const exit = yield* Effect.exit(ended.value)
    return Exit.isSuccess(exit) && isWanted(exit.value) ? found : undefined
  })

  const note = ({ id }: ResponseAnswer) =>
    Effect.flatMap(AssetStore, (store) => store.note(job.id, key, id)).pipe(
      Effect.timeout(noteWithin),
      Effect.ignore({ log: "Warn" })
    )

  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const before = yield* Effect.mapError(restore(earlier), afterwards)
      if (before !== undefined) yield* Effect.logInfo(`goes on with response ${before.id} of an earlier attempt`)
      const submitted = before ?? (yield* Effect.tap(options.submit, note))
      return yield* watch(submitted, restore).pipe(Effect.tapError(options.told), Effect.mapError(afterwards))
    })
  )
}
