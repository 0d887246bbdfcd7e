import { assert, describe, it } from "@effect/vitest"
import { JobId } from "@muster/core/job/Job"
import { StorageError } from "@muster/core/job/JobErrors"
import * as ArchiveLookup from "@muster/db/postgres/ArchiveLookup"
import { Deferred, Effect, Fiber } from "effect"
import { finished } from "../../../core/test/job/JobArchiveSuite.ts"

const ids = (count: number) => Array.from({ length: count }, (_, n) => JobId.make(`j${n}`))

describe("looking up archived jobs", () => {
  it.effect("asks at once when nobody else asks, and together when many do", () =>
    Effect.gen(function* () {
      const asked: Array<number> = []
      const gate = yield* Deferred.make<void>()
      const find = yield* ArchiveLookup.make((ids) =>
        Effect.gen(function* () {
          asked.push(ids.length)
          yield* Deferred.await(gate)
          return ids.filter((id) => id !== "j7").map((id) => finished(id, 1))
        })
      )
      const lookups = yield* Effect.forkChild(
        Effect.forEach(ids(500), (id) => find([id]), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* Effect.yieldNow
      yield* Deferred.succeed(gate, undefined)
      const found = yield* Fiber.join(lookups)
      assert.isAtMost(asked.length, 4)
      assert.deepStrictEqual(found.map(([one]) => one?.job.id).filter((id) => id === undefined).length, 1)
      assert.deepStrictEqual(
        (yield* find(ids(9))).map(({ job }) => job.id),
        ids(9).filter((id) => id !== "j7")
      )
    })
  )

  it.effect("tells all that wait when the archive is away, and asks again next time", () =>
    Effect.gen(function* () {
      let away = true
      const failure = new StorageError({ operation: "find", detail: "away", unavailable: true, cause: "test" })
      const find = yield* ArchiveLookup.make((ids) =>
        away ? Effect.fail(failure) : Effect.succeed(ids.map((id) => finished(id, 1)))
      )
      const errors = yield* Effect.forEach(ids(50), (id) => Effect.flip(find([id])), { concurrency: "unbounded" })
      assert.isTrue(errors.every((error) => error === failure))
      away = false
      assert.strictEqual((yield* find(ids(3))).length, 3)
    })
  )
})
