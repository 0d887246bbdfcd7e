/**
 * Whether a ComfyUI gets anything done. The thread that runs its prompts can die while HTTP goes on answering 200: then
 * prompts wait and none runs. Such a server is sick until it was away, or until a while has passed.
 */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Clock, Duration, Effect } from "effect"
import type { Queue } from "./ComfyMessages.ts"

export interface Liveness {
  /** Takes in a queue that was just read; fails when prompts wait and none has run for too long. */
  readonly saw: (queue: Pick<Queue, "queue_running" | "queue_pending">) => Effect.Effect<void, ConnectorFailure>
  /** Something ran, or the server was away and is another one when it is back. */
  readonly clear: Effect.Effect<void>
  /** Fails while it is known to be stuck. */
  readonly check: Effect.Effect<void, ConnectorFailure>
}

/** With an empty queue nothing tells whether it would run again; after this long it is tried. */
const rememberedFor = Duration.minutes(5)

const stuck = new ConnectorFailure({
  kind: "ServiceUnavailable",
  message: "ComfyUI answers, but runs nothing: prompts wait in its queue and none is started. Start it again"
})

/** `patience`: how long prompts may wait while none runs. */
export const make = (patience: Duration.Duration): Liveness => {
  let idleSince: number | undefined
  let stuckAt: number | undefined

  const clear = Effect.sync(() => {
    idleSince = undefined
    stuckAt = undefined
  })

  const check = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (stuckAt !== undefined && now - stuckAt >= Duration.toMillis(rememberedFor)) stuckAt = undefined
    return stuckAt === undefined ? Effect.void : Effect.fail(stuck)
  })

  return {
    clear,
    check,
    saw: ({ queue_pending, queue_running }) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (queue_running.length > 0) return clear
        if (queue_pending.length === 0) {
          idleSince = undefined
          return check
        }
        idleSince ??= now
        if (now - idleSince >= Duration.toMillis(patience)) stuckAt = now
        return check
      })
  }
}
