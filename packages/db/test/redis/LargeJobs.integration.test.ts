/** Jobs with large payloads: what claims of them read and answer is bounded, however many are wanted. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { claim, idsOf, submit } from "../../../core/test/job/QueueTest.ts"
import { queueOn, redisCli } from "./OwnRedis.ts"

const kilobyte = 1_024

it.live("luaCallBounded: claims read each large payload once, and answer a few megabytes at a time", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis({ appendOnly: false })
    const told = (command: string) =>
      Effect.map(redisCli(url, ["INFO", "commandstats"]), (stats) =>
        Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, "m").exec(String(stats))?.[1] ?? 0)
      )
    yield* Effect.gen(function* () {
      const sizes = Array.from({ length: 60 }, (_, n) => (n % 3 === 0 ? 1 : 500 * kilobyte))
      for (const [n, size] of sizes.entries()) yield* submit(n, { payload: "x".repeat(size) })
      yield* claim({ limit: 0 })
      yield* redisCli(url, ["CONFIG", "RESETSTAT"])
      const one = yield* claim({ worker: "alone", limit: 20 })
      assert.deepStrictEqual(
        idsOf(one),
        sizes.slice(0, 20).map((_, n) => String(n))
      )
      assert.deepStrictEqual(one[1]!.job.payload, "x".repeat(500 * kilobyte))
      assert.strictEqual(yield* told("get"), 13)
      // A call ends with 4 MB, for one claim or for many.
      assert.strictEqual(yield* told("fcall"), 2)
      const together = yield* Effect.forEach(["a", "b", "c", "d"], (worker) => claim({ worker, limit: 10 }), {
        concurrency: "unbounded"
      })
      assert.strictEqual(new Set(together.flatMap(idsOf)).size, 40)
      assert.strictEqual(yield* told("get"), 40)
      assert.isAtLeast(yield* told("fcall"), 2 + 3)
      assert.isAtMost(yield* told("fcall"), 2 + 12)
    }).pipe(Effect.provide(queueOn(url)))
  })
)
