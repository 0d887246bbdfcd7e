/** The servers of the tests really serve, are isolated from each other, and keep their data through an outage. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { Redis } from "ioredis"
import { inject } from "vitest"
import { freshDatabaseUrl, freshQueue, startPostgres, startRedis } from "./testServers.ts"

const connect = (url: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new Redis(url, { maxRetriesPerRequest: 1, retryStrategy: () => null })),
    (client) => Effect.sync(() => client.disconnect())
  )

const query = <A>(url: string, run: (sql: SqlClient.SqlClient) => Effect.Effect<A, unknown>) =>
  Effect.scoped(
    Effect.gen(function* () {
      return yield* run(yield* SqlClient.SqlClient)
    }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })))
  )

it.effect("the shared Redis answers and has functions", () =>
  Effect.gen(function* () {
    const client = yield* connect(inject("redisUrl"))
    assert.strictEqual(yield* Effect.promise(() => client.ping()), "PONG")
    yield* Effect.promise(() => client.call("FUNCTION", "LIST"))
  })
)

it.effect("every caller gets a database of its own, gone with the scope", () =>
  Effect.gen(function* () {
    const [first, second] = yield* Effect.scoped(
      Effect.gen(function* () {
        const urls = yield* Effect.all([freshDatabaseUrl, freshDatabaseUrl], { concurrency: 2 })
        yield* query(urls[0], (sql) => sql`CREATE TABLE t AS SELECT 1 AS one`)
        const rows = yield* query(urls[0], (sql) => sql`SELECT one FROM t`)
        assert.deepStrictEqual(rows, [{ one: 1 }])
        const error = yield* Effect.flip(query(urls[1], (sql) => sql`SELECT one FROM t`))
        assert.include(String((error as Error).cause), "SqlSyntaxError")
        return urls
      })
    )
    assert.notStrictEqual(first, second)
    const names = yield* query(inject("databaseUrl"), (sql) => sql`SELECT datname FROM pg_database`)
    const left = names.filter(({ datname }) => [first, second].some((url) => url.endsWith(String(datname))))
    assert.deepStrictEqual(left, [])
  })
)

it.effect("the keys of a queue are removed with the scope", () =>
  Effect.gen(function* () {
    const client = yield* connect(inject("redisUrl"))
    const queue = yield* Effect.scoped(
      Effect.gen(function* () {
        const name = yield* freshQueue
        yield* Effect.promise(() => client.set(`muster:{${name}}:x`, "1"))
        return name
      })
    )
    assert.strictEqual(yield* Effect.promise(() => client.exists(`muster:{${queue}}:x`)), 0)
  })
)

it.effect("a Redis of one's own: killed, it is gone; restarted, it has its port and data again", () =>
  Effect.gen(function* () {
    const server = yield* startRedis()
    const before = yield* connect(server.url)
    yield* Effect.promise(() => before.set("k", "v"))
    const firstPid = yield* server.pid
    yield* server.kill
    assert.strictEqual((yield* Effect.exit(Effect.tryPromise(() => before.ping())))._tag, "Failure")
    yield* server.restart
    assert.notStrictEqual(yield* server.pid, firstPid)
    const after = yield* connect(server.url)
    assert.strictEqual(yield* Effect.promise(() => after.get("k")), "v")
    yield* server.pause
    const answer = after.ping()
    yield* server.resume
    assert.strictEqual(yield* Effect.promise(() => answer), "PONG")
  })
)

it.effect("a PostgreSQL of one's own: killed, it is gone; restarted, it has its port and data again", () =>
  Effect.gen(function* () {
    const server = yield* startPostgres()
    yield* query(server.url, (sql) => sql`CREATE TABLE t AS SELECT 1 AS one`)
    yield* server.kill
    yield* Effect.flip(query(server.url, (sql) => sql`SELECT 1`))
    yield* server.restart
    assert.deepStrictEqual(yield* query(server.url, (sql) => sql`SELECT one FROM t`), [{ one: 1 }])
    yield* server.pause
    yield* server.resume
    assert.deepStrictEqual(yield* query(server.url, (sql) => sql`SELECT one FROM t`), [{ one: 1 }])
  })
)
