/**
 * The memory of Redis, and when it will be short, from readings every ten seconds over the last ten minutes. A reading
 * that fails is left out: the next one says more.
 */
import { type MemoryFigures, QueueMemory, shortFrom } from "@muster/core/diagnosis/QueueMemory"
import * as Forecast from "@muster/core/diagnosis/Forecast"
import { Clock, Effect, Layer, Schedule } from "effect"
import { Redis } from "./Redis.ts"
import { toStorageError } from "./RedisFailure.ts"
import * as RedisInfo from "./RedisInfo.ts"

const interval = "10 seconds"
/** Readings kept: ten minutes. */
const kept = 60

/** The figures of one moment. */
const figuresOf = (info: RedisInfo.Info, readings: ReadonlyArray<Forecast.Reading>): MemoryFigures => {
  const used_bytes = RedisInfo.number(info, "used_memory") ?? 0
  const limit = RedisInfo.number(info, "maxmemory") ?? 0
  const left = limit > 0 ? Forecast.fullIn(readings, shortFrom * limit) : null
  return {
    used_bytes,
    limit_bytes: limit > 0 ? limit : null,
    short_in_s: left === null ? null : Math.round(left / 1_000)
  }
}

/** Provides {@link QueueMemory}, with readings for as long as the layer. */
export const layer: Layer.Layer<never, never, Redis> = Layer.effect(
  QueueMemory,
  Effect.gen(function* () {
    const redis = yield* Redis
    let readings: ReadonlyArray<Forecast.Reading> = []
    const read = Effect.provideService(RedisInfo.read("memory"), Redis, redis)
    const take = Effect.gen(function* () {
      const value = RedisInfo.number(yield* read, "used_memory")
      const at = yield* Clock.currentTimeMillis
      // Older ones are of another life of the process: it slept.
      if (value !== undefined) readings = [...readings, { at, value }].slice(-kept)
    })
    yield* Effect.ignore(take).pipe(Effect.repeat(Schedule.spaced(interval)), Effect.forkScoped)
    return {
      read: Effect.map(read, (info) => figuresOf(info, readings)).pipe(
        Effect.mapError(toStorageError("QueueMemory.read"))
      )
    }
  })
)
