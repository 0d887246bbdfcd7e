/**
 * The registry and its heartbeats.
 *
 * What changes often is kept apart from what is wide: a check over 100,000 workers rewrites 100,000 short rows, and a
 * beat rewrites one row in place, without touching an index (their pages are left half empty for that).
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const registry = Effect.gen(function* () {
  const sql = yield* SqlClient

  // Ids compare by their bytes, as they do in every other layer. The capabilities are json: jsonb refuses \u0000.
  yield* sql`
    CREATE TABLE workers (
      id text COLLATE "C" PRIMARY KEY,
      region text NOT NULL,
      capacity integer NOT NULL,
      capabilities json NOT NULL,
      job_types text[] NOT NULL,
      unhealthy_job_types text[] NOT NULL,
      machine_id text,
      worker_type text,
      process_name text,
      instance_id text,
      registered_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`
  yield* sql`CREATE INDEX workers_job_types ON workers USING gin (job_types) WITH (fastupdate = off)`

  yield* sql`
    CREATE TABLE worker_status (
      worker_id text COLLATE "C" PRIMARY KEY REFERENCES workers ON DELETE CASCADE,
      status text NOT NULL CHECK (status IN ('pending', 'active', 'offline')),
      status_changed_at timestamptz NOT NULL
    ) WITH (fillfactor = 50)`

  // One row for each worker from its registration on; null until it beats.
  yield* sql`
    CREATE TABLE last_heartbeats (
      worker_id text COLLATE "C" PRIMARY KEY REFERENCES workers ON DELETE CASCADE,
      at timestamptz
    ) WITH (fillfactor = 50)`

  // The beats before the last. No foreign key, for the price of looking it up at every beat: whoever removes a worker
  // removes these after its last_heartbeats row, which every beat has to lock first.
  yield* sql`CREATE TABLE past_heartbeats (worker_id text COLLATE "C" NOT NULL, at timestamptz NOT NULL)`
  yield* sql`CREATE INDEX past_heartbeats_worker ON past_heartbeats (worker_id, at)`
  yield* sql`CREATE INDEX past_heartbeats_at ON past_heartbeats (at)`
})
