import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Redacted, Scope } from "effect"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import type { StorageError } from "@muster/core/job/JobErrors"
import * as Redis from "@muster/db/redis/Redis"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { claim, complete, jobId, submit, worker } from "../../../core/test/job/QueueTest.ts"
import { eventually, queueOn, redisCli, submitMany } from "./OwnRedis.ts"

const failure = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => error as StorageError)

/** Unavailable, in words that tell nothing of the address. */
const assertAway = (error: StorageError, url: string) => {
  assert.strictEqual(error._tag, "StorageError")
  assert.isTrue(error.unavailable, error.detail)
  assert.notInclude(error.message, new URL(url).port)
}

describe("Redis", () => {
  it.live(
    "a queue can be built while Redis is away, says so, and heals",
    () =>
      Effect.gen(function* () {
        const server = yield* startRedis()
        yield* server.stop
        yield* Effect.gen(function* () {
          const queue = yield* JobQueue
          assertAway(yield* failure(queue.ping), server.url)
          assertAway(yield* failure(submit("j")), server.url)
          assertAway(yield* failure(queue.tick), server.url)
          yield* server.restart
          yield* eventually(queue.ping)
          assert.strictEqual((yield* submit("j")).status, "pending")
        }).pipe(Effect.provide(queueOn(server.url)))
      }),
    120_000
  )

  it.live(
    "jobs and leases outlive a kill of Redis",
    () =>
      Effect.gen(function* () {
        const server = yield* startRedis()
        yield* Effect.gen(function* () {
          const queue = yield* JobQueue
          for (let n = 0; n < 20; n++) yield* submit(`j${n}`)
          const held = yield* claim({ limit: 5 })
          yield* queue.start(held[0]!.fence)
          yield* server.kill
          assertAway(yield* failure(queue.complete(held[0]!.fence, 1)), server.url)
          assertAway(yield* failure(queue.ping), server.url)
          yield* server.restart
          yield* eventually(queue.ping)
          assert.deepStrictEqual(
            yield* queue.renew({ worker_id: worker(), fences: held.map(({ fence }) => fence) }),
            []
          )
          for (const { fence } of held) assert.strictEqual((yield* complete(fence, 1)).status, "completed")
          const rest = (yield* claim({ limit: 100 })).map(({ job }) => String(job.id))
          assert.deepStrictEqual(
            rest,
            Array.from({ length: 15 }, (_, n) => `j${n + 5}`)
          )
        }).pipe(Effect.provide(queueOn(server.url)))
      }),
    120_000
  )

  it.live(
    "what was under way when Redis was killed ends at once, and repeating it is harmless",
    () =>
      Effect.gen(function* () {
        const server = yield* startRedis({ fsync: "always" })
        yield* Effect.gen(function* () {
          const queue = yield* JobQueue
          const submitting = yield* Effect.forkChild(submitMany(3_000, 64), { startImmediately: true })
          yield* eventually(Effect.filterOrFail(queue.list({ limit: 1 }), ({ jobs }) => jobs.length > 0))
          yield* server.kill
          const results = yield* Fiber.join(submitting)
          const failures = results.flatMap((result) => (result._tag === "Failure" ? [result.failure] : []))
          assert.isAbove(failures.length, 0)
          for (const error of failures) {
            assertAway(error as StorageError, server.url)
            assert.notInclude((error as StorageError).detail, "in time")
          }
          yield* server.restart
          yield* eventually(queue.ping)
          const again = yield* submitMany(3_000, 64)
          for (const [n, result] of again.entries()) {
            assert.strictEqual(result._tag, "Success")
            const answered = results[n]?._tag === "Success"
            if (answered)
              assert.isTrue(result._tag === "Success" && !result.success.created, `j${n} was answered and lost`)
          }
          const ids = new Set<string>()
          for (let round = 0; round < 30; round++) {
            for (const { job } of yield* claim({ limit: 100, capacity: 10_000 })) ids.add(job.id)
          }
          assert.strictEqual(ids.size, 3_000)
        }).pipe(Effect.provide(queueOn(server.url)))
      }),
    120_000
  )

  it.live(
    "a Redis that hangs fails commands after a while, and the connection closes promptly",
    () =>
      Effect.gen(function* () {
        const server = yield* startRedis()
        const scope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(queueOn(server.url), scope)
        yield* Effect.gen(function* () {
          const queue = yield* JobQueue
          yield* submit("j")
          yield* server.pause
          assertAway(yield* failure(queue.ping), server.url)
          const [took] = yield* Effect.timed(Scope.close(scope, Exit.void))
          // Half a second is waited for a good end; a command may take 5 s.
          assert.isBelow(Duration.toMillis(took), 4_500)
          yield* server.resume
        }).pipe(Effect.provideContext(context))
      }),
    120_000
  )

  it.live("a URL that is none, a wrong password and a right one", () =>
    Effect.gen(function* () {
      const server = yield* startRedis()
      for (const url of ["", "localhost:6379", "http://user:secret@localhost", "redis://user:secret@host:port"]) {
        const error = yield* failure(Layer.build(Redis.layer(Redacted.make(url))))
        assert.strictEqual(error._tag, "StorageError")
        assert.notInclude(`${error.message} ${String(error.cause)}`, "secret")
      }
      yield* redisCli(server.url, ["CONFIG", "SET", "requirepass", "p@ss/word"])
      const withPassword = (password: string) => server.url.replace("//", `//:${encodeURIComponent(password)}@`)
      const right = yield* Effect.provide(submit("j"), queueOn(withPassword("p@ss/word")))
      assert.strictEqual(right.status, "pending")
      for (const url of [server.url, withPassword("guess")]) {
        const error = yield* failure(Effect.provide(submit("j"), queueOn(url)))
        assertAway(error, server.url)
        assert.include(error.detail, "credentials")
        assert.notInclude(`${error.message} ${String(error.cause)}`, "guess")
      }
    })
  )

  it.live("finishPassesAtOutOfMemory: submits are refused, and all else passes", () =>
    Effect.gen(function* () {
      const server = yield* startRedis()
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        for (const id of ["a", "b", "c", "d", "e"]) yield* submit(id)
        const [a, b, c, d] = yield* claim({ limit: 4 })
        yield* redisCli(server.url, ["CONFIG", "SET", "maxmemory", "1"])
        for (const error of [yield* failure(submit("f")), yield* failure(queue.ping)]) {
          assertAway(error, server.url)
          assert.include(error.detail, "memory")
        }
        yield* queue.start(a!.fence)
        yield* queue.progress(a!.fence, { percent: 50 })
        assert.deepStrictEqual(yield* queue.renew({ worker_id: worker(), fences: [a!.fence] }), [])
        assert.strictEqual((yield* complete(a!.fence, { image: "x".repeat(1_000) })).status, "completed")
        yield* queue.fail(b!.fence, { kind: "Timeout", message: "late" }, { delay: Duration.zero, usesRetry: true })
        yield* queue.giveBack(c!.fence)
        yield* queue.cancel(d!.fence.job_id)
        const [again] = yield* claim({})
        yield* queue.fail(again!.fence, { kind: "Timeout", message: "late" }, null)
        yield* queue.retry(again!.fence.job_id)
        assert.strictEqual(yield* queue.retryFailed({}), 0)
        yield* queue.tick
        assert.strictEqual((yield* queue.list({ limit: 10 })).jobs.length, 5)
        // A kind of worker that was never seen, and one that is stopped.
        yield* claim({ worker: "w2", types: ["other"] })
        yield* queue.leaveIdle(worker("w2"))
        yield* queue.setStanding(worker("w2"), "paused")
        assert.strictEqual((yield* claim({ limit: 10, types: ["simulation", "other"] })).length, 3)
        assert.strictEqual((yield* queue.giveBackAll(a!.job.worker_id!)).length, 3)
        yield* redisCli(server.url, ["CONFIG", "SET", "maxmemory", "0"])
        yield* queue.ping
        // The figures are read again with a tick, when they are a second old.
        yield* eventually(Effect.andThen(queue.tick, submit("f")))
      }).pipe(Effect.provide(queueOn(server.url)))
    })
  )

  it.live(
    "a Redis that cannot write to its disk is unavailable, and serves again when it can",
    () =>
      Effect.gen(function* () {
        const server = yield* startRedis()
        yield* Effect.gen(function* () {
          const queue = yield* JobQueue
          yield* submit("j")
          const [held] = yield* claim({})
          // A folder stands where the snapshot is to be written.
          const dir = (yield* redisCli(server.url, ["CONFIG", "GET", "dir"])) as ReadonlyArray<string>
          yield* Effect.promise(() => mkdir(join(dir[1]!, "dump.rdb", "full"), { recursive: true }))
          yield* redisCli(server.url, ["CONFIG", "SET", "save", "3600 1"], ["BGSAVE"])
          yield* eventually(Effect.flip(queue.ping))
          for (const refused of [queue.ping, submit("k"), queue.complete(held!.fence, 1)]) {
            const error = yield* failure<unknown, unknown, JobQueue>(refused)
            assertAway(error, server.url)
            assert.include(error.detail, "disk")
          }
          assert.strictEqual((yield* queue.list({ limit: 10 })).jobs.length, 1)
          yield* redisCli(server.url, ["CONFIG", "SET", "save", ""])
          yield* queue.ping
          assert.strictEqual((yield* complete(held!.fence, 1)).status, "completed")
          yield* submit("k")
        }).pipe(Effect.provide(queueOn(server.url)))
      }),
    120_000
  )

  it.live(
    "a read-only replica is unavailable",
    () =>
      Effect.gen(function* () {
        const primary = yield* startRedis()
        const replica = yield* startRedis()
        yield* Effect.gen(function* () {
          const queue = yield* JobQueue
          yield* queue.ping
          yield* redisCli(replica.url, ["REPLICAOF", "127.0.0.1", new URL(primary.url).port])
          const error = yield* failure(queue.ping)
          assertAway(error, replica.url)
          assertAway(yield* failure(queue.submit(jobId("j"), request({ service_required: "x" }))), replica.url)
          yield* redisCli(replica.url, ["REPLICAOF", "NO", "ONE"])
          yield* eventually(queue.ping)
        }).pipe(Effect.provide(queueOn(replica.url)))
      }),
    120_000
  )
})
