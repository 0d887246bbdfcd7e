/**
 * The connection to PostgreSQL. The layer can be built while the database is away: connections are opened when a
 * statement needs one, a broken connection leaves the pool by itself, and so the first statement after an outage
 * finds the database again.
 *
 * No session parameters but the application name are sent, so that poolers in front of PostgreSQL accept us; how
 * long an answer may take is bounded on our side (`PgFailure.answerWithin`).
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Duration, Effect, Layer, type Redacted, Scope } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`. */
  readonly url: Redacted.Redacted
  /** How many connections this process opens at most; default 10. */
  readonly maxConnections?: number | undefined
}

/** How long closing the pool may take: a database that hangs does not answer the goodbye of its connections. */
const closeWithin = Duration.seconds(1)

/** A pool of connections, closed with the layer. */
export const layer = (options: PostgresOptions): Layer.Layer<SqlClient> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const pool = yield* Scope.make()
      yield* Effect.addFinalizer((exit) => Effect.ignore(Effect.timeout(Scope.close(pool, exit), closeWithin)))
      return yield* Layer.buildWithScope(client(options), pool)
    })
  )

const client = (options: PostgresOptions): Layer.Layer<SqlClient> =>
  PgClient.layer({
    url: options.url,
    applicationName: "muster",
    minConnections: 0,
    maxConnections: options.maxConnections ?? 10,
    idleTimeout: "60 seconds",
    connectTimeout: "3 seconds",
    keepAlive: "30 seconds"
  }).pipe(
    // An empty pool opens nothing, so nothing can fail.
    Layer.orDie
  )
