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
import type { JobQueue } from "@muster/core/job/internal/JobQueue"
import type { StorageError } from "@muster/core/job/JobErrors"
import type { Ports } from "@muster/core/Ports"
import type { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import type { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { MassLossBrake } from "@muster/core/worker/MassLossBrake"
import * as HttpServer from "@muster/http-server/HttpServer"
import { Effect, Layer, type Redacted, Schedule } from "effect"

/** Everything in this process; nothing outlives it. */
export const inMemory: Layer.Layer<Ports> = Layer.mergeAll(
  MemoryRegistry.layer,
  MemoryJobQueue.layer,
  MassLossBrake.layer
)

/** While a store is away, tries again soon at first and every 5 s in the end. */
const whileAway = Schedule.min([Schedule.exponential("250 millis"), Schedule.spaced("5 seconds")])

/** Brings the schema up to date, as soon as the database is there. Requests that come earlier are told to wait. */
const migrations = Layer.effectDiscard(
  PgMigrations.run.pipe(
    Effect.tapError((error) => Effect.logWarning(`PostgreSQL: ${error.detail}; trying again`)),
    Effect.retry({ while: (error) => error.unavailable, schedule: whileAway }),
    Effect.tap((applied) => Effect.logInfo(`PostgreSQL is ready (${applied.length} migrations applied)`)),
    Effect.catch((error) => Effect.logError("the database could not be migrated", error)),
    Effect.forkScoped
  )
)

/** Says once what Redis promises, as soon as it is there. */
const redisReport = Layer.effectDiscard(
  RedisServer.describe.pipe(
    Effect.tapError((error) => Effect.logWarning(`Redis: ${error.detail}; trying again`)),
    Effect.retry({ while: (error) => error.unavailable, schedule: whileAway }),
    Effect.flatMap((description) => Effect.logInfo("Redis is ready").pipe(Effect.annotateLogs({ ...description }))),
    Effect.catch((error) => Effect.logError(`Redis: ${error.detail}`)),
    Effect.forkScoped
  )
)

/** Workers and heartbeats in PostgreSQL. Can be built while it is away; the schema follows when it is there. */
export const postgresRegistry = (databaseUrl: Redacted.Redacted): Layer.Layer<WorkerRepository | HeartbeatStore> =>
  Layer.mergeAll(PgWorkerRepository.layer, PgHeartbeatStore.layer, migrations).pipe(
    Layer.provide(Postgres.layer({ url: databaseUrl }))
  )

/** Jobs in Redis. Can be built while it is away. */
export const redisQueue = (redisUrl: Redacted.Redacted): Layer.Layer<JobQueue, StorageError> =>
  Layer.mergeAll(RedisJobQueue.layer, redisReport).pipe(
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
