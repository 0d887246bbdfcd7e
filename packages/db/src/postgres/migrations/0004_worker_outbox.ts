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
  // A row for up to 1,000 workers to which the same happened in one statement: a row for each would double the cost of a
  // check that moves the whole fleet.
  yield* sql`
    CREATE TABLE worker_events (
      queue text COLLATE "C" NOT NULL,
      seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
      at timestamptz NOT NULL,
      type text NOT NULL,
      worker_ids text[] NOT NULL,
      machine_ids text[],
      worker_status text,
      standing text,
      PRIMARY KEY (queue, seq)
    )`
  yield* sql`
    CREATE VIEW wanted_outboxes AS SELECT queue FROM worker_outboxes WHERE seen_at > now() - interval '1 day'`

  // Workers themselves change one by one. json has no equality.
  yield* sql`
    CREATE FUNCTION muster_worker_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'INSERT' THEN
        INSERT INTO worker_events (queue, at, type, worker_ids, machine_ids, worker_status)
        SELECT queue, NEW.registered_at, 'worker.registered', ARRAY[NEW.id], ARRAY[NEW.machine_id], 'pending'
        FROM wanted_outboxes;
      ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO worker_events (queue, at, type, worker_ids, machine_ids)
        SELECT queue, now(), 'worker.unregistered', ARRAY[OLD.id], ARRAY[OLD.machine_id] FROM wanted_outboxes;
      ELSE
        IF (
          NEW.region, NEW.capacity, NEW.capabilities::text, NEW.machine_id, NEW.worker_type, NEW.process_name,
          NEW.instance_id, NEW.unhealthy_job_types
        ) IS DISTINCT FROM (
          OLD.region, OLD.capacity, OLD.capabilities::text, OLD.machine_id, OLD.worker_type, OLD.process_name,
          OLD.instance_id, OLD.unhealthy_job_types
        ) THEN
          INSERT INTO worker_events (queue, at, type, worker_ids, machine_ids)
          SELECT queue, now(), 'worker.updated', ARRAY[NEW.id], ARRAY[NEW.machine_id] FROM wanted_outboxes;
        END IF;
        IF NEW.standing <> OLD.standing THEN
          INSERT INTO worker_events (queue, at, type, worker_ids, machine_ids, standing)
          SELECT queue, now(), 'worker.standing', ARRAY[NEW.id], ARRAY[NEW.machine_id], NEW.standing
          FROM wanted_outboxes;
        END IF;
      END IF;
      RETURN NULL;
    END $$`
  yield* sql`
    CREATE TRIGGER worker_changed AFTER INSERT OR UPDATE OR DELETE ON workers
    FOR EACH ROW EXECUTE FUNCTION muster_worker_changed()`

  // A check may move the whole fleet. Whose status changed is told by its time: to compare with the rows before would
  // need a join, by a plan that PostgreSQL makes once, for however few rows there are then. Which machines they are on is
  // looked up when the events are read.
  yield* sql`
    CREATE FUNCTION muster_worker_moved() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO worker_events (queue, at, type, worker_ids, worker_status)
      SELECT o.queue, now(), 'worker.status', moved.ids, moved.status
      FROM (
        SELECT status, array_agg(worker_id) AS ids
        FROM (
          SELECT worker_id, status, row_number() OVER () / 1000 AS part FROM changed
          WHERE status_changed_at = now()
        ) AS numbered
        GROUP BY status, part
      ) AS moved CROSS JOIN wanted_outboxes o;
      RETURN NULL;
    END $$`
  yield* sql`
    CREATE TRIGGER worker_moved AFTER UPDATE ON worker_status REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION muster_worker_moved()`
})
