/**
 * The schema, and how it comes into being. Every server runs the migrations when it starts; any number may do so at
 * once: one applies them while the others wait for it. A database whose schema is newer than this server is left as
 * it is.
 */
import type { RepositoryError } from "@muster/core/worker/WorkerErrors"
import { Duration, Effect } from "effect"
import * as Migrator from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import { isSqlError, SqlError, UnknownError } from "effect/sql/SqlError"
import * as AdvisoryLock from "./AdvisoryLock.ts"
import { registry } from "./migrations/0001_registry.ts"
import { kinds } from "./migrations/0002_kinds.ts"
import { archive } from "./migrations/0003_archive.ts"
import { workerOutbox } from "./migrations/0004_worker_outbox.ts"
import { departed } from "./migrations/0005_departed.ts"
import { webhooks } from "./migrations/0006_webhooks.ts"
import { connectors } from "./migrations/0007_connectors.ts"
import * as PgFailure from "./PgFailure.ts"

const migrations = {
  "0001_registry": registry,
  "0002_kinds": kinds,
  "0003_archive": archive,
  "0004_worker_outbox": workerOutbox,
  "0005_departed": departed,
  "0006_webhooks": webhooks,
  "0007_connectors": connectors
}

const migrate = Migrator.make({})({ loader: Migrator.fromRecord(migrations), table: "muster_migrations" })

/** The numbers of all there are. */
export const ids: ReadonlyArray<number> = Object.keys(migrations).map((name) => Number.parseInt(name, 10))

/** A migration may have to rewrite a large table, and wait for another server that does. */
const limit = Duration.minutes(10)

const sqlErrorOf = (error: Migrator.MigrationError | SqlError): SqlError => {
  if (isSqlError(error)) return error
  return isSqlError(error.cause) ? error.cause : new SqlError({ reason: new UnknownError({ cause: error }) })
}

/**
 * Applies the migrations that are missing, all or none, and returns their names. Fails as unavailable while the
 * database is away, so it can be repeated until it succeeds.
 */
export const run: Effect.Effect<ReadonlyArray<string>, RepositoryError, SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient
  // The migrator locks a table that it has to create first; our own lock makes that first step safe too.
  const locked = Effect.andThen(
    sql`SELECT set_config('statement_timeout', '0', true), pg_advisory_xact_lock(${AdvisoryLock.space}, ${AdvisoryLock.migrations})`,
    migrate
  )
  const applied = yield* sql.withTransaction(locked)
  return applied.map(([, name]) => name)
}).pipe(
  Effect.mapError(sqlErrorOf),
  PgFailure.repository("PgMigrations.run", limit),
  Effect.withSpan("PgMigrations.run")
)
