/**
 * The stores of the broker, already wired, under the names the documents give them. Compose one of the first two with
 * `httpRoutes` or with use cases of your own; `docs/library.md` shows how.
 */
import * as PgHeartbeatStore from "@muster/db/postgres/PgHeartbeatStore"
import * as PgJobArchive from "@muster/db/postgres/PgJobArchive"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as PgWebhookStore from "@muster/db/postgres/PgWebhookStore"
import * as PgWorkerOutbox from "@muster/db/postgres/PgWorkerOutbox"
import * as PgWorkerRepository from "@muster/db/postgres/PgWorkerRepository"
import * as Postgres from "@muster/db/postgres/Postgres"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisEventLog from "@muster/db/redis/RedisEventLog"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisQuotaBudget from "@muster/db/redis/RedisQuotaBudget"
import * as RedisJobQueue from "@muster/db/redis/RedisJobQueue"
import * as RedisServer from "@muster/db/redis/RedisServer"
import * as MemoryQuotaBudget from "@muster/core/connector/internal/MemoryQuotaBudget"
import type { QuotaBudget } from "@muster/core/connector/QuotaBudget"
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import * as MetricSources from "@muster/core/diagnosis/MetricSources"
import * as EventFeed from "@muster/core/event/EventFeed"
import * as ArchiverState from "@muster/core/job/ArchiverState"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import type { StorageError } from "@muster/core/job/JobErrors"
import type { Ports } from "@muster/core/Ports"
import * as MemoryWebhookStore from "@muster/core/webhook/internal/MemoryWebhookStore"
import type { WebhookStore } from "@muster/core/webhook/internal/WebhookStore"
import type { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import type { WorkerOutbox } from "@muster/core/worker/internal/WorkerOutbox"
import type { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { whileAway } from "@muster/core/WhileAway"
import type { RepositoryError } from "@muster/core/worker/WorkerErrors"
import { MassLossBrake } from "@muster/core/worker/MassLossBrake"
import * as HttpServer from "@muster/http-server/HttpServer"
import { Clock, Deferred, Duration, Effect, Fiber, Layer, type Redacted, Ref } from "effect"
import * as HttpWebhookTarget from "./HttpWebhookTarget.ts"
import * as StoreDiagnosis from "./StoreDiagnosis.ts"

/** Where the parts of one server put what they say of themselves. */
const selfKnowledge = Layer.mergeAll(Diagnosis.layer, MetricSources.layer)

/** Everything in this process; nothing outlives it. */
export const inMemory: Layer.Layer<Ports | QuotaBudget> = Layer.mergeAll(
  MemoryRegistry.layer,
  EventFeed.layer.pipe(Layer.provideMerge(Layer.merge(MemoryJobQueue.layer, JobArchive.layerNone))),
  MassLossBrake.layer,
  ArchiverState.layer,
  MemoryQuotaBudget.layer,
  MemoryWebhookStore.layer,
  HttpWebhookTarget.layer,
  StoreDiagnosis.inMemory
).pipe(Layer.provideMerge(selfKnowledge))

/** How long a start waits for its stores; what is slower, or away, is waited for in the background. */
const patience = Duration.seconds(3)
/** What waiting alone does not heal is said again this often. */
const reminder = Duration.seconds(30)

/** Says each new reason why a store is not ready: one that somebody has to do something about, again and again. */
const reasons = (store: string) =>
  Effect.map(Ref.make({ detail: "", at: 0 }), (said) =>
    Effect.fnUntraced(function* ({ detail, unavailable }: RepositoryError | StorageError) {
      const at = yield* Clock.currentTimeMillis
      const before = yield* Ref.get(said)
      if (before.detail === detail && (unavailable || at - before.at < Duration.toMillis(reminder))) return
      yield* Ref.set(said, { detail, at })
      const words = `${store}: ${detail}; trying on`
      yield* unavailable ? Effect.logWarning(words) : Effect.logError(words)
    })
  )

/**
 * Does what a store needs once, as soon as it can. While the start waits for it, an error that `refused` picks ends the
 * start; one that comes later does not.
 */
const prepare = <E extends RepositoryError | StorageError, R>(
  store: string,
  step: Effect.Effect<void, E, R>,
  refused: (error: E) => boolean
): Layer.Layer<never, E, R> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const say = yield* reasons(store)
      const refusal = yield* Deferred.make<never, E>()
      const starting = yield* Ref.make(true)
      const prepared = yield* step.pipe(
        Effect.tapError((error) =>
          Effect.flatMap(Ref.get(starting), (starting) =>
            starting && refused(error) ? Deferred.fail(refusal, error) : say(error)
          )
        ),
        Effect.retry(whileAway),
        Effect.forkScoped
      )
      yield* Effect.timeoutOption(Effect.raceFirst(Fiber.join(prepared), Deferred.await(refusal)), patience)
      yield* Ref.set(starting, false)
    })
  )

/** Brings the schema up to date. Requests that come before it is there are told to wait. */
const migrations = prepare(
  "PostgreSQL",
  Effect.flatMap(PgMigrations.run, (applied) =>
    Effect.annotateLogs(Effect.logInfo("PostgreSQL is ready"), { migrations: applied.length })
  ),
  () => false
).pipe(Layer.orDie)

/**
 * Sees that Redis keeps what it is given and has the queue as this process knows it, and says what it promises. A Redis
 * that waiting does not make better, such as one that evicts jobs, is refused.
 */
const redisReport = prepare(
  "Redis",
  Effect.gen(function* () {
    const description = yield* RedisServer.describe
    const queue = yield* JobQueue
    yield* queue.ping
    const words = `Redis is ready; ${RedisServer.promise(description)}`
    yield* Effect.annotateLogs(description.append_only === "no" ? Effect.logWarning(words) : Effect.logInfo(words), {
      ...description
    })
  }),
  (error) => !error.unavailable
)

/** Workers, heartbeats, webhooks and what has ended in PostgreSQL. Can be built while it is away; the schema follows when it is there. */
export const postgresRegistry = (
  databaseUrl: Redacted.Redacted
): Layer.Layer<WorkerRepository | HeartbeatStore | WorkerOutbox | JobArchive.JobArchive | WebhookStore> =>
  Layer.mergeAll(
    PgWorkerRepository.layer,
    PgHeartbeatStore.layer,
    PgWorkerOutbox.layer,
    PgJobArchive.layer,
    PgWebhookStore.layer,
    migrations,
    StoreDiagnosis.postgres
  ).pipe(Layer.provide(Postgres.layer({ url: databaseUrl })))

const onRedis = (redisUrl: Redacted.Redacted, beside: Layer.Layer<never, never, Redis.Redis>) =>
  Layer.mergeAll(redisReport, beside).pipe(
    Layer.provideMerge(Layer.mergeAll(RedisJobQueue.layer, RedisEventLog.layer, RedisQuotaBudget.layer)),
    Layer.provide(RedisFunctions.layer.pipe(Layer.provideMerge(Redis.layer(redisUrl))))
  )

/** Jobs in Redis, and the budgets of API keys. Can be built while it is away; fails on one that answers and would not keep the jobs. */
export const redisQueue = (redisUrl: Redacted.Redacted): Layer.Layer<JobQueue | QuotaBudget, StorageError> =>
  onRedis(redisUrl, Layer.empty)

/** Workers in PostgreSQL, jobs in Redis. */
export const production = (options: {
  readonly databaseUrl: Redacted.Redacted
  readonly redisUrl: Redacted.Redacted
}): Layer.Layer<Ports | QuotaBudget, StorageError> =>
  EventFeed.layer.pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        postgresRegistry(options.databaseUrl),
        // A server also says how its Redis is; of its many workers nobody asks that.
        onRedis(options.redisUrl, StoreDiagnosis.redis),
        MassLossBrake.layer,
        ArchiverState.layer,
        HttpWebhookTarget.layer
      )
    ),
    Layer.provideMerge(selfKnowledge)
  )

/** Every route, for an `HttpServer` of your own. Needs the stores. */
export const httpRoutes = HttpServer.layer
