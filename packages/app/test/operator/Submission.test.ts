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
      assert.match((yield* problems({ payloadFile: tmpdir() }))[0] ?? "", /^--payload-file \S+: it is no file$/)
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

  it.effect("puts the flags of needs and --requirements together", () =>
    Effect.gen(function* () {
      const asked = (needs: Submission.Flags["needs"], requirements?: string) =>
        Effect.map(read({ needs, requirements }), (submission) => submission.requirements)
      assert.deepStrictEqual(yield* asked({}), undefined)
      assert.deepStrictEqual(yield* asked({}, "{}"), {})
      assert.deepStrictEqual(yield* asked({ gpuMemory: 24, gpus: 1, cpuCores: 0.5, ram: 64 }), {
        hardware: { gpu_count: 1, gpu_memory_gb: 24, cpu_cores: 0.5, ram_gb: 64 }
      })
      assert.deepStrictEqual<unknown>(
        yield* asked({
          labels: [
            "tier=gold",
            "slots=4",
            "ready=true",
            'version="4"',
            "zone=a,b",
            "rack!=7",
            "v>=24",
            "v<80",
            "constructor=x"
          ],
          exclude: ["spot=true", "load>0.5"],
          isolation: "strict"
        }),
        {
          labels: {
            tier: "gold",
            slots: 4,
            ready: true,
            version: "4",
            zone: ["a", "b"],
            rack: { not: 7 },
            v: { gte: 24, lt: 80 },
            constructor: "x"
          },
          exclude: { spot: true, load: { gt: 0.5 } },
          customer_isolation: "strict"
        }
      )
      assert.deepStrictEqual<unknown>(
        yield* asked(
          { gpus: 2, models: ["flux"], labels: ["tier=gold"] },
          '{"hardware": {"ram_gb": 8}, "models": ["sdxl"], "labels": {"zone": ["a"]}, "exclude": {"spot": true}}'
        ),
        {
          hardware: { ram_gb: 8, gpu_count: 2 },
          models: ["sdxl", "flux"],
          labels: { zone: ["a"], tier: "gold" },
          exclude: { spot: true }
        }
      )
    })
  )

  it.effect("names what two flags say differently, and the flag whose value is wrong", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* problems({
          needs: { gpus: 2, labels: ["tier=gold", "tier=silver", "v>3", "v>4", "zone=a"], isolation: "strict" },
          requirements: '{"hardware": {"gpu_count": 2}, "labels": {"zone": "a"}, "customer_isolation": "none"}'
        }),
        [
          "--label tier: given twice; tier=a,b asks for both",
          "--label v: given twice; v=a,b asks for both",
          "--gpus: --requirements says hardware.gpu_count already",
          "--label zone: --requirements says labels.zone already",
          "--isolation: --requirements says customer_isolation already"
        ]
      )
      assert.deepStrictEqual(
        yield* problems({
          needs: { gpus: -1, models: [""], labels: ["a b=1", "v=4"], exclude: [`t=${"x".repeat(300)}`] },
          requirements: '{"labels": {"q": {"gte": "4"}}, "hardware": {"gpus": 1}, "near": 1}'
        }),
        [
          "--requirements.near: unknown field",
          "--requirements.hardware.gpus: unknown field",
          "--gpus: expected a value between 0 and 1024",
          "--model: expected a value with a length of at least 1",
          "--label a b: expected a name: letters, digits and . _ : @ - only, at most 128 of them",
          "--requirements.labels.q.gte: expected number",
          "--exclude t: expected a value with a length of at most 256"
        ]
      )
      for (const requirements of ["[]", "null", "4"]) {
        assert.deepStrictEqual(yield* problems({ requirements }), ["--requirements: expected object"])
        assert.deepStrictEqual(yield* problems({ requirements, needs: { gpus: 1 } }), [
          "--requirements: expected an object"
        ])
      }
      assert.match((yield* problems({ requirements: "{" }))[0] ?? "", /^--requirements: not JSON/)
      for (const label of ["tier", "=gold", "tier=", "zone=a,", "v>=x", 'v<"4"', 'v="4', "v>", ""]) {
        const [problem, ...others] = yield* problems({ needs: { labels: [label] } })
        assert.match(problem ?? "", /^--label /, label)
        assert.deepStrictEqual(others, [])
      }
    })
  )
})
