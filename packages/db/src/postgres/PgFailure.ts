/**
 * How failures of PostgreSQL become failures of the ports: the one place that decides whether the database was away,
 * and in which words it is told. The words name no host, statement or value; the driver's error stays in `cause`.
 */
import { StorageError } from "@muster/core/job/JobErrors"
import { RepositoryError } from "@muster/core/worker/WorkerErrors"
import { Cause, Duration, Effect, Fiber, Predicate, Schema } from "effect"
import { isSqlError, SqlError, StatementTimeoutError } from "effect/sql/SqlError"

/** What statements fail with before a port has given it its own name. */
export type PgFailure = SqlError | Schema.SchemaError | Cause.NoSuchElementError

const isPgFailure = (error: unknown): error is PgFailure =>
  isSqlError(error) || Schema.isSchemaError(error) || Cause.isNoSuchElementError(error)

export interface Description {
  readonly detail: string
  readonly unavailable: boolean
  readonly cause: unknown
}

const sqlState = ({ reason: { cause } }: SqlError): string =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : ""

/** Somebody else has to do something, and then it works without a restart of ours. */
const away = (detail: string) => ({ detail, unavailable: true })
const broken = (detail: string) => ({ detail, unavailable: false })

const describeSqlError = (error: SqlError) => {
  const code = sqlState(error)
  switch (error.reason._tag) {
    case "ConnectionError":
      return away("PostgreSQL cannot be reached")
    case "StatementTimeoutError":
    case "LockTimeoutError":
      return away("PostgreSQL did not answer in time")
    case "DeadlockError":
    case "SerializationError":
      return away("PostgreSQL gave way to a concurrent statement")
    case "AuthenticationError":
      return away("PostgreSQL refused the credentials")
    case "AuthorizationError":
      return away("PostgreSQL refused: the user lacks a privilege")
  }
  // Undefined table or column: a server that is newer than the schema, or started with it.
  if (code === "3D000") return away("the database does not exist")
  if (code === "42P01" || code === "42703") return away("the database is not migrated yet")
  if (/^57P0[1235]$/.test(code)) return away("PostgreSQL is starting or shutting down")
  if (code.startsWith("53")) return away("PostgreSQL is out of connections or of another resource")
  if (code === "25006") return away("PostgreSQL is read-only now")
  if (/^[0-9A-Z]{5}$/.test(code)) return broken(`PostgreSQL answered with error ${code}`)
  return broken("PostgreSQL could not be understood")
}

export const describe = (cause: unknown): Description => {
  if (isSqlError(cause)) return { ...describeSqlError(cause), cause }
  return { ...broken("what PostgreSQL stores could not be read"), cause }
}

const unanswered = (limit: Duration.Duration) =>
  new SqlError({
    reason: new StatementTimeoutError({ cause: new Error(`no answer within ${Duration.format(limit)}`) })
  })

/**
 * Gives up after `limit`, waiting for a free connection included. The driver cancels an abandoned statement by asking
 * the database, which takes seconds when it hangs: that goes on in the background, and the caller does not wait.
 */
export const answerWithin =
  (limit: Duration.Duration) =>
  <A, E, R>(statement: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.forkDetach(statement, { startImmediately: true }), (fiber) => {
        const orElse = () => Effect.fail(unanswered(limit))
        const answer = Effect.timeoutOrElse(Fiber.join(fiber), { duration: limit, orElse })
        return Effect.onExit(restore(answer), () => Effect.sync(() => fiber.interruptUnsafe()))
      })
    )

/** How long a request waits for the database. */
export const patience = Duration.seconds(5)

/** Runs one operation of a repository port; PostgreSQL's failures become `RepositoryError`. */
export const repository =
  (operation: string, limit: Duration.Duration = patience) =>
  <A, E, R>(statement: Effect.Effect<A, E, R>): Effect.Effect<A, Exclude<E, PgFailure> | RepositoryError, R> =>
    Effect.mapError(answerWithin(limit)(statement), (error) =>
      isPgFailure(error) ? new RepositoryError({ operation, ...describe(error) }) : (error as Exclude<E, PgFailure>)
    )

/** Runs one operation of the archive's port; PostgreSQL's failures become `StorageError`. */
export const storage =
  (operation: string, limit: Duration.Duration = patience) =>
  <A, E, R>(statement: Effect.Effect<A, E, R>): Effect.Effect<A, Exclude<E, PgFailure> | StorageError, R> =>
    Effect.mapError(answerWithin(limit)(statement), (error) =>
      isPgFailure(error) ? new StorageError({ operation, ...describe(error) }) : (error as Exclude<E, PgFailure>)
    )
