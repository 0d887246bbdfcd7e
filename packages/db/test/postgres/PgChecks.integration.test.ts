/** Real databases in every state a doctor may find one in. */
import { assert, describe, it } from "@effect/vitest"
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import type { Finding } from "@muster/core/diagnosis/Finding"
import * as MetricSources from "@muster/core/diagnosis/MetricSources"
import * as PgChecks from "@muster/db/postgres/PgChecks"
import * as PgMetrics from "@muster/db/postgres/PgMetrics"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as Postgres from "@muster/db/postgres/Postgres"
import { Effect, Layer, Redacted, Stream } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { freshDatabaseUrl, startPostgres } from "../../../../tools/servers/testServers.ts"

const on = (url: string) => Postgres.layer({ url: Redacted.make(url), maxConnections: 2 })

const look = Effect.gen(function* () {
  const findings = yield* Stream.runCollect(Diagnosis.run(yield* PgChecks.make))
  return new Map(findings.map((finding) => [finding.name, finding] as const))
})

const expect = (
  findings: ReadonlyMap<string, Finding>,
  name: string,
  verdict: string,
  detail: RegExp,
  fix?: RegExp
) => {
  const found = findings.get(name)
  assert.strictEqual(found?.verdict, verdict, `${name}: ${found?.detail}`)
  assert.match(found?.detail ?? "", detail)
  if (fix === undefined) assert.isNull(found?.fix)
  else assert.match(found?.fix ?? "", fix)
}

/** One line that names no secret. */
const assertAlone = (findings: ReadonlyMap<string, Finding>, url: string) => {
  assert.deepStrictEqual([...findings.keys()], ["postgres.connection"])
  assert.notInclude(JSON.stringify([...findings]), new URL(url).password)
}

describe("PostgreSQL under examination", () => {
  it.live("is not migrated, is migrated, and is ahead; no check migrates it", () =>
    Effect.gen(function* () {
      const url = yield* freshDatabaseUrl
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        const before = yield* look
        expect(before, "postgres.migrations", "warning", /not migrated yet/, /muster server/)
        expect(before, "postgres.version", "ok", /^PostgreSQL \d+/)
        const connection = before.get("postgres.connection")
        // How quickly is a matter of the machine.
        assert.include(["ok", "warning"], connection?.verdict)
        assert.match(connection?.detail ?? "", /^answers(, but)? a statement (in|takes) \d+ ms$/)
        expect(before, "postgres.connections", "ok", /\d+ of \d+ connections/)
        assert.deepStrictEqual(yield* sql`SELECT 1 FROM pg_tables WHERE tablename = 'muster_migrations'`, [])
        yield* PgMigrations.run
        expect(yield* look, "postgres.migrations", "ok", /has all \d+ migrations/)
        yield* sql`INSERT INTO muster_migrations (migration_id, name) VALUES (9999, 'of_tomorrow')`
        expect(yield* look, "postgres.migrations", "warning", /newer version/, /upgrade this/)
        yield* sql`DELETE FROM muster_migrations WHERE migration_id IN (9999, 2)`
        expect(yield* look, "postgres.migrations", "warning", /lacks 1 of our migrations/, /muster server/)
      }).pipe(Effect.provide(on(url)))
    })
  )

  it.live("has no such database, another password, or is away: one line, with what to do", () =>
    Effect.gen(function* () {
      const server = yield* startPostgres()
      const missing = server.url.replace(/\/postgres$/, "/no_such_database")
      const unknown = yield* Effect.provide(look, on(missing))
      assertAlone(unknown, missing)
      expect(unknown, "postgres.connection", "error", /does not exist/, /createdb/)
      const stranger = new URL(server.url)
      stranger.password = "wrong-password"
      const refused = yield* Effect.provide(look, on(stranger.href))
      assertAlone(refused, stranger.href)
      expect(refused, "postgres.connection", "error", /credentials/, /DATABASE_URL/)
      yield* server.kill
      const away = yield* Effect.provide(look, on(server.url))
      assertAlone(away, server.url)
      expect(away, "postgres.connection", "error", /cannot be reached/, /psql/)
    })
  )

  it.live("is read-only, or short of connections", () =>
    Effect.gen(function* () {
      const server = yield* startPostgres({ settings: { max_connections: "12", superuser_reserved_connections: "3" } })
      const few = yield* Effect.provide(look, on(server.url))
      expect(few, "postgres.connections", "warning", /\d+ of 9 connections/, /max_connections/)
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        yield* sql`ALTER DATABASE postgres SET default_transaction_read_only = on`
      }).pipe(Effect.provide(on(server.url)))
      const readOnly = yield* Effect.provide(look, on(server.url))
      expect(readOnly, "postgres.connection", "error", /read-only/, /primary/)
    })
  )

  it.live("hangs: one line, in time, and its metrics are left out", () =>
    Effect.gen(function* () {
      const server = yield* startPostgres()
      yield* Effect.gen(function* () {
        const { sources } = yield* MetricSources.MetricSources
        const connections = (registry: ReadonlyMap<string, { readonly id: string }>) =>
          [...registry.values()].filter(({ id }) => id === "muster_postgres_connections").length
        const checks = yield* PgChecks.make
        assert.strictEqual(connections(yield* MetricSources.collect(yield* sources)), 2)
        assert.strictEqual((yield* Stream.runCollect(Diagnosis.run(checks))).length, 4)
        // What was read before is good for a moment.
        yield* Effect.sleep("5100 millis")
        yield* server.pause
        const began = Date.now()
        const [findings, registry] = yield* Effect.all(
          [Stream.runCollect(Diagnosis.run(checks)), Effect.flatMap(sources, MetricSources.collect)],
          { concurrency: 2 }
        )
        const took = Date.now() - began
        yield* server.resume
        assert.isBelow(took, 30_000)
        assert.deepStrictEqual(
          findings.map(({ name, verdict }) => [name, verdict]),
          [["postgres.connection", "error"]]
        )
        assert.strictEqual(connections(registry), 0)
      }).pipe(
        Effect.provide(
          PgMetrics.layer.pipe(Layer.provideMerge(on(server.url)), Layer.provideMerge(MetricSources.layer))
        )
      )
    })
  )
})
