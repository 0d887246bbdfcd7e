/** What only the PostgreSQL layers promise: how much one statement does, and several servers on one database. */
import { assert, it } from "@effect/vitest"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { WorkerId } from "@muster/core/worker/Worker"
import * as CapabilityKey from "@muster/db/postgres/CapabilityKey"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import { Duration, Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { freshDatabaseUrl } from "../../../../tools/servers/testServers.ts"
import { facts, ids, insertAll, worker } from "../../../core/test/worker/registryFixtures.ts"
import { passTime, registry, registryAt } from "./pgRegistry.ts"

/** Of any number of workers at once. */
const emptied = Effect.flatMap(SqlClient, (sql) => sql`TRUNCATE workers, past_heartbeats CASCADE`)

const Count = Schema.Tuple([Schema.Struct({ count: Schema.Int })])

/**
 * A fleet too large to be registered one by one: of so many kinds, which all accept `common`, each kind a job type of
 * its own, each worker on a machine of its own.
 */
const fleetOf = Effect.fnUntraced(function* (size: number, kinds: number) {
  const sql = yield* SqlClient
  const offers = Array.from({ length: kinds }, (_, kind) => ({ job_types: ["common", `type-${kind}`] }))
  const keys = offers.map((offer) => CapabilityKey.keysOf(offer).capability_key)
  const machines = Array.from({ length: size }, (_, n) => CapabilityKey.keyOfMachine(`machine-${n + 1}`))
  yield* sql`
    INSERT INTO workers (id, region, capacity, capabilities, unhealthy_job_types)
    SELECT
      'worker-' || n, 'eu-1', 1,
      json_build_object(
        'job_types', ARRAY['common', 'type-' || n % ${kinds}::int],
        'labels', json_build_object('machine_id', 'machine-' || n)
      ),
      '{}'
    FROM generate_series(1, ${size}::int) n`
  yield* sql`
    INSERT INTO worker_status (worker_id, status, status_changed_at, capability_key, machine_key)
    SELECT 'worker-' || n, 'pending', now(), (${keys}::text[])[1 + n % ${kinds}::int], machine_key
    FROM unnest(${machines}::text[]) WITH ORDINALITY AS m (machine_key, n)`
  yield* sql`INSERT INTO last_heartbeats SELECT id, now() FROM workers`
  yield* sql`ANALYZE`
})

it.layer(registry, { timeout: "2 minutes" })("PostgreSQL layers", (it) => {
  it.effect("write the beats of 500 concurrent callers in few statements", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const heartbeats = yield* HeartbeatStore
      yield* emptied
      const fleet = ids("worker", 500)
      yield* insertAll(fleet)
      yield* Effect.forEach(fleet, heartbeats.record, { concurrency: "unbounded" })
      // Each statement is a transaction of its own, and rows say which transaction wrote them.
      const rows = yield* sql`SELECT count(DISTINCT xmin::text)::int AS count FROM last_heartbeats`
      const [{ count }] = yield* Schema.decodeUnknownEffect(Count)(rows)
      assert.isAtMost(count, 10)
    })
  )

  it.effect("prune any number of beats, a bounded number by each statement", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const heartbeats = yield* HeartbeatStore
      yield* emptied
      yield* insertAll([WorkerId.make("worker-1")])
      yield* heartbeats.record(WorkerId.make("worker-1"))
      yield* sql`
        INSERT INTO past_heartbeats
        SELECT 'worker-1', now() - n * interval '1 minute' FROM generate_series(1, 25000) n`
      assert.strictEqual(yield* heartbeats.prune(Duration.minutes(5_000)), 20_001)
      assert.lengthOf(yield* heartbeats.history(WorkerId.make("worker-1"), 10_000), 5_000)
    })
  )

  it.effect("count kinds of workers once a second, and look again at once before they say that nobody is there", () =>
    Effect.gen(function* () {
      const workers = yield* WorkerRepository
      yield* emptied
      yield* fleetOf(30_000, 300)
      yield* passTime("2 seconds")
      const accepting = (type: string, requirements = {}) => workers.accepting(facts(type, { requirements }))
      assert.deepStrictEqual(yield* accepting("common"), { active: 0, registered: 30_000 })
      assert.deepStrictEqual(yield* accepting("type-7"), { active: 0, registered: 100 })
      const before = yield* accepting("type-7", { exclude: { machine_id: "machine-7" } })
      assert.deepStrictEqual(before, { active: 0, registered: 99 })
      assert.deepStrictEqual(yield* accepting("common", { labels: { machine_id: "machine-7" } }), {
        active: 0,
        registered: 1
      })
      yield* workers.insert(worker("late-1", { capabilities: { job_types: ["common", "new"] } }))
      assert.deepStrictEqual(yield* accepting("common"), { active: 0, registered: 30_000 })
      assert.deepStrictEqual(yield* accepting("new"), { active: 0, registered: 1 })
      // That was a count of all.
      assert.deepStrictEqual(yield* accepting("common"), { active: 0, registered: 30_001 })
      yield* workers.insert(worker("late-2", { capabilities: { job_types: ["common", "new"] } }))
      assert.deepStrictEqual(yield* accepting("new"), { active: 0, registered: 1 })
      yield* passTime("1 second")
      assert.deepStrictEqual(yield* accepting("new"), { active: 0, registered: 2 })
    })
  )

  it.effect("say of machines that a job names what is true now", () =>
    Effect.gen(function* () {
      const workers = yield* WorkerRepository
      yield* emptied
      yield* passTime("2 seconds")
      const onMachine = (machine_id: string) => ({ job_types: ["a"], labels: { machine_id } })
      const elsewhere = facts("a", { requirements: { exclude: { machine_id: ["m-1"] } } })
      yield* workers.insert(worker("worker-1", { capabilities: onMachine("m-2") }))
      assert.deepStrictEqual(yield* workers.accepting(facts("a")), { active: 0, registered: 1 })
      // The count of all does not know this one yet, the count of its machine does.
      yield* workers.insert(worker("worker-2", { capabilities: onMachine("m-1") }))
      assert.deepStrictEqual(yield* workers.accepting(elsewhere), { active: 0, registered: 1 })
      yield* workers.remove(WorkerId.make("worker-1"))
      yield* passTime("2 seconds")
      assert.deepStrictEqual(yield* workers.accepting(elsewhere), { active: 0, registered: 0 })
      const here = facts("a", { requirements: { labels: { machine_id: "m-3" } } })
      assert.deepStrictEqual(yield* workers.accepting(here), { active: 0, registered: 0 })
      yield* workers.replace(worker("worker-2", { capabilities: onMachine("m-3") }), {
        aliveWithin: Duration.seconds(60),
        gone: null
      })
      assert.deepStrictEqual(yield* workers.accepting(here), { active: 0, registered: 1 })
      assert.deepStrictEqual(yield* workers.accepting(elsewhere), { active: 0, registered: 1 })
    })
  )
})

it.effect("the checks of several servers move each worker of a large fleet once, while it beats", () =>
  Effect.gen(function* () {
    const url = yield* freshDatabaseUrl
    const servers = yield* Effect.replicateEffect(Layer.build(Layer.fresh(registryAt(url))), 4)
    const first = servers[0]!
    yield* Effect.gen(function* () {
      const size = 5_000
      yield* PgMigrations.run
      yield* fleetOf(size, 1)
      const some = Array.from({ length: 500 }, (_, at) => WorkerId.make(`worker-${at * 7 + 1}`))
      const everywhere = <A, E>(call: Effect.Effect<A, E, WorkerRepository | HeartbeatStore>) =>
        Effect.forEach(servers, (server) => Effect.provideContext(call, server), { concurrency: "unbounded" })
      const beats = Effect.flatMap(HeartbeatStore, (heartbeats) =>
        Effect.forEach(some, heartbeats.record, { concurrency: "unbounded", discard: true })
      )
      const checked = Effect.fnUntraced(function* (
        check: (workers: WorkerRepository["Service"]) => Effect.Effect<ReadonlyArray<WorkerId>, unknown>
      ) {
        const [reports] = yield* Effect.all(
          [everywhere(Effect.flatMap(WorkerRepository, check)), everywhere(beats), everywhere(beats)],
          { concurrency: "unbounded" }
        )
        const moved = reports.flat()
        assert.strictEqual(new Set(moved).size, moved.length)
        return moved.length
      })
      assert.strictEqual(yield* checked((workers) => workers.activatePending), size)
      yield* passTime("2 minutes")
      const minute = Duration.minutes(1)
      const marked = yield* checked((workers) => Effect.map(workers.markStale(minute, null), (report) => report.marked))
      assert.isAtLeast(marked, size - some.length)
      yield* passTime("2 seconds")
      yield* beats
      assert.isAtMost(yield* checked((workers) => workers.reactivateOffline(minute)), some.length)
      assert.lengthOf(yield* Effect.flatMap(WorkerRepository, (workers) => workers.list({ status: "active" })), 500)
    }).pipe(Effect.provideContext(first))
  })
)

it.effect("several servers write beats of the same workers without deadlock", () =>
  Effect.gen(function* () {
    const url = yield* freshDatabaseUrl
    const servers = yield* Effect.replicateEffect(Layer.build(Layer.fresh(registryAt(url))), 3)
    const fleet = ids("worker", 300)
    const onEach = <A, E>(call: (at: number) => Effect.Effect<A, E, WorkerRepository | HeartbeatStore | SqlClient>) =>
      Effect.forEach(servers, (server, at) => Effect.provideContext(call(at), server), { concurrency: "unbounded" })
    yield* onEach(() => PgMigrations.run)
    yield* onEach((at) =>
      Effect.flatMap(WorkerRepository, (workers) =>
        Effect.forEach(
          fleet.filter((_, which) => which % servers.length === at),
          (id) => workers.insert(worker(id))
        )
      )
    )
    yield* onEach((at) =>
      Effect.flatMap(HeartbeatStore, (heartbeats) =>
        Effect.replicateEffect(
          Effect.forEach(at === 0 ? fleet : fleet.toReversed(), heartbeats.record, { concurrency: "unbounded" }),
          10
        )
      )
    )
  })
)
