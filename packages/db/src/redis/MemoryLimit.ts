/**
 * Stops taking jobs before Redis has to: what is left of its memory is for finishing those it has. Source: broker
 * rule 20. The figures are read with the ticks of this process, so a process that never ticks leaves it to Redis itself.
 */
import { Clock, Effect } from "effect"
import type { Redis } from "./Redis.ts"
import { RedisFailure } from "./RedisFailure.ts"

/** The part of maxmemory from which no job is taken. */
const short = 0.9
const everyMs = 1_000

const number = (info: string, name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0)

export const make = Effect.fnUntraced(function* (redis: Redis["Service"]) {
  let isShort = false
  let lookedAt = (yield* Clock.currentTimeMillis) - everyMs

  /** Reads the figures. */
  const read = Effect.gen(function* () {
    lookedAt = yield* Clock.currentTimeMillis
    const info = String(yield* Effect.orElseSucceed(redis.send("INFO", ["memory"]), () => ""))
    const limit = number(info, "maxmemory")
    isShort = limit > 0 && number(info, "used_memory") > short * limit
  })

  return {
    read,
    /** Reads them when they are a second old. */
    look: Effect.flatMap(Clock.currentTimeMillis, (now) => (Math.abs(now - lookedAt) < everyMs ? Effect.void : read)),

    refuseWhenShort: Effect.suspend(() =>
      isShort
        ? Effect.fail(
            new RedisFailure({
              detail: "Redis has used 90 % of its memory limit; jobs are taken again when it has less",
              unavailable: true,
              cause: new Error("used_memory is over 90 % of maxmemory")
            })
          )
        : Effect.void
    )
  }
})
