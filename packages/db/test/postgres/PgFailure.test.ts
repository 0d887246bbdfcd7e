import { assert, describe, it } from "@effect/vitest"
import { answerWithin, describe as describeFailure, repository } from "@muster/db/postgres/PgFailure"
import { Deferred, Duration, Effect, Fiber, Schema } from "effect"
import * as SqlErrors from "effect/sql/SqlError"
import { TestClock } from "effect/testing"

const answered = (code: string) =>
  new SqlErrors.SqlError({
    reason: new SqlErrors.UnknownError({ cause: Object.assign(new Error("secret"), { code }), message: "secret" })
  })

describe("failures of PostgreSQL", () => {
  it("are told apart by whether the database was away", () => {
    const { SqlError } = SqlErrors
    const because = { cause: new Error("secret"), message: "secret" }
    const away = [
      new SqlError({ reason: new SqlErrors.ConnectionError(because) }),
      new SqlError({ reason: new SqlErrors.StatementTimeoutError(because) }),
      new SqlError({ reason: new SqlErrors.LockTimeoutError(because) }),
      new SqlError({ reason: new SqlErrors.DeadlockError(because) }),
      new SqlError({ reason: new SqlErrors.SerializationError(because) }),
      // Somebody has to put these right, and it needs no restart of ours.
      new SqlError({ reason: new SqlErrors.AuthenticationError(because) }),
      new SqlError({ reason: new SqlErrors.AuthorizationError(because) }),
      ...["3D000", "57P01", "57P02", "57P03", "57P05", "53300", "53100", "25006", "42P01", "42703"].map(answered)
    ]
    const broken = [
      new SqlError({ reason: new SqlErrors.ConstraintError(because) }),
      ...["42601", "22P02", "XX000", "ECONNRESET of 10.0.0.7"].map(answered),
      new Error("secret")
    ]
    for (const error of [...away, ...broken]) {
      const { cause, detail, unavailable } = describeFailure(error)
      assert.strictEqual(unavailable, away.includes(error as never), detail)
      assert.strictEqual(cause, error)
      assert.notMatch(detail, /secret|10\.0\.0\.7/)
      assert.isNotEmpty(detail)
    }
    assert.strictEqual(describeFailure(answered("42P01")).detail, "the database is not migrated yet")
    assert.include(describeFailure(answered("22P02")).detail, "22P02")
  })

  it.effect("become the error of the port; what the port says itself stays", () =>
    Effect.gen(function* () {
      const run = repository("WorkerRepository.find")
      const operation = { _tag: "RepositoryError", operation: "WorkerRepository.find", unavailable: false }
      const refused: object = yield* Effect.flip(run(Effect.fail(answered("22P02"))))
      assert.deepInclude(refused, operation)
      const unreadable: object = yield* Effect.flip(run(Schema.decodeUnknownEffect(Schema.String)(7)))
      assert.deepInclude(unreadable, operation)
      assert.strictEqual(yield* Effect.flip(run(Effect.fail("own" as const))), "own")
      assert.strictEqual(yield* run(Effect.succeed(1)), 1)
    })
  )

  it.effect("include no answer in time, for which nobody waits longer", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const stuck = Effect.onInterrupt(Effect.never, () =>
        Effect.andThen(Deferred.succeed(interrupted, undefined), Effect.never)
      )
      const waiting = yield* Effect.forkChild(Effect.flip(answerWithin(Duration.seconds(5))(stuck)))
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(describeFailure(yield* Fiber.join(waiting)).unavailable)
      yield* Deferred.await(interrupted)
    })
  )

  it.effect("leave an interrupted caller without a wait, and the statement cancelled", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const stuck = Effect.onInterrupt(Effect.never, () =>
        Effect.andThen(Deferred.succeed(interrupted, undefined), Effect.never)
      )
      const waiting = yield* Effect.forkChild(answerWithin(Duration.seconds(5))(stuck), { startImmediately: true })
      yield* Fiber.interrupt(waiting)
      yield* Deferred.await(interrupted)
    })
  )
})
