/** Groups of workers on PostgreSQL: several servers on one database, and what is kept of workers that are gone. */
import { assert, it } from "@effect/vitest"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import { rememberedAtMost } from "@muster/core/worker/WorkerGroup"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import { Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import { freshDatabaseUrl } from "../../../../tools/servers/testServers.ts"
import { worker } from "../../../core/test/worker/registryFixtures.ts"
import { registry, registryAt } from "./pgRegistry.ts"

const Count = Schema.Tuple([Schema.Struct({ count: Schema.Int })])

const known = Effect.fnUntraced(function* (fresh: boolean) {
  const workers = yield* WorkerRepository
  const groups = yield* workers.groups({ machines: [], fresh })
  return groups.map(({ status, workers: count }) => `${status} ${count}`).toSorted()
})

it.effect("what another server did is seen within a second, and at once by who asks for it", () =>
  Effect.gen(function* () {
    const url = yield* freshDatabaseUrl
    const servers = yield* Effect.replicateEffect(Layer.build(Layer.fresh(registryAt(url))), 2)
    const [own, other] = [servers[0]!, servers[1]!]
    yield* Effect.provideContext(PgMigrations.run, own)
    const asOwn = (fresh: boolean) => Effect.provideContext(known(fresh), own)
    const store = (id: string) => Effect.flatMap(WorkerRepository, (workers) => workers.insert(worker(id)))
    yield* Effect.provideContext(store("w-1"), own)
    assert.deepStrictEqual(yield* asOwn(false), ["pending 1"])
    yield* Effect.provideContext(store("w-2"), other)
    assert.deepStrictEqual(yield* asOwn(false), ["pending 1"])
    assert.deepStrictEqual(yield* asOwn(true), ["pending 2"])
    const remove = Effect.flatMap(WorkerRepository, (workers) => workers.remove(WorkerId.make("w-1")))
    yield* Effect.provideContext(remove, other)
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* asOwn(false), ["gone 1", "pending 1"])
  })
)

it.layer(registry, { timeout: "2 minutes" })("Workers that are gone", (it) => {
  it.effect("are remembered up to a number, the last of them", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const workers = yield* WorkerRepository
      yield* sql`
        INSERT INTO departed_workers (id, capacity, capabilities, capability_key, gone_at)
        SELECT 'old-' || n, 1, '{"job_types": ["old"]}', 'key', now() - n * interval '1 second'
        FROM generate_series(1, ${rememberedAtMost + 50}::int) n`
      yield* workers.insert(worker("w-1"))
      yield* workers.remove(WorkerId.make("w-1"))
      const [{ count }] = yield* Schema.decodeUnknownEffect(Count)(
        yield* sql`SELECT count(*)::int AS count FROM departed_workers`
      )
      assert.strictEqual(count, rememberedAtMost)
      assert.deepStrictEqual(yield* known(false), ["gone 1", `gone ${rememberedAtMost - 1}`])
      yield* sql`UPDATE departed_workers SET gone_at = gone_at - interval '2 days'`
      assert.deepStrictEqual(yield* known(true), [])
      yield* workers.insert(worker("w-2"))
      yield* workers.remove(WorkerId.make("w-2"))
      assert.deepStrictEqual(yield* sql`SELECT id FROM departed_workers`, [{ id: "w-2" }])
    })
  )
})
