/**
 * The stores of the broker, already wired, under the names the documents give them. Compose one of the first two with
 * `httpRoutes` or with use cases of your own; `docs/library.md` shows how.
 */
import * as PgHeartbeatStore from "@muster/db/postgres/PgHeartbeatStore"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as PgWorkerRepository from "@muster/db/postgres/PgWorkerRepository"
import * as Postgres from "@muster/db/postgres/Postgres"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisJobQueue from "@muster/db/redis/RedisJobQueue"
import * as RedisServer from "@muster/db/redis/RedisServer"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import type { StorageError } from "@muster/core/job/JobErrors"
import type { Ports } from "@muster/core/Ports"
import type { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import type { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { whileAway } from "@muster/core/WhileAway"
import type { RepositoryError } from "@muster/core/worker/WorkerErrors"
import { MassLossBrake } from "@muster/core/worker/MassLossBrake"
import * as HttpServer from "@muster/http-server/HttpServer"
import { Duration, Effect, Fiber, Layer, type Redacted, Ref } from "effect"

/** Everything in this process; nothing outlives it. */
export const inMemory: Layer.Layer<Ports> = Layer.mergeAll(
  MemoryRegistry.layer,
  MemoryJobQueue.layer,
  MassLossBrake.layer
)

/** How long a start waits for its stores; what is slower, or away, is waited for in the background. */
const patience = Duration.seconds(3)

/** Does what a store needs once, as soon as it can, and says each new reason why it cannot. */
const prepare = <R>(
  store: string,
  step: Effect.Effect<Record<string, unknown>, RepositoryError | StorageError, R>
): Layer.Layer<never, never, R> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const said = yield* Ref.make("")
      const say = (error: RepositoryError | StorageError) =>
        Effect.flatMap(Ref.getAndSet(said, error.detail), (before) => {
          if (before === error.detail) return Effect.void
          const words = `${store}: ${error.detail}; trying on`
          return error.unavailable ? Effect.logWarning(words) : Effect.logError(words)
        })
      const prepared = yield* step.pipe(
        Effect.tapError(say),
        Effect.retry(whileAway),
        Effect.flatMap((about) => Effect.annotateLogs(Effect.logInfo(`${store} is ready`), about)),
        Effect.forkScoped
      )
      yield* Effect.ignore(Effect.timeout(Fiber.join(prepared), patience))
    })
  )

/** Brings the schema up to date. Requests that come before it is there are told to wait. */
const migrations = prepare(
  "PostgreSQL",
  Effect.map(PgMigrations.run, (applied) => ({ migrations: applied.length }))
)

/** Sees that Redis keeps what it is given and has the queue as this process knows it, and says what it promises. */
const redisReport = prepare(
  "Redis",
  Effect.gen(function* () {
    const description = yield* RedisServer.describe
    const queue = yield* JobQueue
    yield* queue.ping
    return { ...description }
  })
)

/** Workers and heartbeats in PostgreSQL. Can be built while it is away; the schema follows when it is there. */
export const postgresRegistry = (databaseUrl: Redacted.Redacted): Layer.Layer<WorkerRepository | HeartbeatStore> =>
  Layer.mergeAll(PgWorkerRepository.layer, PgHeartbeatStore.layer, migrations).pipe(
    Layer.provide(Postgres.layer({ url: databaseUrl }))
  )

/** Jobs in Redis. Can be built while it is away. */
export const redisQueue = (redisUrl: Redacted.Redacted): Layer.Layer<JobQueue, StorageError> =>
  redisReport.pipe(
    Layer.provideMerge(RedisJobQueue.layer),
    Layer.provide(RedisFunctions.layer.pipe(Layer.provideMerge(Redis.layer(redisUrl))))
  )

/** Workers in PostgreSQL, jobs in Redis. */
export const production = (options: {
  readonly databaseUrl: Redacted.Redacted
  readonly redisUrl: Redacted.Redacted
}): Layer.Layer<Ports, StorageError> =>
  Layer.mergeAll(postgresRegistry(options.databaseUrl), redisQueue(options.redisUrl), MassLossBrake.layer)

/** Every route, for an `HttpServer` of your own. Needs the stores. */
export const httpRoutes = HttpServer.layer
