/** What the stores say of themselves: to a server that runs on them, and to whoever checks them before one does. */
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import * as Finding from "@muster/core/diagnosis/Finding"
import type { StorageError } from "@muster/core/job/JobErrors"
import * as PgChecks from "@muster/db/postgres/PgChecks"
import * as PgMetrics from "@muster/db/postgres/PgMetrics"
import * as Postgres from "@muster/db/postgres/Postgres"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisChecks from "@muster/db/redis/RedisChecks"
import * as RedisMemory from "@muster/db/redis/RedisMemory"
import { Effect, Layer, Option, type Redacted, type Scope } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"

/** Contributes the checks and metrics of PostgreSQL. */
export const postgres: Layer.Layer<never, never, SqlClient> = Layer.mergeAll(
  Layer.effectDiscard(Effect.flatMap(PgChecks.make, Diagnosis.contribute)),
  PgMetrics.layer
)

/** Contributes the checks of Redis, and knows its memory. */
export const redis: Layer.Layer<never, never, Redis.Redis> = Layer.effectDiscard(
  Effect.flatMap(RedisChecks.make, Diagnosis.contribute)
).pipe(Layer.provideMerge(RedisMemory.layer))

/** Says that there are no stores. */
export const inMemory: Layer.Layer<never> = Layer.effectDiscard(
  Diagnosis.contribute([
    {
      name: "stores",
      run: Effect.succeed(
        Finding.ok("everything is in the memory of the server; set DATABASE_URL and REDIS_URL to keep it longer")
      )
    }
  ])
)

/** The checks of a PostgreSQL that no server of this process uses, on a connection for as long as the scope. */
export const postgresChecks = (
  url: Redacted.Redacted
): Effect.Effect<ReadonlyArray<Diagnosis.Check>, never, Scope.Scope> =>
  Effect.flatMap(Layer.build(Postgres.layer({ url, maxConnections: 2 })), (context) =>
    Effect.provideContext(PgChecks.make, context)
  )

const silentRedis: Diagnosis.Check = {
  name: "redis.connection",
  run: Effect.succeed(
    Finding.error("Redis is connected, and does not answer", "see whether it hangs, and what its log says")
  )
}

/**
 * The checks of a Redis that no server of this process uses, after 2 s at most. Fails when the URL is none.
 */
export const redisChecks = (
  url: Redacted.Redacted
): Effect.Effect<ReadonlyArray<Diagnosis.Check>, StorageError, Scope.Scope> =>
  Layer.build(Redis.layer(url)).pipe(
    Effect.timeoutOption("2 seconds"),
    Effect.flatMap(
      Option.match({
        onNone: () => Effect.succeed([silentRedis]),
        onSome: (context) => Effect.provideContext(RedisChecks.make, context)
      })
    )
  )
