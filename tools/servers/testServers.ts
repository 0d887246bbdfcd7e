/**
 * What integration tests use: a database and a queue name of one's own on the shared servers, or a server of one's own
 * for tests that hurt it. Everything is scoped. Only for test files of the integration project.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Redacted, type Scope } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { Redis } from "ioredis"
import { randomBytes } from "node:crypto"
import { inject } from "vitest"
import { type Fixture, startAimock as startOwnAimock } from "./Aimock.ts"
import { startAzurite as startOwnAzurite } from "./Azurite.ts"
import { type PostgresOptions, startPostgres as startOwnPostgres } from "./Postgres.ts"
import { type RedisOptions, startRedis as startOwnRedis } from "./Redis.ts"
import type { OwnServer } from "./ServerProcess.ts"

const randomName = () => `muster_test_${randomBytes(6).toString("hex")}`

const administer = (statement: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    yield* statement(yield* SqlClient.SqlClient)
  }).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(inject("databaseUrl")), maxConnections: 1 })),
    Effect.orDie
  )

/** A new, empty database on the shared server; dropped with the scope, whoever is still connected. */
export const freshDatabaseUrl: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.gen(function* () {
    const name = randomName()
    yield* administer((sql) => sql`CREATE DATABASE ${sql(name)} TEMPLATE template0`)
    const url = new URL(inject("databaseUrl"))
    url.pathname = name
    return url.href
  }),
  (url) => administer((sql) => sql`DROP DATABASE IF EXISTS ${sql(new URL(url).pathname.slice(1))} WITH (FORCE)`)
)

/** Removes the keys of one queue from a server that outlives the tests. */
const removeKeys = async (queue: string) => {
  const client = new Redis(inject("redisUrl"), { maxRetriesPerRequest: 1 })
  try {
    for await (const keys of client.scanStream({ match: `*${queue}*`, count: 1000 })) {
      if (keys.length > 0) await client.unlink(...keys)
    }
  } finally {
    client.disconnect()
  }
}

/** A queue name that nobody else uses, so that keys on the shared Redis cannot meet. */
export const freshQueue: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(randomName),
  (queue) => Effect.promise(() => removeKeys(queue))
)

/** `OwnServer`, for Effect code; a failure to stop or start it is a defect. */
export interface ScopedServer {
  readonly url: string
  readonly pid: Effect.Effect<number>
  readonly stop: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  readonly restart: Effect.Effect<void>
}

const scoped = (acquire: () => Promise<OwnServer>): Effect.Effect<ScopedServer, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.promise(acquire), (server) => Effect.promise(server.stop)).pipe(
    Effect.map((server) => ({
      url: server.url,
      pid: Effect.sync(server.pid),
      stop: Effect.promise(server.stop),
      kill: Effect.promise(server.kill),
      pause: Effect.promise(server.pause),
      resume: Effect.promise(server.resume),
      restart: Effect.promise(server.restart)
    }))
  )

/** A Redis of one's own, to be killed and restarted at will. */
export const startRedis = (options?: RedisOptions): Effect.Effect<ScopedServer, never, Scope.Scope> =>
  scoped(() => startOwnRedis(options))

/** A PostgreSQL of one's own, to be killed and restarted at will. */
export const startPostgres = (options?: PostgresOptions): Effect.Effect<ScopedServer, never, Scope.Scope> =>
  scoped(() => startOwnPostgres(options))

/** An Azurite of one's own. */
export const startAzurite: Effect.Effect<ScopedServer, never, Scope.Scope> = scoped(startOwnAzurite)

/** A double of OpenAI that others made, which answers as its fixtures say. */
export const startAimock = (fixtures: ReadonlyArray<Fixture>): Effect.Effect<ScopedServer, never, Scope.Scope> =>
  scoped(() => startOwnAimock(fixtures))
