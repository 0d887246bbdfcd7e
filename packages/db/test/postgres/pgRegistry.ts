/** The registry on a database of its own, and how time passes in it. */
import * as PgHeartbeatStore from "@muster/db/postgres/PgHeartbeatStore"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as PgWorkerRepository from "@muster/db/postgres/PgWorkerRepository"
import * as Postgres from "@muster/db/postgres/Postgres"
import { Duration, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import { freshDatabaseUrl } from "../../../../tools/servers/testServers.ts"

/** One server's view of the registry. */
export const registryAt = (url: string) =>
  Layer.mergeAll(PgWorkerRepository.layer, PgHeartbeatStore.layer).pipe(
    Layer.provideMerge(Postgres.layer({ url: Redacted.make(url) }))
  )

/** A migrated registry in a database that goes with the layer. */
export const registry = Layer.unwrap(Effect.map(freshDatabaseUrl, registryAt)).pipe(
  Layer.tap((context) => Effect.provideContext(PgMigrations.run, context))
)

/** Makes everything stored older, and the process too: what it remembers of the database ages alike. */
export const passTime = Effect.fnUntraced(function* (duration: Duration.Input) {
  const sql = yield* SqlClient
  const age = sql`${Duration.toMillis(duration)}::float8 * interval '1 millisecond'`
  yield* sql`UPDATE workers SET registered_at = registered_at - ${age}`
  yield* sql`UPDATE worker_status SET status_changed_at = status_changed_at - ${age}`
  yield* sql`UPDATE last_heartbeats SET at = at - ${age}`
  yield* sql`UPDATE past_heartbeats SET at = at - ${age}`
  yield* sql`UPDATE departed_workers SET gone_at = gone_at - ${age}, last_heartbeat_at = last_heartbeat_at - ${age}`
  yield* TestClock.adjust(duration)
}, Effect.orDie)
