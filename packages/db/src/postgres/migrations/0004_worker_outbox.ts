/**
 * What happened to workers, written by triggers in the transaction that changes them: whoever changes a worker, by
 * whatever statement, its event is there exactly when the change is. A statement over many workers writes all their
 * events by one more.
 *
 * Each queue whose servers have been here within a day gets its own copy, because each has an event log of its own.
 */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const workerOutbox = Effect.gen(function* () {
  const sql = yield* SqlClient

  // Lists of jobs by machine ask for these.
  yield* sql`CREATE INDEX workers_machine_id ON workers (machine_id) WHERE machine_id IS NOT NULL`

  // Those in `batch` are being given to the log, as the last of `number` events so far.
  yield* sql`
    CREATE TABLE worker_outboxes (
      queue text COLLATE "C" PRIMARY KEY,
      id uuid NOT NULL DEFAULT gen_random_uuid(),
      number bigint NOT NULL DEFAULT 0,
      batch bigint[],
      seen_at timestamptz NOT NULL
    )`
  yield* sql`
    CREATE TABLE worker_events (
      queue text COLLATE "C" NOT NULL,
      seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
      at timestamptz NOT NULL,
      type text NOT NULL,
      worker_id text COLLATE "C" NOT NULL,
      machine_id text,
      worker_status text,
      standing text,
      PRIMARY KEY (queue, seq)
    )`

  yield* sql`
    CREATE FUNCTION muster_worker_registered() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO worker_events (queue, at, type, worker_id, machine_id, worker_status)
      SELECT o.queue, n.registered_at, 'worker.registered', n.id, n.machine_id, 'pending'
      FROM new_rows n CROSS JOIN worker_outboxes o WHERE o.seen_at > now() - interval '1 day';
      RETURN NULL;
    END $$`
  yield* sql`
    CREATE TRIGGER worker_registered AFTER INSERT ON workers REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION muster_worker_registered()`

  yield* sql`
    CREATE FUNCTION muster_worker_unregistered() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO worker_events (queue, at, type, worker_id, machine_id)
      SELECT o.queue, now(), 'worker.unregistered', n.id, n.machine_id
      FROM old_rows n CROSS JOIN worker_outboxes o WHERE o.seen_at > now() - interval '1 day';
      RETURN NULL;
    END $$`
  yield* sql`
    CREATE TRIGGER worker_unregistered AFTER DELETE ON workers REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION muster_worker_unregistered()`

  // json has no equality.
  yield* sql`
    CREATE FUNCTION muster_worker_updated() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO worker_events (queue, at, type, worker_id, machine_id)
      SELECT o.queue, now(), 'worker.updated', n.id, n.machine_id
      FROM new_rows n JOIN old_rows p ON p.id = n.id CROSS JOIN worker_outboxes o
      WHERE o.seen_at > now() - interval '1 day' AND (
        n.region, n.capacity, n.capabilities::text, n.machine_id, n.worker_type, n.process_name, n.instance_id,
        n.unhealthy_job_types
      ) IS DISTINCT FROM (
        p.region, p.capacity, p.capabilities::text, p.machine_id, p.worker_type, p.process_name, p.instance_id,
        p.unhealthy_job_types
      );
      INSERT INTO worker_events (queue, at, type, worker_id, machine_id, standing)
      SELECT o.queue, now(), 'worker.standing', n.id, n.machine_id, n.standing
      FROM new_rows n JOIN old_rows p ON p.id = n.id CROSS JOIN worker_outboxes o
      WHERE o.seen_at > now() - interval '1 day' AND n.standing <> p.standing;
      RETURN NULL;
    END $$`
  yield* sql`
    CREATE TRIGGER worker_updated AFTER UPDATE ON workers REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION muster_worker_updated()`

  yield* sql`
    CREATE FUNCTION muster_worker_status() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO worker_events (queue, at, type, worker_id, machine_id, worker_status)
      SELECT o.queue, n.status_changed_at, 'worker.status', n.worker_id, w.machine_id, n.status
      FROM new_rows n JOIN old_rows p ON p.worker_id = n.worker_id JOIN workers w ON w.id = n.worker_id
      CROSS JOIN worker_outboxes o WHERE o.seen_at > now() - interval '1 day' AND n.status <> p.status;
      RETURN NULL;
    END $$`
  yield* sql`
    CREATE TRIGGER worker_status_changed AFTER UPDATE ON worker_status
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION muster_worker_status()`
})
