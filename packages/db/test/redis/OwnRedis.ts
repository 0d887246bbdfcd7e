/** What tests do to a Redis of their own. They run on the live clock: a server takes the time it takes. */
import { Effect, Layer, Redacted, Schedule } from "effect"
import { join } from "node:path"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisEventLog from "@muster/db/redis/RedisEventLog"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisJobQueue from "@muster/db/redis/RedisJobQueue"
import { jobId, settings } from "../../../core/test/job/QueueTest.ts"

/** Repeats until it succeeds; after a minute the last failure stands. */
export const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(effect, Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "60 seconds" })))

/** A queue on this server and its log, with their connection. */
export const queueOn = (url: string, over: Partial<QueueSettings> = {}, functions = RedisFunctions.layer) =>
  Layer.merge(RedisJobQueue.layer, RedisEventLog.layer).pipe(
    Layer.provideMerge(functions),
    Layer.provideMerge(Redis.layer(Redacted.make(url))),
    Layer.provide(Layer.succeed(QueueSettings, { ...settings, ...over }))
  )

/** Sends commands as an operator would, over a connection of its own. */
export const redisCli = (url: string, ...commands: ReadonlyArray<ReadonlyArray<string>>) =>
  Effect.gen(function* () {
    const redis = yield* Redis.Redis
    let reply: unknown
    for (const [command, ...args] of commands) reply = yield* redis.send(command!, args)
    return reply
  }).pipe(Effect.provide(Redis.layer(Redacted.make(url))))

/** The file that Redis appends its writes to. */
export const appendFile = (url: string) =>
  Effect.map(redisCli(url, ["CONFIG", "GET", "dir"]), (reply) =>
    join((reply as ReadonlyArray<string>)[1]!, "appendonlydir", "appendonly.aof.1.incr.aof")
  )

export const submitMany = (count: number, concurrency: number | "unbounded" = 1) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    return yield* Effect.forEach(
      Array.from({ length: count }, (_, n) => n),
      (n) => Effect.result(queue.submit(jobId(`j${n}`), request({ service_required: "simulation" }))),
      { concurrency }
    )
  })
