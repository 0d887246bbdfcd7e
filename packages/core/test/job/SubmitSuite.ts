/** Submitting, getting, and what a job carries through the store unchanged. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import { claimedIds, claimOne, complete, inSeconds, jobId, jobNow, on, type QueueLayer, submit } from "./QueueTest.ts"

const nested = (depth: number): unknown => {
  let value: unknown = "core"
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { level: value }
  return value
}

const documents: Record<string, unknown> = {
  "an empty list": [],
  "an empty object": {},
  null: null,
  "false and zero": [false, 0, -0.5, ""],
  "empty things inside": { list: [], object: {}, nothing: null, inner: [[], [{}], [null]] },
  numbers: [9007199254740991, -9007199254740991, 1e308, 5e-324, 0.1, 1795300728729, 12345678901234567000],
  text: ["\u0000", "a\u0000b", "\r\n", "\\", '"', "ü", "日本語", "🦆", "\u2028", "\ud800 alone", "{}", "[]", "null"],
  "awkward keys": { "": 1, "10": 1, "9": 2, "__proto__ ": 3, constructor: 4, "a b": 5, "\u0000": 6 },
  "256 levels": nested(256),
  "900 kB": { image: "x".repeat(900_000) }
}

export const submitSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "a submitted job waits, with all it was submitted with",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const asked = request({
        service_required: "simulation",
        payload: { steps: 3 },
        priority: 7,
        workflow_id: "flow",
        workflow_priority: 0,
        workflow_datetime: yield* inSeconds(-60),
        customer_id: "customer",
        max_retries: 2,
        timeout_ms: 5_000,
        run_at: yield* inSeconds(-10),
        expires_at: yield* inSeconds(3_600),
        metadata: { from: "a test" }
      })
      const { created, job } = yield* queue.submit(jobId("j"), asked)
      assert.isTrue(created)
      assert.deepInclude(job, {
        ...asked,
        id: jobId("j"),
        status: "pending",
        attempt: 0,
        retry_count: 0,
        worker_id: null,
        progress: null,
        result: null,
        error: null,
        assigned_at: null,
        started_at: null,
        finished_at: null
      })
      assert.deepStrictEqual(yield* jobNow("j"), job)
    })
  )

  test(
    "an unknown job is none",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      assert.isTrue(Option.isNone(yield* queue.get(jobId("nobody"))))
    })
  )

  test(
    "an equal submit finds the job as it is now",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const said = { service_required: "simulation", payload: { a: [1, { b: 2, c: 3 }], d: 4 } }
      const reordered = { payload: { d: 4, a: [1, { c: 3, b: 2 }] }, service_required: "simulation" }
      yield* queue.submit(jobId("j"), request(said))
      const { fence } = yield* claimOne()
      const held = yield* queue.submit(jobId("j"), request(reordered))
      assert.isFalse(held.created)
      assert.strictEqual(held.job.status, "assigned")
      assert.deepStrictEqual(held.job, yield* jobNow("j"))
      yield* queue.complete(fence, { done: true })
      const finished = yield* queue.submit(jobId("j"), request(said))
      assert.isFalse(finished.created)
      assert.deepStrictEqual(finished.job, yield* jobNow("j"))
      assert.deepStrictEqual(finished.job.result, { done: true })
      assert.deepStrictEqual(yield* claimedIds(), [])
    })
  )

  test(
    "a different submit under a known id is refused and changes nothing",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const before = yield* submit("j", { payload: [1, 2] })
      for (const other of [
        { payload: [2, 1] },
        { payload: [1, 2], priority: 51 },
        { payload: [1, 2], max_retries: 4 }
      ]) {
        const error = yield* Effect.flip(
          queue.submit(jobId("j"), request({ service_required: "simulation", ...other }))
        )
        assert.strictEqual(error._tag, "JobAlreadyExists")
      }
      assert.deepStrictEqual(yield* jobNow("j"), before)
      assert.deepStrictEqual(yield* claimedIds(), ["j"])
    })
  )

  test(
    "of equal submits at once exactly one creates the job",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const all = yield* Effect.replicateEffect(
        queue.submit(jobId("j"), request({ service_required: "simulation" })),
        16,
        { concurrency: "unbounded" }
      )
      assert.strictEqual(all.filter(({ created }) => created).length, 1)
      assert.deepStrictEqual(yield* claimedIds(), ["j"])
    })
  )

  test(
    "of different submits at once exactly one is stored",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const all = yield* Effect.forEach(
        Array.from({ length: 16 }, (_, payload) => payload),
        (payload) => Effect.result(queue.submit(jobId("j"), request({ service_required: "simulation", payload }))),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(all.filter(({ _tag }) => _tag === "Success").length, 1)
    })
  )

  test(
    "a job with a run_at to come is scheduled, one with a run_at gone by is not",
    Effect.gen(function* () {
      assert.strictEqual((yield* submit("later", { run_at: yield* inSeconds(60) })).status, "scheduled")
      assert.strictEqual((yield* submit("past", { run_at: yield* inSeconds(-60) })).status, "pending")
      assert.deepStrictEqual(yield* claimedIds(), ["past"])
    })
  )

  for (const [name, document] of Object.entries(documents)) {
    test(
      `a payload and a result come back as they were: ${name}`,
      Effect.gen(function* () {
        const metadata = { list: [], object: {}, nothing: null }
        assert.deepStrictEqual((yield* submit("j", { payload: document, metadata })).payload, document)
        const { fence, job } = yield* claimOne()
        assert.deepStrictEqual(job.payload, document)
        assert.deepStrictEqual(job.metadata, metadata)
        assert.deepStrictEqual((yield* complete(fence, document)).result, document)
        const after = yield* jobNow("j")
        assert.deepStrictEqual(after.payload, document)
        assert.deepStrictEqual(after.result, document)
      })
    )
  }
}
