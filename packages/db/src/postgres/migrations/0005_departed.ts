/**
 * What is remembered of workers that were unregistered: enough to say, for a day, that one of them would have run a job.
 * And a way to those registered workers that are not given jobs as a matter of course.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const departed = Effect.gen(function* () {
  const sql = yield* SqlClient

  yield* sql`
    CREATE TABLE departed_workers (
      id text COLLATE "C" PRIMARY KEY,
      capacity integer NOT NULL,
      capabilities json NOT NULL,
      machine_id text,
      capability_key text COLLATE "C" NOT NULL,
      machine_key text COLLATE "C",
      last_heartbeat_at timestamptz,
      gone_at timestamptz NOT NULL
    )`
  yield* sql`CREATE INDEX departed_workers_gone_at ON departed_workers (gone_at)`
  yield* sql`CREATE INDEX departed_workers_capability_key ON departed_workers (capability_key)`

  yield* sql`CREATE INDEX workers_special ON workers (id) WHERE standing <> 'open' OR unhealthy_job_types <> '{}'`
})
