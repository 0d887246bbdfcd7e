import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import * as Finding from "@muster/core/diagnosis/Finding"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"

const check = (name: string, run: Diagnosis.Check["run"]): Diagnosis.Check => ({ name, run })

describe("Diagnosis", () => {
  it.effect("tells findings in the order of the areas, whoever contributed them first", () =>
    Effect.gen(function* () {
      yield* Diagnosis.contribute([check("workers", Effect.succeed(Finding.ok("w")))])
      yield* Diagnosis.contribute([
        check("redis.version", Effect.succeed(Finding.ok("r1"))),
        check("redis.memory", Effect.succeed(null)),
        check("redis.eviction", Effect.succeed(Finding.error("r2", "fix it")))
      ])
      yield* Diagnosis.contribute([check("postgres.version", Effect.succeed(Finding.warning("p", "look")))])
      const { checks } = yield* Diagnosis.Diagnosis
      const findings = yield* Stream.runCollect(Diagnosis.run(yield* checks))
      assert.deepStrictEqual(findings, [
        { name: "postgres.version", verdict: "warning", detail: "p", fix: "look" },
        { name: "redis.version", verdict: "ok", detail: "r1", fix: null },
        { name: "redis.eviction", verdict: "error", detail: "r2", fix: "fix it" },
        { name: "workers", verdict: "ok", detail: "w", fix: null }
      ])
    }).pipe(Effect.scoped, Effect.provide(Diagnosis.layer))
  )

  it.effect("forgets a contribution with its scope", () =>
    Effect.gen(function* () {
      const { checks } = yield* Diagnosis.Diagnosis
      const contributed = Layer.effectDiscard(Diagnosis.contribute([check("node", Effect.succeed(null))]))
      const inside = yield* Effect.provide(checks, contributed)
      assert.strictEqual(inside.length, 1)
      assert.deepStrictEqual(yield* checks, [])
    }).pipe(Effect.provide(Diagnosis.layer))
  )

  it.effect("gives each check its time, all at once, and survives one that breaks", () =>
    Effect.gen(function* () {
      const running = yield* Effect.forkChild(
        Stream.runCollect(
          Diagnosis.run([
            check("a", Effect.never),
            check("b", Effect.never),
            check(
              "c",
              Effect.sync(() => {
                throw new Error("oops")
              })
            ),
            check("d", Effect.as(Effect.sleep("2 seconds"), Finding.ok("in time")))
          ])
        )
      )
      yield* TestClock.adjust("2500 millis")
      const findings = yield* Fiber.join(running)
      assert.deepStrictEqual(
        findings.map(({ detail, verdict }) => [verdict, detail]),
        [
          ["error", "no answer within 2s 500ms"],
          ["error", "no answer within 2s 500ms"],
          ["error", "the check itself broke: oops"],
          ["ok", "in time"]
        ]
      )
    }).pipe(Effect.provide(Logger.layer([])))
  )

  it.effect("tells what is known while later checks still run", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const first = yield* Deferred.make<void>()
      yield* Diagnosis.run([
        check("a", Effect.succeed(Finding.ok("now"))),
        check("b", Effect.as(Deferred.await(first), Finding.ok("after the first was told")))
      ]).pipe(
        Stream.runForEach(({ name }) => {
          seen.push(name)
          return Deferred.succeed(first, undefined)
        })
      )
      assert.deepStrictEqual(seen, ["a", "b"])
    })
  )
})
