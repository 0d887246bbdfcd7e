/**
 * Times by the database's clock, which all servers share. `now()` is the moment the transaction began: everything a
 * statement compares and stores by it is of one moment.
 */
import { Duration } from "effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"

/** PostgreSQL has no infinite interval before version 17; a hundred years is before any beat. */
const longest = Duration.days(36_500)

/** The moment that lies `duration` back. */
export const ago = (sql: SqlClient, duration: Duration.Duration): Fragment =>
  sql`now() - ${Duration.toMillis(Duration.min(duration, longest))}::float8 * interval '1 millisecond'`
