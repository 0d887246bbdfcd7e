import { assert, describe, it } from "@effect/vitest"
import { WorkerOutbox } from "@muster/core/worker/internal/WorkerOutbox"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as PgWorkerOutbox from "@muster/db/postgres/PgWorkerOutbox"
import { Deferred, Effect, Fiber, Layer, Option } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { freshDatabaseUrl } from "../../../../tools/servers/testServers.ts"
import * as OutboxSuite from "../../../core/test/worker/OutboxSuite.ts"
import { ids, insertAll, worker } from "../../../core/test/worker/registryFixtures.ts"
import { passTime, registryAt } from "./pgRegistry.ts"

const withOutbox = (url: string) => PgWorkerOutbox.layer.pipe(Layer.provideMerge(registryAt(url)))

/** A registry with its outbox in a database that goes with the layer. */
const registry = Layer.unwrap(Effect.map(freshDatabaseUrl, withOutbox)).pipe(
  Layer.tap((context) => Effect.provideContext(PgMigrations.run, context))
)

OutboxSuite.suite("postgres", { layer: registry, passTime })

const next = Effect.gen(function* () {
  const outbox = yield* WorkerOutbox
  const page = yield* outbox.read
  if (Option.isNone(page)) return []
  yield* outbox.forget(page.value)
  return page.value.events.map(({ worker_id }) => String(worker_id))
})

describe("the outbox on PostgreSQL", () => {
  it.effect("does not skip what a transaction that takes long makes known late", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const workers = yield* WorkerRepository
      yield* next
      const inserted = yield* Deferred.make<void>()
      const mayCommit = yield* Deferred.make<void>()
      const late = yield* Effect.forkChild(
        sql.withTransaction(
          Effect.gen(function* () {
            yield* workers.insert(worker("late"))
            yield* Deferred.succeed(inserted, undefined)
            yield* Deferred.await(mayCommit)
          })
        )
      )
      yield* Deferred.await(inserted)
      // Numbered after it, known before it.
      yield* insertAll(ids("early", 2))
      assert.sameMembers([...(yield* next)], ["early-000", "early-001"])
      assert.deepStrictEqual(yield* next, [])
      yield* Deferred.succeed(mayCommit, undefined)
      yield* Fiber.join(late)
      assert.deepStrictEqual(yield* next, ["late"])
    }).pipe(Effect.provide(registry))
  )

  it.effect("leaves no event of a change that was rolled back", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const workers = yield* WorkerRepository
      yield* next
      const undone = sql.withTransaction(Effect.andThen(workers.insert(worker("undone")), Effect.fail("undone")))
      yield* Effect.flip(undone)
      assert.deepStrictEqual(yield* next, [])
    }).pipe(Effect.provide(registry))
  )

  it.effect("serves each queue of the database, and none that nobody has asked for within a day", () =>
    Effect.gen(function* () {
      const url = yield* freshDatabaseUrl
      const defaults = yield* QueueSettings
      const layer = withOutbox(url)
      const on = <A, E>(name: string, use: Effect.Effect<A, E, Layer.Success<typeof layer>>) =>
        Effect.provide(use, layer, { local: true }).pipe(Effect.provideService(QueueSettings, { ...defaults, name }))
      yield* on("one", PgMigrations.run)
      const register = (id: string) => Effect.flatMap(WorkerRepository, (workers) => workers.insert(worker(id)))
      yield* on("one", register("unseen"))
      assert.deepStrictEqual(yield* on("one", next), [])
      assert.deepStrictEqual(yield* on("two", next), [])
      yield* on("one", register("a"))
      assert.deepStrictEqual(yield* on("one", next), ["a"])
      assert.deepStrictEqual(yield* on("two", next), ["a"])
      const age = Effect.flatMap(
        SqlClient,
        (sql) => sql`UPDATE worker_outboxes SET seen_at = seen_at - interval '2 days' WHERE queue = 'two'`
      )
      yield* on("one", age)
      yield* on("one", register("b"))
      assert.deepStrictEqual(yield* on("one", next), ["b"])
      assert.deepStrictEqual(yield* on("two", next), [])
      const left = yield* on(
        "one",
        Effect.flatMap(SqlClient, (sql) => sql`SELECT seq FROM worker_events`)
      )
      assert.deepStrictEqual(left, [])
      yield* on(
        "one",
        Effect.flatMap(WorkerRepository, (workers) => workers.remove(WorkerId.make("a")))
      )
      assert.deepStrictEqual(yield* on("two", next), ["a"])
    })
  )
})
