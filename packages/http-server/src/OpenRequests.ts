/**
 * The requests of a server that stay open: event streams, and those that wait for a job's end. Their number is
 * bounded, one fiber looks after all of them, and a server that stops ends them first.
 */
import { Cause, Clock, Context, Duration, Effect, Layer, type Scope } from "effect"
import * as Problems from "./contract/Problems.ts"
import { StreamSettings } from "./StreamSettings.ts"

/** One of them, as the server looks after it. */
export interface OpenRequest {
  /** Called every now and then. */
  readonly look: (now: number) => void
  /** The server stops: answer what there is, and end. */
  readonly end: () => void
}

export class OpenRequests extends Context.Service<
  OpenRequests,
  {
    /** Counts the request from here on until its scope closes, unless there are as many as the server takes. */
    readonly admit: (request: OpenRequest) => Effect.Effect<void, Problems.TooManyStreams, Scope.Scope>
    /** Ends all that are open, and every one that comes. */
    readonly close: Effect.Effect<void>
    readonly count: Effect.Effect<number>
  }
>()("@muster/http-server/OpenRequests") {}

const retryAfterSeconds = 5

const lookEvery = Duration.seconds(1)

const make = Effect.gen(function* () {
  const { atMost, patience, pulse } = yield* StreamSettings
  const open = new Set<OpenRequest>()
  let closed = false

  const full = () =>
    new Problems.TooManyStreams({
      detail: `this server keeps at most ${atMost} requests open; come back later, or ask another server`,
      retry_after_s: retryAfterSeconds
    })

  const enter = (request: OpenRequest) =>
    Effect.suspend(() => {
      if (open.size >= atMost) return Effect.fail(full())
      open.add(request)
      if (closed) request.end()
      return Effect.void
    })

  yield* Clock.currentTimeMillis.pipe(
    Effect.map((now) => open.forEach((request) => request.look(now))),
    Effect.catchCause((cause) =>
      Cause.hasInterrupts(cause) ? Effect.failCause(cause) : Effect.logError("looking after streams failed", cause)
    ),
    Effect.delay(Duration.min(lookEvery, Duration.min(pulse, patience))),
    Effect.forever,
    Effect.forkScoped
  )

  return OpenRequests.of({
    admit: (request) => Effect.acquireRelease(enter(request), () => Effect.sync(() => open.delete(request))),
    close: Effect.sync(() => {
      closed = true
      for (const request of open) request.end()
    }),
    count: Effect.sync(() => open.size)
  })
})

export const layer: Layer.Layer<OpenRequests> = Layer.effect(OpenRequests, make)

/** Ends what is open when its scope closes: build it after what listens, so that this happens before that stops. */
export const endAtStop: Layer.Layer<never, never, OpenRequests> = Layer.effectDiscard(
  Effect.flatMap(OpenRequests, ({ close }) => Effect.addFinalizer(() => close))
)
