/** Facts of the store that the port cannot show: its keys, its fixed settings, its server's settings. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Layer } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisServer from "@muster/db/redis/RedisServer"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { claim, fail, inSeconds, jobId, settings, StoreTime, submit } from "../../../core/test/job/QueueTest.ts"
import { queueOn, redisCli } from "./OwnRedis.ts"
import { queueAt } from "./RedisQueueTest.ts"

const keys = Effect.gen(function* () {
  const redis = yield* Redis.Redis
  return (yield* redis.send("KEYS", ["*"])) as ReadonlyArray<string>
})

const late = { kind: "Timeout", message: "late" } as const

describe("RedisJobQueue", () => {
  it.live("every key carries the queue's hash tag, and when all jobs are gone only the queue's own facts remain", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      const named = queueAt(url).pipe(Layer.provide(Layer.succeed(QueueSettings, { ...settings, name: "tagged" })))
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        const time = yield* StoreTime
        for (let n = 0; n < 6; n++) yield* submit(`j${n}`, { service_required: "a" })
        for (let n = 6; n < 9; n++) yield* submit(`j${n}`, { service_required: "b", run_at: yield* inSeconds(10) })
        yield* submit("expires", { expires_at: yield* inSeconds(10) })
        yield* submit("cancelled", { expires_at: yield* inSeconds(10), run_at: yield* inSeconds(5) })
        const [completed, failed, again, later, , lost] = yield* claim({ types: ["a"], limit: 6 })
        yield* queue.start(completed!.fence)
        yield* queue.progress(completed!.fence, { percent: 1 })
        yield* queue.complete(completed!.fence, { big: "x".repeat(1_000) })
        yield* queue.fail(failed!.fence, late, null)
        yield* queue.fail(again!.fence, late, { delay: Duration.zero, usesRetry: true })
        yield* queue.fail(later!.fence, late, { delay: Duration.seconds(10), usesRetry: true })
        yield* queue.cancel(jobId("cancelled"))
        const all = yield* keys
        assert.include(all, "{muster:tagged}:failed")
        assert.isAbove(all.length, 20)
        assert.deepStrictEqual(
          all.filter((key) => !key.startsWith("{muster:tagged}:")),
          []
        )

        yield* queue.tick
        yield* time.pass("35 seconds")
        assert.include((yield* queue.tick).lost, lost!.job.id)
        for (const { job } of yield* claim({ types: ["a", "b"], limit: 100 })) yield* queue.cancel(job.id)
        // A kind of workers that is not used is doubted for a while first.
        for (let hours = 0; hours < 2; hours++) {
          yield* time.pass("2 hours")
          yield* Effect.repeat(queue.tick, { while: ({ more }) => more })
        }
        assert.deepStrictEqual((yield* queue.list({ limit: 10 })).jobs, [])
        // What a process is told waits for it for a minute only.
        const left = (yield* keys).filter((key) => !key.startsWith("{muster:tagged}:inbox:"))
        // What happened is forgotten apart.
        assert.sameMembers([...left], ["{muster:tagged}:log", "{muster:tagged}:meta"])
      }).pipe(Effect.provide(named))
    })
  )

  it.live("of many that are retried, those that failed after the beginning are passed over", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* Effect.gen(function* () {
        const functions = yield* RedisFunctions.RedisFunctions
        yield* submit("j")
        const [held] = yield* claim({})
        const { finished_at } = yield* fail(held!.fence, late, null)
        const failedAt = DateTime.toEpochMillis(finished_at!)
        const step = (began: number) =>
          functions.call("retry_failed", RedisFunctions.queuePrefix(settings.name), ["", "", String(began), ""])
        assert.deepStrictEqual(yield* step(failedAt - 1), ["0", String(failedAt - 1), ""])
        assert.deepStrictEqual(yield* step(failedAt), ["1", String(failedAt), ""])
      }).pipe(Effect.provide(queueOn(url)))
    })
  )

  it.live("queues on one Redis do not meet", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      const one = submit("j").pipe(Effect.provide(queueOn(url, { name: "one" })))
      yield* one
      const [claimed] = yield* claim({}).pipe(Effect.provide(queueOn(url, { name: "two" })))
      assert.isUndefined(claimed)
      assert.strictEqual(
        (yield* submit("j", { payload: 2 }).pipe(Effect.provide(queueOn(url, { name: "two" })))).payload,
        2
      )
    })
  )

  it.live("the priority step of a queue is fixed: another one is refused, whoever tries", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* Effect.provide(submit("j"), queueOn(url))
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        for (const attempt of [queue.ping, submit("k")]) {
          const error = yield* Effect.flip(attempt)
          assert.strictEqual(error._tag, "StorageError")
          assert.isTrue(error._tag === "StorageError" && !error.unavailable)
          assert.match(error.message, /60000 ms.*5000 ms/)
        }
        assert.strictEqual((yield* claim({})).length, 1)
      }).pipe(Effect.provide(queueOn(url, { priorityStep: Duration.seconds(5) })))
    })
  )

  it.live("settings that no queue can have are refused when it is built", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      for (const over of [
        { name: "a}b" },
        { name: "" },
        { priorityStep: Duration.days(36_525) },
        { priorityStep: Duration.infinity },
        { priorityStep: Duration.micros(1n) }
      ]) {
        const error = yield* Effect.flip(Layer.build(queueOn(url, over)))
        assert.strictEqual(error._tag, "StorageError")
      }
    })
  )

  it.live("a Redis that may evict jobs is refused, and its settings can be told", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis({ fsync: "always" })
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        const description = yield* RedisServer.describe
        assert.match(description.version, /^\d+\.\d+/)
        assert.deepInclude(description, {
          eviction: "noeviction",
          max_memory: "0",
          append_only: "yes",
          append_fsync: "always"
        })
        yield* redisCli(url, ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])
        for (const error of [yield* Effect.flip(RedisServer.describe), yield* Effect.flip(queue.ping)]) {
          assert.include(error.detail, "noeviction")
          assert.isFalse(error.unavailable)
        }
        yield* redisCli(url, ["CONFIG", "SET", "maxmemory-policy", "noeviction"])
        yield* queue.ping
      }).pipe(Effect.provide(queueOn(url)))
    })
  )

  it.live("settings that the server hides are unknown, and no reason to fail", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* redisCli(url, ["ACL", "SETUSER", "muster", "on", ">secret", "~*", "+@all", "-info", "-config"])
      const asUser = url.replace("//", "//muster:secret@")
      yield* Effect.gen(function* () {
        const description = yield* RedisServer.describe
        assert.deepStrictEqual(
          Object.values(description),
          Object.keys(description).map(() => "unknown")
        )
        yield* (yield* JobQueue).ping
      }).pipe(Effect.provide(queueOn(asUser)))
    })
  )
})
