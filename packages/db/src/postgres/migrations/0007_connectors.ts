/** What workers say of their connectors: why a job type that a worker accepts cannot be run now. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql/SqlClient"

export const connectors = Effect.gen(function* () {
  const sql = yield* SqlClient
  // json and not jsonb: reasons are texts of services, in which any character may stand.
  yield* sql`ALTER TABLE workers ADD COLUMN connectors json NOT NULL DEFAULT '[]'`
})
