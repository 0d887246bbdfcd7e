/**
 * The archive: finished jobs, their attempts, and events, of each queue that uses this database.
 *
 * Every index costs each archived job, so there are few: a list by one filter, with a status or without, reads rows in
 * the order of its index and no others; further filters pick among these. Rows come in about in the order of their
 * positions, so that all but the key append at their ends.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const archive = Effect.gen(function* () {
  const sql = yield* SqlClient

  // Ids compare by their bytes, as they do in every other layer. Jobs are text: jsonb refuses \u0000, and nobody looks
  // into them here.
  yield* sql`
    CREATE TABLE archived_jobs (
      queue text COLLATE "C" NOT NULL,
      id text COLLATE "C" NOT NULL,
      position bigint NOT NULL,
      status text COLLATE "C" NOT NULL,
      service_required text COLLATE "C" NOT NULL,
      customer_id text COLLATE "C",
      workflow_id text COLLATE "C",
      worker_id text COLLATE "C",
      created_at timestamptz NOT NULL,
      finished_at timestamptz NOT NULL,
      attempt integer NOT NULL,
      job text NOT NULL,
      PRIMARY KEY (queue, id)
    )`
  yield* sql`CREATE INDEX archived_jobs_status ON archived_jobs (queue, status, position)`
  yield* sql`CREATE INDEX archived_jobs_service ON archived_jobs (queue, service_required, status, position)`
  yield* sql`
    CREATE INDEX archived_jobs_customer ON archived_jobs (queue, customer_id, status, position)
    WHERE customer_id IS NOT NULL`
  yield* sql`
    CREATE INDEX archived_jobs_workflow ON archived_jobs (queue, workflow_id, status, position)
    WHERE workflow_id IS NOT NULL`
  yield* sql`
    CREATE INDEX archived_jobs_worker ON archived_jobs (queue, worker_id, status, position)
    WHERE worker_id IS NOT NULL`
  yield* sql`CREATE INDEX archived_jobs_finished ON archived_jobs (queue, finished_at)`

  // No foreign key, for the price of looking it up for every attempt: whoever removes a job removes these with it.
  yield* sql`
    CREATE TABLE archived_attempts (
      queue text COLLATE "C" NOT NULL,
      job_id text COLLATE "C" NOT NULL,
      attempt integer NOT NULL,
      data text NOT NULL,
      PRIMARY KEY (queue, job_id, attempt)
    )`

  // The time goes before the log in the key: what is old is found by it, in whichever log it was.
  yield* sql`
    CREATE TABLE archived_events (
      queue text COLLATE "C" NOT NULL,
      ms bigint NOT NULL,
      seq bigint NOT NULL,
      index integer NOT NULL,
      log text COLLATE "C" NOT NULL,
      at timestamptz NOT NULL,
      type text COLLATE "C" NOT NULL,
      job_id text COLLATE "C",
      worker_id text COLLATE "C",
      data text NOT NULL,
      PRIMARY KEY (queue, ms, seq, index, log)
    )`
  yield* sql`
    CREATE INDEX archived_events_job ON archived_events (queue, job_id, ms, seq, index) WHERE job_id IS NOT NULL`

  // Up to where events are stored, and which server archives for now.
  yield* sql`
    CREATE TABLE archive_cursors (
      queue text COLLATE "C" PRIMARY KEY,
      cursor text,
      holder text,
      held_until timestamptz
    )`
})
