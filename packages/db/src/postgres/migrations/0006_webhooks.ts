/** Webhooks of each queue that uses this database, who works on them, and their last deliveries. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const webhooks = Effect.gen(function* () {
  const sql = yield* SqlClient

  // Ids compare by their bytes, as they do in every other layer. The secret is kept as it is: it signs.
  yield* sql`
    CREATE TABLE webhooks (
      queue text COLLATE "C" NOT NULL,
      id text COLLATE "C" NOT NULL,
      url text NOT NULL,
      filter json NOT NULL,
      secret text NOT NULL,
      description text,
      cursor text NOT NULL,
      status text NOT NULL CHECK (status IN ('active', 'disabled')),
      status_reason text,
      status_changed_at timestamptz NOT NULL,
      failing_since timestamptz,
      consecutive_failures integer NOT NULL DEFAULT 0,
      next_attempt_at timestamptz,
      created_at timestamptz NOT NULL,
      lease bigint,
      leased_until timestamptz,
      PRIMARY KEY (queue, id)
    ) WITH (fillfactor = 50)`

  // A webhook that is removed and comes back under its id must not get a lease that somebody remembers.
  yield* sql`CREATE SEQUENCE webhook_leases`

  yield* sql`
    CREATE TABLE webhook_deliveries (
      queue text COLLATE "C" NOT NULL,
      webhook_id text COLLATE "C" NOT NULL,
      number bigint GENERATED ALWAYS AS IDENTITY,
      delivery json NOT NULL,
      PRIMARY KEY (queue, webhook_id, number),
      FOREIGN KEY (queue, webhook_id) REFERENCES webhooks ON DELETE CASCADE
    )`
})
