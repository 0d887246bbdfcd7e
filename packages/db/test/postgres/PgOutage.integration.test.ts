import { assert, describe, it } from "@effect/vitest"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import type { HeartbeatFailed, RepositoryError, WorkerNotFound } from "@muster/core/worker/WorkerErrors"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import { Deferred, type Duration, Effect, Exit, Fiber, Schedule } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { startPostgres } from "../../../../tools/servers/testServers.ts"
import { ids, worker } from "../../../core/test/worker/registryFixtures.ts"
import { registryAt } from "./pgRegistry.ts"

const id = WorkerId.make("worker-1")

const within = (limit: Duration.Input) =>
  Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.die("too slow") })

/** Repeats what fails because the database is away. */
const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(Effect.retry(Schedule.spaced("50 millis")), within("60 seconds"))

/** What hangs does so for as long as its server: a call that ends at all has ended by itself. */
const soon = within("30 seconds")

const unavailable = <A, E extends object, R>(call: Effect.Effect<A, E, R>) =>
  Effect.map(soon(Effect.flip(call)), (error: object) => assert.deepInclude(error, { unavailable: true }))

/** The host and port of a server, which no message may name. */
const addressOf = (url: string) => new RegExp(`${new URL(url).port}|127\\.0\\.0\\.1|SELECT|INSERT|UPDATE`)

describe("PostgreSQL goes away", () => {
  it.live("before the layer is built: calls fail as unavailable, and the registry heals by itself", () =>
    Effect.gen(function* () {
      const server = yield* startPostgres()
      yield* server.kill
      yield* Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const heartbeats = yield* HeartbeatStore
        const error = yield* Effect.flip(workers.ping)
        assert.deepInclude(error, { unavailable: true, detail: "PostgreSQL cannot be reached" })
        assert.notMatch(error.message, addressOf(server.url))
        yield* unavailable(PgMigrations.run)
        yield* unavailable(workers.insert(worker("worker-1")))
        yield* unavailable(heartbeats.record(id))
        yield* server.restart
        assert.lengthOf(yield* eventually(PgMigrations.run), PgMigrations.ids.length)
        yield* workers.insert(worker("worker-1"))
        yield* heartbeats.record(id)
      }).pipe(Effect.provide(registryAt(server.url)))
    }).pipe(Effect.scoped)
  )

  it.live("under load: every call ends, the ones of before and after the outage well", () =>
    Effect.gen(function* () {
      const server = yield* startPostgres()
      yield* Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const heartbeats = yield* HeartbeatStore
        yield* PgMigrations.run
        const fleet = ids("worker", 50)
        yield* Effect.forEach(fleet, (one) => workers.insert(worker(one)), { discard: true })
        let failures = 0
        const ended = yield* Deferred.make<void>()
        const call = (which: WorkerId): Effect.Effect<unknown, RepositoryError | HeartbeatFailed | WorkerNotFound> =>
          Math.random() < 0.5 ? heartbeats.record(which) : workers.find(which)
        const client = (which: WorkerId) =>
          Effect.gen(function* () {
            while (!(yield* Deferred.isDone(ended))) {
              const exit = yield* soon(Effect.exit(call(which)))
              if (Exit.isSuccess(exit)) continue
              failures++
              yield* unavailable(exit)
              yield* Effect.sleep("10 millis")
            }
          })
        const load = yield* Effect.forkChild(Effect.forEach(fleet, client, { concurrency: "unbounded" }))
        for (let outage = 0; outage < 3; outage++) {
          yield* Effect.sleep("200 millis")
          yield* server.kill
          yield* Effect.sleep("200 millis")
          yield* server.restart
          yield* eventually(workers.ping)
          yield* eventually(heartbeats.record(id).pipe(Effect.catchTag("WorkerNotFound", () => Effect.void)))
        }
        yield* Deferred.succeed(ended, undefined)
        yield* Fiber.join(load)
        assert.isAbove(failures, 0)
        yield* Effect.forEach(fleet, heartbeats.record, { concurrency: "unbounded" })
        assert.lengthOf(yield* workers.list({}), 50)
      }).pipe(Effect.provide(registryAt(server.url)))
    }).pipe(Effect.scoped)
  )

  it.live(
    "without a word: nobody waits longer than the limit",
    () =>
      Effect.gen(function* () {
        const server = yield* startPostgres()
        yield* Effect.gen(function* () {
          const workers = yield* WorkerRepository
          const heartbeats = yield* HeartbeatStore
          const sql = yield* SqlClient
          yield* PgMigrations.run
          yield* workers.insert(worker("worker-1"))
          // Connections that are open and idle when the server hangs.
          yield* Effect.replicateEffect(sql`SELECT pg_sleep(0.05)`, 4, { concurrency: "unbounded" })
          yield* server.pause
          const calls = [workers.find(id), workers.ping, workers.remove(id)]
          yield* Effect.all([...calls, ...calls, ...calls, ...calls].map(unavailable), {
            concurrency: "unbounded"
          }).pipe(
            Effect.andThen(Effect.replicateEffect(unavailable(heartbeats.record(id)), 20, { concurrency: "unbounded" }))
          )
          yield* server.resume
          yield* eventually(workers.ping)
          yield* eventually(heartbeats.record(id).pipe(Effect.catchTag("WorkerNotFound", () => Effect.void)))
        }).pipe(Effect.provide(registryAt(server.url)))
      }).pipe(Effect.scoped),
    120_000
  )

  it.live("for one connection: its statement fails, the next one finds another", () =>
    Effect.gen(function* () {
      const server = yield* startPostgres({ settings: { max_connections: "8" } })
      yield* Effect.gen(function* () {
        const workers = yield* WorkerRepository
        const sql = yield* SqlClient
        yield* PgMigrations.run
        const connections = sql`SELECT pid FROM pg_stat_activity WHERE application_name = 'muster' AND pid <> pg_backend_pid()`
        yield* Effect.replicateEffect(sql`SELECT pg_sleep(0.1)`, 3, { concurrency: "unbounded" })
        assert.isAtLeast((yield* connections).length, 2)
        yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'muster' AND pid <> pg_backend_pid()`
        yield* Effect.replicateEffect(eventually(workers.ping), 20, { concurrency: "unbounded" })
        // More connections than the server allows: refused as unavailable, or served.
        const crowd = yield* Effect.partition(
          Array.from({ length: 3 }),
          () =>
            Effect.gen(function* () {
              const crowded = yield* WorkerRepository
              const slow = yield* SqlClient
              yield* Effect.all([slow`SELECT pg_sleep(0.3)`, slow`SELECT pg_sleep(0.3)`, crowded.ping], {
                concurrency: "unbounded",
                mode: "result"
              })
              yield* crowded.ping
            }).pipe(Effect.provide(registryAt(server.url), { local: true })),
          { concurrency: "unbounded" }
        )
        for (const error of crowd[1]) assert.deepInclude(error, { unavailable: true })
        yield* eventually(workers.ping)
      }).pipe(Effect.provide(registryAt(server.url)))
    }).pipe(Effect.scoped)
  )
})
