/**
 * What operators want of workers, and which workers are of one kind: those with equal capabilities, whichever machine
 * they are on. Kinds are counted in `worker_status`, which is narrow; no index of it holds what its checks write.
 */
import { Capabilities } from "@muster/core/worker/Worker"
import { Effect, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as CapabilityKey from "../CapabilityKey.ts"

/** Workers that get their keys by one statement. */
const step = 1_000

const Offers = Schema.Array(Schema.Struct({ id: Schema.String, capabilities: Capabilities }))

export const kinds = Effect.gen(function* () {
  const sql = yield* SqlClient

  // Nobody looks for single job types any more.
  yield* sql`
    ALTER TABLE workers
      DROP COLUMN job_types,
      ADD COLUMN standing text NOT NULL DEFAULT 'open' CHECK (standing IN ('open', 'paused', 'draining'))`
  yield* sql`CREATE INDEX workers_not_open ON workers (id) WHERE standing <> 'open'`

  yield* sql`
    ALTER TABLE worker_status
      ADD COLUMN capability_key text COLLATE "C",
      ADD COLUMN machine_key text COLLATE "C"`
  let after = ""
  while (true) {
    const rows = yield* sql`SELECT id, capabilities FROM workers WHERE id > ${after} ORDER BY id LIMIT ${step}::int`
    const offers = yield* Schema.decodeUnknownEffect(Offers)(rows)
    const last = offers.at(-1)
    if (last === undefined) break
    after = last.id
    // Empty for null: the driver finds no type for a list of nulls.
    const keys = offers.map(({ capabilities }) => CapabilityKey.keysOf(capabilities))
    yield* sql`
      UPDATE worker_status s SET capability_key = k.capability_key, machine_key = nullif(k.machine_key, '')
      FROM unnest(
        ${offers.map(({ id }) => id)}::text[],
        ${keys.map(({ capability_key }) => capability_key)}::text[],
        ${keys.map(({ machine_key }) => machine_key ?? "")}::text[]
      ) AS k (worker_id, capability_key, machine_key)
      WHERE s.worker_id = k.worker_id`
  }
  yield* sql`ALTER TABLE worker_status ALTER COLUMN capability_key SET NOT NULL`
  yield* sql`CREATE INDEX worker_status_capability_key ON worker_status (capability_key)`
  yield* sql`CREATE INDEX worker_status_machine_key ON worker_status (machine_key) WHERE machine_key IS NOT NULL`
})
