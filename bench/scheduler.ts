/**
 * One pass of each check over 100,000 workers on PostgreSQL, each in the worst case: every worker moves. Beside it,
 * the same passes when nothing is to be done.
 */
import * as CapabilityKey from "@muster/db/postgres/CapabilityKey"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as PgWorkerRepository from "@muster/db/postgres/PgWorkerRepository"
import * as Postgres from "@muster/db/postgres/Postgres"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { Duration, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { startPostgres } from "../tools/servers/Postgres.ts"
import type { Figure, Report } from "./Report.ts"

const workers = 100_000
const minute = Duration.minutes(1)

const timed = <E, R>(name: string, pass: Effect.Effect<number, E, R>, aim: boolean) =>
  Effect.gen(function* () {
    const from = performance.now()
    const rows = yield* pass
    const took = (performance.now() - from) / 1_000
    return [
      { name, value: took, unit: "s", ...(aim ? { aim: { atMost: 1 } } : {}) },
      { name: `${name}: rows written`, value: rows, unit: "rows" }
    ] satisfies ReadonlyArray<Figure>
  })

/** Workers and their beats straight into the tables: registering is not what is measured. */
const fill = Effect.gen(function* () {
  const sql = yield* SqlClient
  // One queue wants the events of workers, as in use.
  yield* sql`INSERT INTO worker_outboxes (queue, seen_at) VALUES ('default', now()) ON CONFLICT DO NOTHING`
  yield* sql`TRUNCATE workers CASCADE`
  yield* sql`TRUNCATE worker_events`
  yield* sql`TRUNCATE past_heartbeats`
  yield* sql`
    INSERT INTO workers (id, region, capacity, capabilities, unhealthy_job_types)
    SELECT 'bench-' || n, 'bench', 1, '{"job_types":["simulation"]}', '{}'
    FROM generate_series(1, ${workers}) n`
  const { capability_key } = CapabilityKey.keysOf({ job_types: ["simulation"] })
  yield* sql`
    INSERT INTO worker_status (worker_id, status, status_changed_at, capability_key)
    SELECT id, 'pending', clock_timestamp(), ${capability_key} FROM workers`
  yield* sql`INSERT INTO last_heartbeats SELECT id, clock_timestamp() FROM workers`
  yield* sql`VACUUM ANALYZE`
})

const beatsAre = (age: string) =>
  Effect.flatMap(SqlClient, (sql) => sql`UPDATE last_heartbeats SET at = clock_timestamp() - ${age}::interval`)

const passes = Effect.gen(function* () {
  const repository = yield* WorkerRepository
  const activation = Effect.map(repository.activatePending, (ids) => ids.length)
  const stale = Effect.map(repository.markStale(minute, null), ({ marked }) => marked.length)
  const reactivation = Effect.map(repository.reactivateOffline(minute), (ids) => ids.length)
  const figures: Array<Figure> = []
  figures.push(...(yield* timed("activation, all pending", activation, true)))
  figures.push(...(yield* timed("stale detection, none stale", stale, true)))
  yield* beatsAre("2 minutes")
  figures.push(...(yield* timed("stale detection, all stale", stale, true)))
  figures.push(...(yield* timed("reactivation, none heard", reactivation, true)))
  yield* beatsAre("0 seconds")
  figures.push(...(yield* timed("reactivation, all heard", reactivation, true)))
  figures.push(...(yield* timed("activation, none pending", activation, true)))
  return figures
})

export const run = async (): Promise<Report> => {
  const { url } = await startPostgres({ durable: true })
  const layer = PgWorkerRepository.layer.pipe(Layer.provideMerge(Postgres.layer({ url: Redacted.make(url) })))
  const figures = await Effect.runPromise(
    PgMigrations.run.pipe(Effect.andThen(fill), Effect.andThen(passes), Effect.provide(layer))
  )
  return { bench: "scheduler", setting: { workers, postgres: "fsync on, same machine" }, figures }
}
