/** What is kept of the attempts of a job, and of reports that came too late. */
import { assert } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import {
  claim,
  claimOne,
  inSeconds,
  jobId,
  jobNow,
  on,
  passTicking,
  type QueueLayer,
  StoreTime,
  submit,
  worker
} from "./QueueTest.ts"

const away = { kind: "ServiceUnavailable", message: "away" } as const
const late = { kind: "Timeout", message: "took too long" } as const
const atOnce = { delay: Duration.zero, usesRetry: true }

const attemptsOf = (id: string) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    return Option.getOrThrow(yield* queue.attempts(jobId(id)))
  })

/** The attempts of a job as number, outcome, and kind of error. */
const outcomesOf = (id: string) =>
  Effect.map(attemptsOf(id), (attempts) =>
    attempts.map(({ attempt, error, outcome }) => [attempt, outcome, error?.kind ?? null])
  )

export const attemptsSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "an unknown job has no attempts to tell of, a waiting one has none yet",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      assert.isTrue(Option.isNone(yield* queue.attempts(jobId("nobody"))))
      yield* submit("j")
      assert.deepStrictEqual(yield* attemptsOf("j"), [])
    })
  )

  test(
    "an attempt is told from its claim to its end",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence, job } = yield* claimOne("w1")
      const claimed = {
        attempt: 1,
        worker_id: worker("w1"),
        outcome: null,
        assigned_at: job.assigned_at!,
        started_at: null,
        ended_at: null,
        error: null,
        late_reports: []
      }
      assert.deepStrictEqual(yield* attemptsOf("j"), [claimed])
      yield* queue.start(fence)
      const { started_at } = yield* jobNow("j")
      assert.isNotNull(started_at)
      assert.deepStrictEqual(yield* attemptsOf("j"), [{ ...claimed, started_at }])
      yield* queue.complete(fence, 1)
      const { finished_at } = yield* jobNow("j")
      assert.deepStrictEqual(yield* attemptsOf("j"), [
        { ...claimed, started_at, outcome: "completed", ended_at: finished_at }
      ])
    })
  )

  test(
    "each end has its outcome, and an error only where something went wrong",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j", { max_retries: 9 })
      yield* queue.giveBack((yield* claimOne("w1")).fence)
      yield* queue.fail((yield* claimOne("w2")).fence, away, atOnce)
      yield* queue.fail((yield* claimOne("w3")).fence, late, atOnce)
      const lost = yield* claimOne("w4")
      yield* queue.start(lost.fence)
      yield* passTicking("31 seconds")
      yield* claimOne("w5")
      yield* queue.giveBackAll(worker("w5"))
      const last = yield* claimOne("w6")
      const before = [
        [1, "returned", null],
        [2, "failed", "ServiceUnavailable"],
        [3, "timed_out", "Timeout"],
        [4, "lost", "Lost"],
        [5, "returned", null]
      ]
      assert.deepStrictEqual(yield* outcomesOf("j"), [...before, [6, null, null]])
      yield* queue.complete(last.fence, 1)
      assert.deepStrictEqual(yield* outcomesOf("j"), [...before, [6, "completed", null]])
      const attempts = yield* attemptsOf("j")
      assert.deepStrictEqual(
        attempts.map(({ worker_id }) => String(worker_id)),
        ["w1", "w2", "w3", "w4", "w5", "w6"]
      )
      assert.isTrue(attempts.every(({ ended_at }) => ended_at !== null))
      assert.deepStrictEqual(
        attempts.map(({ started_at }) => started_at !== null),
        [false, false, false, true, false, false]
      )
      assert.strictEqual(attempts[1]!.error?.message, "away")
    })
  )

  for (const [outcome, error] of [
    ["failed", away],
    ["timed_out", late]
  ] as const) {
    test(
      `the last attempt of a job that failed for good has ${outcome}`,
      Effect.gen(function* () {
        const queue = yield* JobQueue
        yield* submit("j")
        yield* queue.fail((yield* claimOne("w1")).fence, error, null)
        assert.deepStrictEqual(yield* outcomesOf("j"), [[1, outcome, error.kind]])
      })
    )
  }

  test(
    "a lost lease is the last attempt of a job without retries",
    Effect.gen(function* () {
      yield* submit("j", { max_retries: 0 })
      yield* claimOne("w1")
      yield* passTicking("31 seconds")
      assert.deepStrictEqual(yield* outcomesOf("j"), [[1, "lost", "Lost"]])
    })
  )

  test(
    "a cancel ends the attempt that holds the job, and none when the job waits",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["held", "waiting", "expired"]) {
        yield* submit(id, id === "expired" ? { expires_at: yield* inSeconds(20) } : {})
      }
      for (const { fence } of yield* claim({ limit: 3 })) yield* queue.fail(fence, away, atOnce)
      const [held] = yield* claim({ worker: "w2" })
      assert.strictEqual(held!.job.id, jobId("held"))
      for (const id of ["held", "waiting"]) yield* queue.cancel(jobId(id))
      yield* passTicking("25 seconds")
      assert.deepStrictEqual(yield* outcomesOf("held"), [
        [1, "failed", "ServiceUnavailable"],
        [2, "cancelled", null]
      ])
      assert.isNotNull((yield* attemptsOf("held"))[1]!.ended_at)
      assert.deepStrictEqual(yield* outcomesOf("waiting"), [[1, "failed", "ServiceUnavailable"]])
      assert.deepStrictEqual(yield* outcomesOf("expired"), [[1, "failed", "ServiceUnavailable"]])
    })
  )

  test(
    "a retry by hand keeps the attempts so far",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j", { max_retries: 0 })
      yield* queue.fail((yield* claimOne("w1")).fence, away, null)
      const before = yield* attemptsOf("j")
      yield* queue.retry(jobId("j"))
      assert.deepStrictEqual(yield* attemptsOf("j"), before)
      yield* queue.fail((yield* claimOne("w2")).fence, late, null)
      assert.strictEqual(yield* queue.retryFailed({}), 1)
      yield* claimOne("w3")
      assert.deepStrictEqual(yield* outcomesOf("j"), [
        [1, "failed", "ServiceUnavailable"],
        [2, "timed_out", "Timeout"],
        [3, null, null]
      ])
    })
  )

  test(
    "a report that came too late is kept beside its attempt, and changes nothing",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const first = yield* claimOne("w1")
      yield* passTicking("31 seconds")
      const second = yield* claimOne("w2")
      const before = yield* jobNow("j")
      for (const report of [
        queue.complete(first.fence, "stale"),
        queue.fail(first.fence, away, atOnce),
        queue.giveBack(first.fence),
        queue.complete({ ...second.fence, nonce: "made up" }, "stale")
      ]) {
        assert.strictEqual((yield* Effect.flip(report))._tag, "LeaseLost")
      }
      assert.deepStrictEqual(yield* jobNow("j"), before)
      const [lost, running] = yield* attemptsOf("j")
      assert.deepStrictEqual(
        lost!.late_reports.map(({ error, report }) => [report, error]),
        [
          ["completed", null],
          ["failed", away],
          ["returned", null]
        ]
      )
      assert.isTrue(lost!.late_reports.every(({ at }) => at.epochMilliseconds >= lost!.ended_at!.epochMilliseconds))
      assert.deepStrictEqual(
        running!.late_reports.map(({ report }) => report),
        ["completed"]
      )
    })
  )

  test(
    "a report is late after every end but its own",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["cancelled", "completed", "returned", "lost"]) yield* submit(id)
      const [cancelled, completed, returned] = yield* claim({ limit: 3 })
      yield* queue.cancel(jobId("cancelled"))
      yield* queue.complete(completed!.fence, 1)
      yield* queue.giveBackAll(worker("w1"))
      for (const { fence } of [cancelled!, completed!, returned!]) {
        yield* Effect.flip(queue.fail(fence, late, null))
        yield* queue.start(fence).pipe(Effect.flip)
        yield* queue.progress(fence, { percent: 1 }).pipe(Effect.flip)
      }
      yield* Effect.flip(queue.giveBack(returned!.fence))
      yield* queue.complete(completed!.fence, 1)
      for (const [id, reports] of Object.entries({
        cancelled: ["failed"],
        completed: ["failed"],
        returned: ["failed", "returned"]
      })) {
        const [attempt] = yield* attemptsOf(id)
        assert.deepStrictEqual(
          attempt!.late_reports.map(({ report }) => report),
          reports,
          id
        )
      }
    })
  )

  test(
    "a report of an attempt that never was is not shown",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne("w1")
      for (const attempt of [0, 2, 7]) yield* Effect.flip(queue.complete({ ...fence, attempt }, 1))
      yield* Effect.flip(queue.complete({ ...fence, job_id: jobId("nobody") }, 1))
      assert.deepStrictEqual((yield* attemptsOf("j"))[0]!.late_reports, [])
    })
  )

  test(
    "the last 20 late reports are kept",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne("w1")
      yield* queue.cancel(jobId("j"))
      for (let n = 0; n < 25; n++) yield* Effect.flip(queue.fail(fence, { ...late, message: `${n}` }, null))
      const [attempt] = yield* attemptsOf("j")
      assert.deepStrictEqual(
        attempt!.late_reports.map(({ error }) => error?.message),
        Array.from({ length: 20 }, (_, n) => `${n + 5}`)
      )
    })
  )

  test(
    "the last 100 attempts are told, oldest first",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      for (let n = 0; n < 120; n++) yield* queue.giveBack((yield* claimOne("w1")).fence)
      yield* claimOne("w1")
      const numbers = (yield* attemptsOf("j")).map(({ attempt }) => attempt)
      assert.deepStrictEqual(
        numbers,
        Array.from({ length: 100 }, (_, n) => n + 22)
      )
    })
  )

  test(
    "what is known of the attempts is forgotten with the job",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* submit("j")
      yield* queue.giveBack((yield* claimOne("w1")).fence)
      const { fence } = yield* claimOne("w1")
      yield* queue.complete(fence, 1)
      yield* Effect.flip(queue.fail(fence, late, null))
      yield* time.pass("61 minutes")
      assert.strictEqual((yield* queue.tick).forgotten, 1)
      assert.isTrue(Option.isNone(yield* queue.attempts(jobId("j"))))
      yield* queue.submit(jobId("j"), request({ service_required: "simulation" }))
      assert.deepStrictEqual(yield* attemptsOf("j"), [])
      yield* claimOne("w1")
      assert.deepStrictEqual((yield* attemptsOf("j"))[0]!.late_reports, [])
    })
  )
}
