import { assert, describe, it } from "@effect/vitest"
import { WorkerId } from "@muster/core/worker/Worker"
import * as HeartbeatWriter from "@muster/db/postgres/HeartbeatWriter"
import type { PgFailure } from "@muster/db/postgres/PgFailure"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"

const id = (at: number) => WorkerId.make(`worker-${at}`)

/** A store that notes what it is asked to write, and answers when the test says so. */
const makeStore = Effect.sync(() => {
  const statements: Array<{
    readonly ids: ReadonlyArray<WorkerId>
    readonly answer: Deferred.Deferred<ReadonlySet<WorkerId>, PgFailure>
  }> = []
  const store = (ids: ReadonlyArray<WorkerId>) => {
    const answer = Deferred.makeUnsafe<ReadonlySet<WorkerId>, PgFailure>()
    statements.push({ ids, answer })
    return Deferred.await(answer)
  }
  const accept = (at: number) => Deferred.succeed(statements[at]!.answer, new Set(statements[at]!.ids))
  return { statements, store, accept }
})

const settled = Effect.replicateEffect(Effect.yieldNow, 20)

const away = new SqlError({ reason: new ConnectionError({ cause: new Error("10.0.0.7 said no") }) })

describe("HeartbeatWriter", () => {
  it.effect("writes a lone beat at once, and what gathers meanwhile in at most two statements", () =>
    Effect.gen(function* () {
      const { accept, statements, store } = yield* makeStore
      const write = yield* HeartbeatWriter.make(store)
      const fibers = []
      for (let at = 0; at < 1_502; at++) {
        fibers.push(yield* Effect.forkChild(write(id(at))))
        if (at < 2) yield* settled
      }
      yield* settled
      assert.deepStrictEqual(
        statements.map(({ ids }) => ids.length),
        [1, 1]
      )
      yield* accept(0)
      yield* settled
      assert.deepStrictEqual(
        statements.map(({ ids }) => ids.length),
        [1, 1, 1_000]
      )
      yield* accept(1)
      yield* settled
      yield* accept(2)
      yield* accept(3)
      yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(
        statements.map(({ ids }) => ids.length),
        [1, 1, 1_000, 500]
      )
    })
  )

  it.effect("sends an id once for all its beats, and tells each caller what became of it", () =>
    Effect.gen(function* () {
      const { statements, store } = yield* makeStore
      const write = yield* HeartbeatWriter.make(store)
      const first = yield* Effect.forkChild(write(id(0)))
      yield* settled
      const second = yield* Effect.forkChild(write(id(0)))
      yield* settled
      const both = yield* Effect.forkChild(
        Effect.partition([id(1), id(2), id(1), id(2)], write, { concurrency: "unbounded" })
      )
      yield* settled
      for (const { answer } of statements.slice(0, 2)) yield* Deferred.succeed(answer, new Set([id(0)]))
      yield* settled
      assert.deepStrictEqual(statements.at(-1)!.ids.toSorted(), [id(1), id(2)])
      yield* Deferred.succeed(statements.at(-1)!.answer, new Set([id(1)]))
      const [written, refused] = yield* Fiber.join(both)
      assert.lengthOf(refused, 2)
      assert.lengthOf(written, 2)
      for (const error of refused) assert.deepInclude(error, { _tag: "WorkerNotFound", id: id(2) })
      yield* Fiber.join(first)
      yield* Fiber.join(second)
    })
  )

  it.effect("fails each beat with its own id, also those that would wait for the same", () =>
    Effect.gen(function* () {
      const { accept, statements, store } = yield* makeStore
      const write = yield* HeartbeatWriter.make(store)
      const fibers = []
      for (let at = 0; at < 5; at++) {
        fibers.push(yield* Effect.forkChild(Effect.flip(write(id(at)))))
        yield* settled
      }
      yield* Deferred.fail(statements[0]!.answer, away)
      for (const at of [0, 2, 3, 4]) {
        const error = yield* Fiber.join(fibers[at]!)
        assert.deepInclude(error, { _tag: "HeartbeatFailed", id: id(at), unavailable: true, cause: away })
        assert.notInclude(error.message, "10.0.0.7")
      }
      yield* Fiber.interrupt(fibers[1]!)
      const next = yield* Effect.forkChild(write(id(9)))
      yield* settled
      yield* accept(2)
      yield* Fiber.join(next)
    })
  )

  it.effect("outlives a defect of the store", () =>
    Effect.gen(function* () {
      let calls = 0
      const write = yield* HeartbeatWriter.make((ids) => {
        if (++calls <= 4) throw new Error("a bug")
        return Effect.succeed(new Set(ids))
      })
      for (let at = 0; at < 4; at++) {
        assert.deepInclude(yield* Effect.flip(write(id(at))), { _tag: "HeartbeatFailed", unavailable: false })
      }
      yield* write(id(4))
    })
  )

  it.effect("leaves nobody waiting when it ends", () =>
    Effect.gen(function* () {
      const { store } = yield* makeStore
      const scope = yield* Scope.make()
      const write = yield* Scope.provide(HeartbeatWriter.make(store), scope)
      const fibers = []
      for (let at = 0; at < 5; at++) {
        fibers.push(yield* Effect.forkChild(Effect.flip(write(id(at)))))
        yield* settled
      }
      yield* Scope.close(scope, Exit.void)
      for (const fiber of fibers) assert.deepInclude(yield* Fiber.join(fiber), { unavailable: true })
      assert.deepInclude(yield* Effect.flip(write(id(9))), { _tag: "HeartbeatFailed", unavailable: true })
    })
  )
})
