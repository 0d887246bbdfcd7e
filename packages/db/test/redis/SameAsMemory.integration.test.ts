/** The queue on Redis answers as the queue in memory, whatever the commands: the same random ones go to both. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { inject } from "vitest"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import { freshQueue, startRedis } from "../../../../tools/servers/testServers.ts"
import * as MemoryTime from "../../../core/test/job/MemoryTime.ts"
import { type Command, commands, follower, modelSettings, story } from "../../../core/test/job/QueueModel.ts"
import { eventually, redisCli } from "./OwnRedis.ts"
import * as RedisTime from "./RedisTime.ts"

/** Sequences tried; a long run is one with MODEL_RUNS set. */
const runs = Number(process.env["MODEL_RUNS"] ?? 1_000)
/** With restarts of Redis, which take their time. */
const runsWithRestarts = Math.ceil(runs / 100)
const commandsPerRestart = 25

const memory = Layer.merge(MemoryJobQueue.layer, MemoryTime.layer)
const redis = RedisTime.layer

let run = 0

/** Gives both the same commands; `meanwhile` is done before each of them. */
const compare = Effect.fnUntraced(function* (
  all: ReadonlyArray<Command>,
  queueName: string,
  meanwhile: (step: number) => Effect.Effect<unknown, unknown, JobQueue> = () => Effect.void
) {
  const settings = { ...modelSettings, name: `${queueName}-${++run}` }
  const expected = yield* follower.pipe(Effect.provide(memory), Effect.provideService(QueueSettings, settings))
  const services = yield* Layer.build(redis).pipe(Effect.provideService(QueueSettings, settings))
  const actual = yield* Effect.provide(follower, services)
  for (const [step, command] of all.entries()) {
    yield* Effect.provide(meanwhile(step), services)
    const wanted = yield* expected.follow(command)
    assert.deepStrictEqual(yield* actual.follow(command), wanted, story(all, step))
  }
  assert.deepStrictEqual(yield* actual.finalState, yield* expected.finalState, `in the end of${story(all)}`)
}, Effect.scoped)

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

it.layer(shared)("the same commands to memory and Redis", (it) => {
  it.effect.prop(
    "get the same answers",
    { commands },
    ({ commands }) => Effect.flatMap(Shared, ({ queueName }) => compare(commands, queueName)),
    { timeout: 600_000, arbitrary: { runs, maxShrinks: 3_000 } }
  )
})

class Own extends Context.Service<Own, Effect.Success<ReturnType<typeof startRedis>>>()("@muster/db/test/redis/Own") {}

const own = Layer.unwrap(
  Effect.map(startRedis({ fsync: "always" }), (server) =>
    RedisFunctions.layer.pipe(
      Layer.provideMerge(Redis.layer(Redacted.make(server.url))),
      Layer.merge(Layer.succeed(Own, server))
    )
  )
)

it.layer(own)("the same commands to memory and to a Redis that is killed", (it) => {
  it.effect.prop(
    "get the same answers, also when it has lost the function library",
    { commands },
    Effect.fnUntraced(function* ({ commands }) {
      const server = yield* Own
      const killed = Effect.gen(function* () {
        const queue = yield* JobQueue
        yield* server.kill
        yield* server.restart
        yield* eventually(redisCli(server.url, ["FUNCTION", "FLUSH"]))
        yield* eventually(queue.ping)
      })
      yield* compare(commands, "killed", (step) =>
        step % commandsPerRestart === commandsPerRestart - 1 ? TestClock.withLive(killed) : Effect.void
      )
    }),
    { timeout: 600_000, arbitrary: { runs: runsWithRestarts, maxShrinks: 100 } }
  )
})
