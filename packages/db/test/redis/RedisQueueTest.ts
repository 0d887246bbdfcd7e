/** Queues of one's own on the Redis of the test run, or on another. */
import { Effect, Layer, Redacted } from "effect"
import { inject } from "vitest"
import type { EventLog } from "@muster/core/event/internal/EventLog"
import type { JobQueue } from "@muster/core/job/internal/JobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import { freshQueue } from "../../../../tools/servers/testServers.ts"
import type { StoreTime } from "../../../core/test/job/QueueTest.ts"
import * as RedisTime from "./RedisTime.ts"

/** A queue of the settings in the context, and what lies under it. */
export const queueAt = (url: string) =>
  RedisTime.layer.pipe(Layer.provideMerge(RedisFunctions.layer), Layer.provideMerge(Redis.layer(Redacted.make(url))))

/** A queue under a new name on the shared server; its keys go with the scope. */
export const layer: Layer.Layer<
  JobQueue | EventLog | StoreTime | RedisFunctions.RedisFunctions | Redis.Redis,
  unknown
> = Layer.unwrap(
  Effect.gen(function* () {
    const settings = yield* QueueSettings
    const name = yield* freshQueue
    return queueAt(inject("redisUrl")).pipe(Layer.provide(Layer.succeed(QueueSettings, { ...settings, name })))
  })
)
