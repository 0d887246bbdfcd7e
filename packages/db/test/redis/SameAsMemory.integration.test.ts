/** The queue on Redis answers as the queue in memory, whatever the commands: the same random ones go to both. */
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Redacted } from "effect"
import { TestClock } from "effect/testing"
import { inject } from "vitest"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { textOf } from "@muster/core/job/RequirementClass"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import { freshQueue, startRedis } from "../../../../tools/servers/testServers.ts"
import { listening, said } from "../../../core/test/event/EventTest.ts"
import * as MemoryTime from "../../../core/test/job/MemoryTime.ts"
import { type Command, commands, follower, modelSettings, story } from "../../../core/test/job/QueueModel.ts"
import { eventually, redisCli } from "./OwnRedis.ts"
import { offers } from "../../../core/test/job/ModelTables.ts"
import { worker } from "../../../core/test/job/QueueTest.ts"
import * as RedisTime from "./RedisTime.ts"

/** Sequences tried; a long run is one with MODEL_RUNS set. */
const runs = Number(process.env["MODEL_RUNS"] ?? 1_000)
/** With restarts of Redis, which take their time. */
const runsWithRestarts = Math.ceil(runs / 100)
const commandsPerRestart = 25

const memory = Layer.merge(MemoryJobQueue.layer, MemoryTime.layer)
const redis = RedisTime.layer

/** What is told of the jobs since now: for each of them in its order, for jobs of one step may come in any. */
const told = Effect.map(listening, (heard) =>
  Effect.map(heard, (events) =>
    [...Map.groupBy(events.map(said), ({ job_id }) => String(job_id))].toSorted(([a], [b]) => (a < b ? -1 : 1))
  )
)

/** What a queue says of its jobs without showing them. */
const views = Effect.fnUntraced(function* (queue: JobQueue["Service"], all: ReadonlyArray<Command>) {
  // A store may know a kind of workers by its machine only since the last claim after a job named that.
  for (const command of all) {
    if (command._tag !== "claim") continue
    const capabilities = { job_types: [...command.types], ...offers[command.offer]! }
    yield* queue.claim({ worker_id: worker("looks"), capabilities, capacity: 0, limit: 0, nonce: "none" })
  }
  const { jobs } = yield* queue.list({ limit: 100 })
  const places = yield* Effect.forEach(jobs, ({ job }) =>
    Effect.map(
      queue.place(job.id),
      Option.map(({ due_at, ...place }) => ({ ...place, due: due_at !== null }))
    )
  )
  const { classes } = yield* queue.classes(null)
  const depths = classes.map(({ facts, pending }) => `${textOf(facts)}: ${pending}`).toSorted()
  return { places, counts: yield* queue.counts, depths }
})

const everything = Effect.gen(function* () {
  const queue = yield* JobQueue
  const { finalState, follow } = yield* follower
  return { finalState, follow, heard: yield* told, views: (all: ReadonlyArray<Command>) => views(queue, all) }
})

let run = 0

/** Gives both the same commands; `meanwhile` is done before each of them. */
const compare = Effect.fnUntraced(function* (
  all: ReadonlyArray<Command>,
  queueName: string,
  meanwhile: (step: number) => Effect.Effect<unknown, unknown, JobQueue> = () => Effect.void
) {
  const settings = { ...modelSettings, name: `${queueName}-${++run}` }
  const expected = yield* everything.pipe(Effect.provide(memory), Effect.provideService(QueueSettings, settings))
  const services = yield* Layer.build(redis).pipe(Effect.provideService(QueueSettings, settings))
  const actual = yield* Effect.provide(everything, services)
  for (const [step, command] of all.entries()) {
    yield* Effect.provide(meanwhile(step), services)
    const wanted = yield* expected.follow(command)
    assert.deepStrictEqual(yield* actual.follow(command), wanted, story(all, step))
  }
  assert.deepStrictEqual(yield* actual.heard, yield* expected.heard, `events of${story(all)}`)
  assert.deepStrictEqual(yield* actual.views(all), yield* expected.views(all), `views in the end of${story(all)}`)
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
    { timeout: 1_200_000, arbitrary: { runs, maxShrinks: 3_000 } }
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
      // The store's own clock runs on meanwhile, and the other one has to.
      const bothWait = Effect.flatMap(TestClock.withLive(Effect.timed(killed)), ([took]) => TestClock.adjust(took))
      yield* compare(commands, "killed", (step) =>
        step % commandsPerRestart === commandsPerRestart - 1 ? bothWait : Effect.void
      )
    }),
    { timeout: 1_200_000, arbitrary: { runs: runsWithRestarts, maxShrinks: 100 } }
  )
})
