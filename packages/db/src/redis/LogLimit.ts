/**
 * Keeps the event log from outgrowing Redis when nobody archives what happens: first the progress of jobs is not told,
 * then no job is taken. Its size is known from the ticks of this process. Source: broker rule 17.
 */
import { EventSettings } from "@muster/core/event/EventSettings"
import { Effect } from "effect"
import { RedisFailure } from "./RedisFailure.ts"

/** From so many times its limit the log takes no jobs. */
const overfull = 2

export const make = Effect.gen(function* () {
  const settings = yield* EventSettings
  let bytes = 0
  return {
    note: (known: number): void => {
      bytes = known
    },

    /** Whether events that nobody misses must be left out. */
    isFull: (): boolean => bytes > settings.maxBytes,

    refuseWhenOverfull: Effect.suspend(() =>
      bytes > overfull * settings.maxBytes
        ? Effect.fail(
            new RedisFailure({
              detail: "the event log is full: jobs are taken again when what happened has been archived",
              unavailable: true,
              cause: new Error(`the event log has ${bytes} bytes`)
            })
          )
        : Effect.void
    )
  }
})
