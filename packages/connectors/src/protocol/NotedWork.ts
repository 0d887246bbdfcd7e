/**
 * Work that is paid for at a service: submitted, watched to its end, and cancelled when nobody waits for it any more. Its
 * id is noted as soon as it is known: a later attempt of the job, on whatever worker, goes on with what an earlier one
 * has paid for, when that runs or has ended well.
 */
import { AssetStore } from "@muster/core/connector/AssetStore"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Clock, DateTime, Duration, Effect, Exit, Option } from "effect"
import * as Polling from "./Polling.ts"

/** A note that takes longer is given up: what it is about goes on. */
const noteWithin = Duration.seconds(10)

const isId = (text: string): boolean => /^[\w-]{1,256}$/.test(text)

export interface NotedWorkOptions<Work extends { readonly id: string }, Prepared, E, R> {
  readonly job: Pick<ConnectorJob, "id" | "attempt">
  /** What was asked for, whatever attempt it is: see `RequestKey`. */
  readonly key: string
  /** How one piece of it is called in messages. */
  readonly what: string
  /** What has to be there before it is submitted; not done where an earlier attempt has submitted it. */
  readonly prepare: Effect.Effect<Prepared, ConnectorFailure, R>
  /** Not interrupted, so that what was taken on is known, and can be cancelled. */
  readonly submit: (prepared: Prepared) => Effect.Effect<Work, E, R>
  readonly retrieve: (id: string) => Effect.Effect<Work, ConnectorFailure, R>
  readonly cancel: (id: string) => Effect.Effect<unknown, unknown>
  readonly ending: (work: Work, now: DateTime.Utc) => Polling.Looked<Work>
  /** Hears of all that is seen of it. */
  readonly seen: (work: Work) => Effect.Effect<void>
  readonly every: Duration.Duration
  /** How often it is looked at; without end when left out. */
  readonly tries?: number
  /** Whether work of an earlier attempt that has ended well is what is wanted; all is when left out. */
  readonly isWanted?: (work: Work) => boolean
  /** Hears how work that was submitted failed. */
  readonly told?: (failure: ConnectorFailure) => Effect.Effect<void>
}

/**
 * Does work, or goes on with that of an earlier attempt, and gives it when it has ended well. Fails as the submitting
 * does, and with a `ConnectorFailure` for all that is not submitting.
 */
export const make = <Work extends { readonly id: string }, Prepared, E, R>(
  options: NotedWorkOptions<Work, Prepared, E, R>
): Effect.Effect<Work, E | ConnectorFailure, R | AssetStore> => {
  const { isWanted = () => true, job, key, told = () => Effect.void, what } = options
  const ending = (work: Work) =>
    Effect.map(Clock.currentTimeMillis, (now) => options.ending(work, DateTime.makeUnsafe(now)))
  const look = (work: Work) => Effect.andThen(options.seen(work), ending(work))

  // What was taken on is there, though perhaps not yet everywhere; that it is not says nothing about the payload.
  const retrieve = (id: string) =>
    Effect.mapError(options.retrieve(id), (failure) =>
      failure.kind === "InvalidPayload"
        ? new ConnectorFailure({ kind: "ServiceUnavailable", message: `${what} ${id}: ${failure.message}` })
        : failure
    )

  const watch = (submitted: Work, restore: Polling.Restore) => {
    let isFirst = true
    return Polling.untilDone({
      ask: Effect.suspend(() => {
        const work = isFirst ? Effect.succeed(submitted) : retrieve(submitted.id)
        isFirst = false
        return Effect.flatMap(work, look)
      }),
      every: options.every,
      tries: options.tries,
      cancel: options.cancel(submitted.id),
      what: `${what} ${submitted.id}`,
      restore
    }).pipe(Effect.tapError(told))
  }

  /** What an earlier attempt submitted, unless nothing can become of it. Nobody is paid while that is not known. */
  const earlier = Effect.gen(function* () {
    if (job.attempt <= 1) return undefined
    const store = yield* AssetStore
    const noted = yield* Effect.mapError(
      store.noted(job.id, key),
      ({ message }) => new ConnectorFailure({ kind: "AssetFailed", message })
    )
    if (Option.isNone(noted) || !isId(noted.value)) return undefined
    const found = yield* options.retrieve(noted.value).pipe(
      Effect.catchIf(
        ({ kind }) => kind === "InvalidPayload",
        () => Effect.undefined
      )
    )
    if (found === undefined) return undefined
    const ended = yield* ending(found)
    if (Option.isNone(ended)) return found
    const exit = yield* Effect.exit(ended.value)
    return Exit.isSuccess(exit) && isWanted(exit.value) ? found : undefined
  })

  const note = ({ id }: Work) =>
    Effect.flatMap(AssetStore, (store) => store.note(job.id, key, id)).pipe(
      Effect.timeout(noteWithin),
      Effect.ignore({ log: "Warn", message: `${what} ${id} could not be noted` })
    )

  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const before = yield* restore(earlier)
      if (before !== undefined) {
        yield* Effect.logInfo(`goes on with ${what} ${before.id} of an earlier attempt`)
        return yield* watch(before, restore)
      }
      const submitted = yield* Effect.flatMap(restore(options.prepare), options.submit)
      return yield* watch(yield* Effect.as(note(submitted), submitted), restore)
    })
  )
}
