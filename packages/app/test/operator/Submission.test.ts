import * as Submission from "@muster/app/operator/Submission"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stdio, Stream } from "effect"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const withInput = (text: string) => Stdio.layerTest({ stdin: Stream.make(new TextEncoder().encode(text)) })

const read = (flags: Partial<Submission.Flags>, input = "") =>
  Submission.fromFlags({ service_required: "simulation", ...flags }).pipe(
    Effect.provide(withInput(input)),
    Effect.provide(NodeServices.layer)
  )

const problems = (flags: Partial<Submission.Flags>, input = "") =>
  Effect.map(Effect.flip(read(flags, input)), (error) => error.problems)

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "muster-operator-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

describe("Submission", () => {
  it.effect("sends what was given and nothing else", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* read({}), { service_required: "simulation" })
      assert.deepStrictEqual<unknown>(
        yield* read({
          id: "j-1",
          priority: 0,
          payload: "null",
          metadata: '{"a":1}',
          timeout_ms: 30_000,
          max_retries: 0
        }),
        {
          service_required: "simulation",
          id: "j-1",
          priority: 0,
          payload: null,
          metadata: { a: 1 },
          timeout_ms: 30_000,
          max_retries: 0
        }
      )
    })
  )

  it.effect("reads a payload from a file or from standard input", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "payload.json")
      yield* Effect.promise(() => writeFile(path, '\ufeff{"from": "file"}'))
      assert.deepStrictEqual((yield* read({ payloadFile: path })).payload, { from: "file" })
      assert.deepStrictEqual((yield* read({ payloadFile: "-" }, '{"from": "Grüße"}')).payload, { from: "Grüße" })
    })
  )

  it.effect("names the flag that is wrong, and all of them at once", () =>
    Effect.gen(function* () {
      assert.match((yield* problems({ payload: "{x" }))[0] ?? "", /^--payload: not JSON: .*position 1/)
      assert.match((yield* problems({ payload: "" }))[0] ?? "", /^--payload: not JSON: Unexpected end/)
      assert.match((yield* problems({ payloadFile: "-" }, "nope"))[0] ?? "", /^--payload-file -: not JSON/)
      assert.deepStrictEqual(yield* problems({ payloadFile: "/nowhere/x.json" }), [
        "--payload-file /nowhere/x.json: no such file"
      ])
      assert.match((yield* problems({ payloadFile: tmpdir() }))[0] ?? "", /^--payload-file \S+: /)
      assert.lengthOf(yield* problems({ payload: "{}", payloadFile: "-" }), 1)
      const found = yield* problems({
        service_required: "simu lation",
        priority: 101,
        workflow_id: "a/b",
        metadata: "[]",
        run_at: "2026-03-01T12:00:00.000Z",
        expires_at: "2026-03-01T11:00:00.000Z"
      })
      assert.deepStrictEqual(found.map((problem) => problem.split(":")[0]).toSorted(), [
        "--metadata",
        "--priority",
        "--workflow-id",
        "SERVICE"
      ])
      assert.deepStrictEqual(
        yield* problems({ run_at: "2026-03-01T12:00:00.000Z", expires_at: "2026-03-01T11:00:00.000Z" }),
        ["--expires-at: expires_at must be later than run_at"]
      )
    })
  )
})
