import * as Batch from "@muster/app/operator/Batch"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stdio, Stream } from "effect"

const read = (input: string) =>
  Batch.fromFile("-").pipe(
    Effect.provide(Stdio.layerTest({ stdin: Stream.make(new TextEncoder().encode(input)) })),
    Effect.provide(NodeServices.layer)
  )

const problems = (input: string) => Effect.map(Effect.flip(read(input)), (error) => error.problems)

const job = (over: Record<string, unknown> = {}) => ({ service_required: "simulation", ...over })

describe("Batch", () => {
  it.effect("reads an array, or one submission a line, in order", () =>
    Effect.gen(function* () {
      const jobs = [job({ id: "a", payload: [1, null] }), job({ id: "b" }), { job_type: "simulation" }]
      const lines = jobs.map((job) => JSON.stringify(job))
      for (const text of [
        JSON.stringify(jobs),
        `\ufeff \n${JSON.stringify(jobs, null, 2)}\n`,
        lines.join("\n"),
        `\ufeff${lines.join("\r\n")}\r\n`,
        `\n\n${lines.join("\n \n")}\n\n`
      ]) {
        assert.deepStrictEqual<unknown>(yield* read(text), jobs)
      }
    })
  )

  it.effect("names every line that is wrong", () =>
    Effect.gen(function* () {
      const good = JSON.stringify(job())
      assert.deepStrictEqual(
        (yield* problems(`${good}\n\n{"a": \n${good}\nnope`)).map((problem) => problem.slice(0, 27)),
        ["--batch -: line 3: not JSON", "--batch -: line 5: not JSON"]
      )
      const bad = [job({ priority: 101 }), job(), job({ urgent: true }), 7].map((job) => JSON.stringify(job))
      const found = yield* problems(bad.join("\n"))
      assert.deepStrictEqual(
        found.map((problem) => problem.split(":").slice(1, 3).join(":")),
        [" line 1: priority", " line 3: urgent", " line 4: Expected object"]
      )
      const inArray = yield* problems(`[${bad.join(",")}]`)
      assert.deepStrictEqual(
        inArray.map((problem) => problem.split(":").slice(1, 3).join(":")),
        [" [0]: priority", " [2]: urgent", " [3]: Expected object"]
      )
    })
  )

  it.effect("takes from one job to a thousand, and lists no more problems than one can read", () =>
    Effect.gen(function* () {
      for (const empty of ["", " \n\n", "[]"]) {
        assert.deepStrictEqual(yield* problems(empty), ["--batch -: there is no job in it"])
      }
      assert.match((yield* problems("["))[0] ?? "", /^--batch -: not JSON/)
      const lines = (count: number, line: string) => Array.from({ length: count }, () => line).join("\n")
      assert.lengthOf(yield* read(lines(1_000, JSON.stringify(job()))), 1_000)
      assert.deepStrictEqual(yield* problems(lines(1_001, JSON.stringify(job()))), [
        "--batch -: there are 1001 jobs in it; at most 1000 go together"
      ])
      const many = yield* problems(lines(1_000, "{}"))
      assert.lengthOf(many, 21)
      assert.strictEqual(many[20], "--batch -: and 980 more")
    })
  )
})
