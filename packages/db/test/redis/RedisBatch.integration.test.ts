/** A batch that Redis takes in several calls: what is left when it breaks off between two of them. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import { RedisFailure } from "@muster/db/redis/RedisFailure"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { claim, jobId } from "../../../core/test/job/QueueTest.ts"
import { queueOn, redisCli } from "./OwnRedis.ts"

const batch = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    id: jobId(`j${n}`),
    request: request({ service_required: "simulation", payload: { n } })
  }))

/** The functions, with something that happens before the nth call of `submit_many`. */
const beforeStep = (step: number, act: Effect.Effect<unknown, RedisFailure>) =>
  Layer.effect(
    RedisFunctions.RedisFunctions,
    Effect.gen(function* () {
      const functions = yield* RedisFunctions.RedisFunctions
      let steps = 0
      return RedisFunctions.RedisFunctions.of({
        call: (name, queue, args) => {
          const call = functions.call(name, queue, args)
          return name === "submit_many" && ++steps === step ? Effect.andThen(act, call) : call
        }
      })
    })
  ).pipe(Layer.provide(RedisFunctions.layer))

const stored = Effect.gen(function* () {
  const queue = yield* JobQueue
  return (yield* queue.list({ limit: 1_000 })).jobs.length
})

it.live("a batch that breaks off leaves its first jobs, and repeating it stores the others behind them", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    const broken = new RedisFailure({ detail: "gone", unavailable: true, cause: new Error("gone") })
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const jobs = batch(250)
      const error = yield* Effect.flip(queue.submitMany(jobs))
      assert.strictEqual(error._tag, "StorageError")
      assert.isTrue(error._tag === "StorageError" && error.unavailable && error.operation === "JobQueue.submitMany")
      assert.strictEqual(yield* stored, 64)
      assert.deepStrictEqual(
        (yield* queue.submitMany(jobs)).map(({ created }) => created),
        jobs.map((_, n) => n >= 64)
      )
      const order: Array<string> = []
      for (let round = 0; round < 3; round++) {
        order.push(...(yield* claim({ limit: 100 })).map(({ job }) => String(job.id)))
      }
      assert.deepStrictEqual(
        order,
        jobs.map(({ id }) => String(id))
      )
    }).pipe(Effect.provide(queueOn(url, {}, beforeStep(2, Effect.fail(broken)))))
  })
)

it.live("a batch whose later id is taken while it is stored is refused there, and leaves its first jobs", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    const somebody = Context.get(yield* Layer.build(queueOn(url)), JobQueue)
    const other = request({ service_required: "simulation", payload: "another" })
    const takesOne = Effect.orDie(somebody.submit(jobId("j150"), other))
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const error = yield* Effect.flip(queue.submitMany(batch(250)))
      assert.deepInclude(error, { _tag: "JobAlreadyExists", id: jobId("j150") })
      assert.strictEqual(yield* stored, 129)
    }).pipe(Effect.provide(queueOn(url, {}, beforeStep(2, takesOne))))
  })
)

it.live("a batch is refused when memory is full, and nothing of it is stored", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* redisCli(url, ["CONFIG", "SET", "maxmemory", "1"])
      const error = yield* Effect.flip(queue.submitMany(batch(250)))
      assert.isTrue(error._tag === "StorageError" && error.unavailable)
      assert.include(error.message, "memory")
      yield* redisCli(url, ["CONFIG", "SET", "maxmemory", "0"])
      assert.strictEqual(yield* stored, 0)
    }).pipe(Effect.provide(queueOn(url)))
  })
)
