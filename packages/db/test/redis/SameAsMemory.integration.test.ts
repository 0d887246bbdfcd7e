/** The queue on Redis answers as the queue in memory, whatever the commands: the same random ones go to both. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { inject } from "vitest"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisJobQueue from "@muster/db/redis/RedisJobQueue"
import { freshQueue } from "../../../../tools/servers/testServers.ts"
import * as MemoryTime from "../../../core/test/job/MemoryTime.ts"
import { commands, follower, modelSettings, story } from "../../../core/test/job/QueueModel.ts"
import * as RedisTime from "./RedisTime.ts"

const memory = Layer.merge(MemoryJobQueue.layer, MemoryTime.layer)
const redis = Layer.merge(RedisJobQueue.layer, RedisTime.layer)

class Shared extends Context.Service<Shared, { readonly queueName: string }>()("@muster/db/test/redis/Shared") {}

/** One connection for all runs; the name begins the names of all their queues. */
const shared = Layer.merge(
  Layer.effect(
    Shared,
    Effect.map(freshQueue, (queueName) => ({ queueName }))
  ),
  RedisFunctions.layer.pipe(
    Layer.provideMerge(Layer.unwrap(Effect.sync(() => Redis.layer(Redacted.make(inject("redisUrl"))))))
  )
)

let run = 0

it.layer(shared)("the same commands to memory and Redis", (it) => {
  it.effect.prop(
    "get the same answers",
    { commands },
    Effect.fnUntraced(function* ({ commands }) {
      const { queueName } = yield* Shared
      const name = `${queueName}-${++run}`
      const expected = yield* follower.pipe(
        Effect.provide(memory),
        Effect.provideService(QueueSettings, { ...modelSettings, name })
      )
      const actual = yield* follower.pipe(
        Effect.provide(redis),
        Effect.provideService(QueueSettings, { ...modelSettings, name })
      )
      for (const [step, command] of commands.entries()) {
        const wanted = yield* expected.follow(command)
        assert.deepStrictEqual(yield* actual.follow(command), wanted, story(commands, step))
      }
      assert.deepStrictEqual(yield* actual.finalState, yield* expected.finalState, "in the end")
    }),
    { timeout: 600_000, arbitrary: { runs: Number(process.env["MODEL_RUNS"] ?? 1_000), maxShrinks: 3_000 } }
  )
})
