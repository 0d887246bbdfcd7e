import { assert, describe, it } from "@effect/vitest"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import { registry } from "@muster/db/postgres/migrations/0001_registry"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as Postgres from "@muster/db/postgres/Postgres"
import { Duration, Effect, Redacted } from "effect"
import * as Migrator from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import { freshDatabaseUrl } from "../../../../tools/servers/testServers.ts"
import { facts, worker } from "../../../core/test/worker/registryFixtures.ts"
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
    workers.setStanding(id, "paused"),
    workers.standings([id]),
    workers.accepting(facts("a")),
    workers.accepting(facts("a", { requirements: { labels: { machine_id: "m" } } })),
    workers.acceptsType("a"),
    workers.groups({ machines: [] }),
    workers.glimpses(
      [],
      [{ kind: "k", machine: null, status: "active", standing: "open", unhealthy_job_types: [], limit: 1 }]
    ),
    workers.ping,
    heartbeats.record(id),
    heartbeats.last(id),
    heartbeats.lastOf([id]),
    heartbeats.history(id, 1),
    heartbeats.prune(minute)
  ]
})

/** The schema as it was before workers had kinds. */
const firstMigration = Migrator.make({})({
  loader: Migrator.fromRecord({ "0001_registry": registry }),
  table: "muster_migrations"
})

describe("migrations", () => {
  it.effect("are applied once by servers that start together", () =>
    Effect.gen(function* () {
      const url = Redacted.make(yield* freshDatabaseUrl)
      const server = Effect.suspend(() => Effect.provide(PgMigrations.run, Postgres.layer({ url }), { local: true }))
      const applied = yield* Effect.replicateEffect(server, 5, { concurrency: "unbounded" })
      assert.deepStrictEqual(applied.flat(), [
        "registry",
        "kinds",
        "archive",
        "worker_outbox",
        "departed",
        "webhooks",
        "connectors"
      ])
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
        assert.deepStrictEqual(yield* PgMigrations.run, [
          "registry",
          "kinds",
          "archive",
          "worker_outbox",
          "departed",
          "webhooks",
          "connectors"
        ])
      }).pipe(Effect.provide(Postgres.layer({ url })))
    })
  )

  it.effect("find the kinds of workers that were registered before", () =>
    Effect.gen(function* () {
      const url = yield* freshDatabaseUrl
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        const workers = yield* WorkerRepository
        yield* firstMigration
        const size = 2_345
        yield* sql`
          INSERT INTO workers (id, region, capacity, capabilities, job_types, unhealthy_job_types)
          SELECT
            'worker-' || n, 'eu-1', 1,
            json_build_object('job_types', ARRAY['b', 'a'], 'labels', json_build_object('machine_id', 'm-' || n % 10)),
            ARRAY['b', 'a'], '{}'
          FROM generate_series(1, ${size}::int) n`
        const odd = { job_types: ["a"], hardware: { ram_gb: 7.9 }, labels: { machine_id: "m\u0000" } }
        yield* sql`
          INSERT INTO workers (id, region, capacity, capabilities, job_types, unhealthy_job_types)
          VALUES ('odd', 'eu-1', 1, ${JSON.stringify(odd)}, ARRAY['a'], '{}')`
        yield* sql`INSERT INTO worker_status SELECT id, 'active', now() FROM workers`
        yield* sql`INSERT INTO last_heartbeats SELECT id FROM workers`

        assert.deepStrictEqual(yield* PgMigrations.run, [
          "kinds",
          "archive",
          "worker_outbox",
          "departed",
          "webhooks",
          "connectors"
        ])
        const all = size + 1
        assert.deepStrictEqual(yield* workers.accepting(facts("a")), { active: all, registered: all })
        const onOne = facts("b", { requirements: { labels: { machine_id: "m-7" } } })
        assert.deepStrictEqual(yield* workers.accepting(onOne), { active: 234, registered: 234 })
        const atMost = facts("a", { requirements: { hardware: { ram_gb: 8 } } })
        assert.deepStrictEqual(yield* workers.accepting(atMost), { active: 0, registered: 0 })
        assert.deepInclude((yield* workers.list({ limit: 1 }))[0], { id: WorkerId.make("odd"), standing: "open" })

        // A worker like those before is of their kind.
        const labels = { machine_id: "m-11" }
        yield* workers.insert(worker("new", { capabilities: { job_types: ["a", "b"], labels } }))
        const kinds = yield* sql`SELECT count(DISTINCT capability_key)::int AS kinds FROM worker_status`
        assert.deepStrictEqual(kinds, [{ kinds: 2 }])
      }).pipe(Effect.provide(registryAt(url)))
    })
  )

  it.effect("find the kinds of workers of which none says its machine", () =>
    Effect.gen(function* () {
      const url = yield* freshDatabaseUrl
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient
        const workers = yield* WorkerRepository
        yield* firstMigration
        yield* sql`
          INSERT INTO workers (id, region, capacity, capabilities, job_types, unhealthy_job_types)
          VALUES ('one', 'eu-1', 1, '{"job_types": ["a"]}', ARRAY['a'], '{}')`
        yield* sql`INSERT INTO worker_status VALUES ('one', 'active', now())`
        yield* sql`INSERT INTO last_heartbeats VALUES ('one')`
        yield* PgMigrations.run
        assert.deepStrictEqual(yield* workers.accepting(facts("a")), { active: 1, registered: 1 })
      }).pipe(Effect.provide(registryAt(url)))
    })
  )
})
