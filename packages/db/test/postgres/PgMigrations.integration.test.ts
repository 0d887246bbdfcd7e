import { assert, describe, it } from "@effect/vitest"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as Postgres from "@muster/db/postgres/Postgres"
import { Duration, Effect, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { freshDatabaseUrl } from "../../../../tools/servers/testServers.ts"
import { worker } from "../../../core/test/worker/registryFixtures.ts"
import { registryAt } from "./pgRegistry.ts"

const id = WorkerId.make("worker-1")

/** Every call of both ports. */
const calls = Effect.gen(function* () {
  const workers = yield* WorkerRepository
  const heartbeats = yield* HeartbeatStore
  const minute = Duration.minutes(1)
  return [
    workers.insert(worker("worker-1")),
    workers.replace(worker("worker-1"), { aliveWithin: minute, gone: null }),
    workers.find(id),
    workers.list({}),
    workers.remove(id),
    workers.move(id, "pending", "active"),
    workers.activatePending,
    workers.markStale(minute, null),
    workers.reactivateOffline(minute),
    workers.accepting("a"),
    workers.ping,
    heartbeats.record(id),
    heartbeats.last(id),
    heartbeats.lastOf([id]),
    heartbeats.history(id, 1),
    heartbeats.prune(minute)
  ]
})

describe("migrations", () => {
  it.effect("are applied once by servers that start together", () =>
    Effect.gen(function* () {
      const url = Redacted.make(yield* freshDatabaseUrl)
      const server = Effect.suspend(() => Effect.provide(PgMigrations.run, Postgres.layer({ url }), { local: true }))
      const applied = yield* Effect.replicateEffect(server, 5, { concurrency: "unbounded" })
      assert.deepStrictEqual(applied.flat(), ["registry"])
      assert.deepStrictEqual(yield* server, [])
    })
  )

  it.effect("are waited for: until then every call says that the database is not migrated", () =>
    Effect.gen(function* () {
      const url = yield* freshDatabaseUrl
      yield* Effect.gen(function* () {
        const all = yield* calls
        for (const call of all) {
          const error: object = yield* Effect.flip<unknown, object, never>(call)
          assert.deepInclude(error, { unavailable: true, detail: "the database is not migrated yet" })
        }
        yield* PgMigrations.run
        const workers = yield* WorkerRepository
        yield* workers.ping
        yield* workers.insert(worker("worker-1"))
      }).pipe(Effect.provide(registryAt(url)))
    })
  )

  it.effect("leave nothing behind when one fails", () =>
    Effect.gen(function* () {
      const url = Redacted.make(yield* freshDatabaseUrl)
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        yield* sql`CREATE TABLE past_heartbeats (in_our_way integer)`
        const error = yield* Effect.flip(PgMigrations.run)
        assert.deepInclude(error, { unavailable: false, detail: "PostgreSQL answered with error 42P07" })
        const tables = yield* sql`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
        assert.deepStrictEqual(tables, [{ tablename: "past_heartbeats" }])
        yield* sql`DROP TABLE past_heartbeats`
        assert.deepStrictEqual(yield* PgMigrations.run, ["registry"])
      }).pipe(Effect.provide(Postgres.layer({ url })))
    })
  )
})
