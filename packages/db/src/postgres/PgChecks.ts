/** Whether this PostgreSQL is one that the registry can live in. The checks only read, and migrate nothing. */
import type { Check } from "@muster/core/diagnosis/Diagnosis"
import * as Finding from "@muster/core/diagnosis/Finding"
import { Clock, Duration, Effect, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { isSqlError } from "effect/sql/SqlError"
import * as SqlSchema from "effect/sql/SqlSchema"
import { answerWithin, describe, type PgFailure } from "./PgFailure.ts"
import * as PgMigrations from "./PgMigrations.ts"

/** Those before it are not maintained any more. */
const oldestMajor = 14
/** An answer over a healthy connection takes well under this. */
const slow = 50
/** What a server may open (see `Postgres.layer`), and a little for people. */
const wanted = 15
const once = Duration.seconds(1)
const patience = Duration.seconds(2)

const Facts = Schema.Struct({
  version: Schema.String,
  version_num: Schema.Int,
  read_only: Schema.Boolean,
  connections: Schema.Int,
  max_connections: Schema.Int
})
type Facts = typeof Facts.Type & { readonly latencyMs: number }

const look = Effect.gen(function* () {
  const sql = yield* SqlClient
  const read = SqlSchema.findOne({
    Request: Schema.Void,
    Result: Facts,
    execute: () => sql`
      SELECT current_setting('server_version') AS version,
        current_setting('server_version_num')::int AS version_num,
        pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool AS read_only,
        (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS max_connections`
  })
  const facts = yield* read()
  // The first statement may have opened the connection.
  const before = yield* Clock.currentTimeMillis
  yield* sql`SELECT 1`
  return { ...facts, latencyMs: (yield* Clock.currentTimeMillis) - before }
})

const connection = ({ latencyMs, read_only }: Facts): Finding.Found => {
  if (read_only) {
    return Finding.error(
      "is read-only: a replica, or set to be",
      "let DATABASE_URL name the primary, or promote this one"
    )
  }
  return latencyMs > slow
    ? Finding.warning(
        `answers, but a statement takes ${latencyMs} ms`,
        "bring the server nearer to PostgreSQL, or see what keeps it busy: SELECT * FROM pg_stat_activity"
      )
    : Finding.ok(`answers a statement in ${latencyMs} ms`)
}

const version = ({ version, version_num }: Facts): Finding.Found =>
  version_num >= oldestMajor * 10_000
    ? Finding.ok(`PostgreSQL ${version}`)
    : Finding.error(`PostgreSQL ${version} is too old`, `install PostgreSQL ${oldestMajor} or newer`)

const connections = ({ connections, max_connections }: Facts): Finding.Found => {
  const left = Math.max(0, max_connections - connections)
  const detail = `${connections} of ${max_connections} connections are taken`
  return left < wanted
    ? Finding.warning(
        `${detail}; a server opens up to 10`,
        `psql "$DATABASE_URL" -c "ALTER SYSTEM SET max_connections = ${Math.max(100, 2 * max_connections)}", and restart PostgreSQL; or put a pooler in front`
      )
    : Finding.ok(detail)
}

const Applied = Schema.Struct({ migration_id: Schema.Int })

const migrations = Effect.gen(function* () {
  const sql = yield* SqlClient
  const read = SqlSchema.findAll({
    Request: Schema.Void,
    Result: Applied,
    execute: () => sql`SELECT migration_id FROM muster_migrations`
  })
  // Before the first migration there is no such table.
  const applied = yield* read().pipe(
    Effect.catchIf(
      (error) => isSqlError(error) && describe(error).detail === "the database is not migrated yet",
      () => Effect.succeed([])
    )
  )
  const has = new Set(applied.map(({ migration_id }) => migration_id))
  const missing = PgMigrations.ids.filter((id) => !has.has(id))
  const latest = Math.max(...PgMigrations.ids)
  if (missing.length > 0) {
    const what = has.size === 0 ? "is not migrated yet" : `lacks ${missing.length} of our migrations`
    return Finding.warning(what, "a server of this version migrates it when it starts: muster server")
  }
  return applied.some(({ migration_id }) => migration_id > latest)
    ? Finding.warning(
        "was migrated by a newer version than this one",
        "upgrade this installation to the version of the other servers"
      )
    : Finding.ok(`has all ${has.size} migrations`)
})

const howToReach = (detail: string): string => {
  if (/credentials/.test(detail)) return "put the right user and password into DATABASE_URL"
  if (/does not exist/.test(detail)) return "create it: createdb -h HOST -U USER muster, as DATABASE_URL names it"
  return 'see that PostgreSQL runs and that DATABASE_URL names it: psql "$DATABASE_URL" -c "SELECT 1"'
}

/** The checks, on this pool. */
export const make: Effect.Effect<ReadonlyArray<Check>, never, SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient
  const bounded = <A, E>(statement: Effect.Effect<A, E, SqlClient>) =>
    Effect.provideService(answerWithin(patience)(statement), SqlClient, sql)
  const shared = yield* Effect.cachedWithTTL(bounded(look), once)

  const told = (found: Effect.Effect<Finding.Found, PgFailure>): Check["run"] =>
    Effect.catch(found, (failure) => {
      const { detail, unavailable } = describe(failure)
      // `postgres.connection` says it already.
      return Effect.succeed(
        unavailable && !/privilege/.test(detail)
          ? null
          : Finding.error(detail, "give the user of DATABASE_URL what it lacks, and see PostgreSQL's log")
      )
    })

  return [
    {
      name: "postgres.connection",
      run: shared.pipe(
        Effect.map(connection),
        Effect.catch((failure) => {
          const { detail } = describe(failure)
          return Effect.succeed(Finding.error(detail, howToReach(detail)))
        })
      )
    },
    { name: "postgres.version", run: told(Effect.map(shared, version)) },
    { name: "postgres.migrations", run: told(Effect.andThen(shared, bounded(migrations))) },
    { name: "postgres.connections", run: told(Effect.map(shared, connections)) }
  ]
})
