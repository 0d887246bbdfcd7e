/** The events of a queue: each transition tells itself, in the order in which it happened, and nothing else does. */
import { assert } from "@effect/vitest"
import type { Event } from "@muster/core/event/Event"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { JobQueue, type Retry } from "@muster/core/job/internal/JobQueue"
import type { JobError } from "@muster/core/job/Job"
import { DateTime, Duration, Effect, Fiber, Option } from "effect"
import { listening, said } from "../event/EventTest.ts"
import { claim, claimOne, inSeconds, jobId, nonce, on, passTicking, type QueueLayer } from "./QueueTest.ts"
import { StoreTime, submit, worker } from "./QueueTest.ts"

const error: JobError = { kind: "ServiceUnavailable", message: "away" }
const now: Retry = { delay: Duration.zero, usesRetry: true }

/** What all events of the job with this id say. */
const of = (id: string) => ({ job_id: jobId(id), service_required: "simulation" })
const w1 = { worker_id: worker("w1") }

/** What was told, without what is not compared. */
const tellings = Effect.map(
  listening,
  Effect.map((events: ReadonlyArray<Event>) => events.map(said))
)

export const eventsSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "a job that runs tells each step, with what it is for and who did it",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      const heard = yield* listening
      const before = yield* time.now
      yield* submit("j", { customer_id: "acme", workflow_id: "film" })
      const { fence } = yield* claimOne()
      yield* queue.start(fence)
      yield* queue.progress(fence, {
        percent: 40,
        message: "half way",
        step: 2,
        total_steps: 5,
        preview: "j-1-preview.jpg"
      })
      yield* queue.complete(fence, { pixels: 42 })
      const after = yield* time.now
      const events = yield* heard
      const all = { ...of("j"), customer_id: "acme", workflow_id: "film" }
      assert.deepStrictEqual(events.map(said), [
        { ...all, type: "job.submitted", status: "pending", attempt: 0 },
        { ...all, ...w1, type: "job.assigned", status: "assigned", attempt: 1 },
        { ...all, ...w1, type: "job.started", status: "processing", attempt: 1 },
        {
          ...all,
          ...w1,
          type: "job.progress",
          status: "processing",
          attempt: 1,
          progress: { percent: 40, message: "half way", step: 2, total_steps: 5, preview: "j-1-preview.jpg" }
        },
        { ...all, ...w1, type: "job.completed", status: "completed", attempt: 1, outcome: "completed" }
      ])
      for (const { at } of events) {
        assert.isAtLeast(DateTime.toEpochMillis(at), before)
        assert.isAtMost(DateTime.toEpochMillis(at), after)
      }
      assert.strictEqual(new Set(events.map((event) => event.requirement_class)).size, 1)
      assert.isDefined(events[0]!.requirement_class)
    })
  )

  test(
    "an attempt that fails tells how, and whether the job waits again",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j", { max_retries: 3 })
      const heard = yield* tellings
      const first = yield* claimOne()
      yield* queue.fail(first.fence, error, now)
      const second = yield* claimOne()
      yield* queue.fail(second.fence, { kind: "Timeout", message: "late" }, { ...now, delay: Duration.seconds(10) })
      yield* passTicking("11 seconds")
      const third = yield* claimOne()
      yield* queue.fail(third.fence, error, null)
      assert.deepStrictEqual(
        (yield* heard).filter(({ type }) => type !== "job.assigned"),
        [
          { ...of("j"), ...w1, type: "job.requeued", status: "pending", attempt: 1, outcome: "failed", error },
          {
            ...of("j"),
            ...w1,
            type: "job.requeued",
            status: "scheduled",
            attempt: 2,
            outcome: "timed_out",
            error: { kind: "Timeout", message: "late" }
          },
          { ...of("j"), type: "job.promoted", status: "pending", attempt: 2 },
          { ...of("j"), ...w1, type: "job.failed", status: "failed", attempt: 3, outcome: "failed", error }
        ]
      )
    })
  )

  test(
    "jobs that are handed back tell so",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      for (const id of ["a", "b", "c"]) yield* submit(id)
      const held = yield* claim({ limit: 3 })
      const heard = yield* tellings
      yield* queue.giveBack(held[0]!.fence)
      yield* time.pass("6 seconds")
      yield* queue.renew({ worker_id: worker(), fences: [held[2]!.fence] })
      yield* queue.giveBackAll(worker())
      const returned = { ...w1, type: "job.requeued", status: "pending", attempt: 1, outcome: "returned" } as const
      assert.deepStrictEqual(
        yield* heard,
        ["a", "b", "c"].map((id) => ({ ...of(id), ...returned }))
      )
    })
  )

  test(
    "leases that end are told as lost or timed out, with a retry or without",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("lost", { max_retries: 1 })
      yield* submit("spent", { max_retries: 0 })
      yield* submit("slow", { max_retries: 0, timeout_ms: 1_000 })
      yield* claim({ limit: 3 })
      const heard = yield* tellings
      yield* passTicking("31 seconds")
      const late: JobError = { kind: "Timeout", message: "ran longer than 1000 ms" }
      const gone: JobError = { kind: "Lost", message: "worker w1 stopped renewing its lease" }
      const byId = new Map((yield* heard).map((event) => [event.job_id!, event]))
      assert.deepStrictEqual(byId.get(jobId("lost")), {
        ...of("lost"),
        ...w1,
        type: "job.requeued",
        status: "pending",
        attempt: 1,
        outcome: "lost",
        error: gone
      })
      assert.deepStrictEqual(byId.get(jobId("spent")), {
        ...of("spent"),
        ...w1,
        type: "job.failed",
        status: "failed",
        attempt: 1,
        outcome: "lost",
        error: gone
      })
      assert.deepStrictEqual(byId.get(jobId("slow")), {
        ...of("slow"),
        ...w1,
        type: "job.failed",
        status: "failed",
        attempt: 1,
        outcome: "timed_out",
        error: late
      })
      assert.strictEqual(byId.size, 3)
      yield* queue.tick
      assert.deepStrictEqual(yield* heard, [])
    })
  )

  test(
    "a cancelled job tells which attempt that ended, if any",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("held")
      yield* claimOne()
      yield* submit("waits")
      const heard = yield* tellings
      for (const id of ["held", "waits", "held"]) yield* queue.cancel(jobId(id))
      assert.deepStrictEqual(yield* heard, [
        { ...of("held"), ...w1, type: "job.cancelled", status: "cancelled", attempt: 1, outcome: "cancelled" },
        { ...of("waits"), type: "job.cancelled", status: "cancelled", attempt: 0 }
      ])
    })
  )

  test(
    "scheduled jobs tell when they come due; expired ones that they have, before what is claimed instead",
    Effect.gen(function* () {
      const { pass } = yield* StoreTime
      const expired: JobError = { kind: "Expired", message: "waited past expires_at" }
      const heard = yield* tellings
      yield* submit("later", { run_at: yield* inSeconds(20) })
      yield* submit("hasty", { expires_at: yield* inSeconds(5) })
      yield* submit("old", { expires_at: yield* inSeconds(30) })
      yield* passTicking("21 seconds")
      yield* pass("10 seconds")
      yield* claimOne()
      assert.deepStrictEqual(yield* heard, [
        { ...of("later"), type: "job.submitted", status: "scheduled", attempt: 0 },
        { ...of("hasty"), type: "job.submitted", status: "pending", attempt: 0 },
        { ...of("old"), type: "job.submitted", status: "pending", attempt: 0 },
        { ...of("hasty"), type: "job.expired", status: "expired", attempt: 0, error: expired },
        { ...of("later"), type: "job.promoted", status: "pending", attempt: 0 },
        { ...of("old"), type: "job.expired", status: "expired", attempt: 0, error: expired },
        { ...of("later"), ...w1, type: "job.assigned", status: "assigned", attempt: 1 }
      ])
    })
  )

  test(
    "a job that steps aside names the worker it does that for",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const { fence } = yield* claimOne()
      yield* queue.fail(fence, error, { ...now, elsewhere: true })
      const heard = yield* tellings
      assert.deepStrictEqual(yield* claim(), [])
      assert.deepStrictEqual(yield* heard, [
        { ...of("j"), ...w1, type: "job.deferred", status: "scheduled", attempt: 1 }
      ])
      yield* passTicking("2 seconds")
      assert.deepStrictEqual(yield* heard, [{ ...of("j"), type: "job.promoted", status: "pending", attempt: 1 }])
    })
  )

  test(
    "failed jobs that start over tell so, one by one, in bulk, and out of the archive",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["a", "b", "c"]) {
        yield* submit(id)
        yield* queue.fail((yield* claimOne()).fence, error, null)
      }
      const heard = yield* tellings
      const retried = { type: "job.retried", status: "pending", attempt: 1 } as const
      yield* queue.retry(jobId("b"))
      yield* queue.retryFailed({})
      assert.deepStrictEqual(
        yield* heard,
        ["b", "a", "c"].map((id) => ({ ...of(id), ...retried }))
      )
    })
  )

  test(
    "what changes nothing is not told",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const mine = nonce()
      const request = { worker_id: worker(), capabilities: { job_types: ["simulation"] }, capacity: 1, limit: 1 }
      const [job] = yield* queue.claim({ ...request, nonce: mine })
      const fence = { job_id: job!.id, attempt: 1, nonce: mine }
      yield* queue.start(fence)
      const heard = yield* tellings
      yield* submit("j")
      yield* queue.claim({ ...request, nonce: mine, again: true })
      yield* queue.start(fence)
      yield* queue.renew({ worker_id: worker(), fences: [fence] })
      for (const stale of [
        { ...fence, nonce: "other" },
        { ...fence, attempt: 2 }
      ]) {
        yield* Effect.flip(queue.complete(stale, 1))
        yield* Effect.flip(queue.progress(stale, { percent: 1 }))
        yield* Effect.flip(queue.fail(stale, error, null))
        yield* Effect.flip(queue.giveBack(stale))
      }
      yield* Effect.flip(queue.retry(jobId("j")))
      yield* Effect.flip(queue.cancel(jobId("unknown")))
      yield* queue.tick
      assert.deepStrictEqual(yield* heard, [])
      yield* queue.complete(fence, 1)
      yield* queue.complete(fence, 1)
      assert.strictEqual((yield* heard).length, 1)
      yield* Effect.flip(queue.cancel(jobId("j")))
      assert.deepStrictEqual(yield* heard, [])
    })
  )

  test(
    "batches and claims of many tell each job, in order",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const heard = yield* tellings
      const ids = Array.from({ length: 130 }, (_, n) => `j${n}`)
      for (const id of ids) yield* submit(id)
      yield* claim({ limit: 130 })
      yield* queue.giveBackAll(worker())
      const events = yield* heard
      assert.deepStrictEqual(
        events.filter(({ type }) => type === "job.submitted").map(({ job_id }) => String(job_id)),
        ids
      )
      assert.deepStrictEqual(
        events.filter(({ type }) => type === "job.assigned").map(({ job_id }) => String(job_id)),
        events.filter(({ type }) => type === "job.assigned").map((_, n) => `j${n}`)
      )
      assert.strictEqual(
        events.filter(({ type }) => type === "job.requeued").length,
        events.filter(({ type }) => type === "job.assigned").length
      )
    })
  )

  test(
    "a job is observed together with the end of the log",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const log = yield* EventLog
      assert.isTrue(Option.isNone(yield* queue.observe(jobId("j"))))
      yield* submit("j")
      const first = Option.getOrThrow(yield* queue.observe(jobId("j")))
      assert.strictEqual(first.job.status, "pending")
      assert.strictEqual(first.position, yield* log.end)
      assert.deepStrictEqual((yield* log.read({ after: first.position, limit: 10 })).events, [])
      const { fence } = yield* claimOne()
      const [assigned] = (yield* log.read({ after: first.position, limit: 10 })).events
      assert.strictEqual(assigned!.type, "job.assigned")
      yield* queue.complete(fence, 1)
      const last = Option.getOrThrow(yield* queue.observe(jobId("j")))
      assert.strictEqual(last.job.status, "completed")
      assert.deepStrictEqual((yield* log.read({ after: last.position, limit: 10 })).events, [])
    })
  )

  test(
    "observing while much happens never misses a transition and never tells one twice",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const log = yield* EventLog
      yield* submit("j", { max_retries: 100 })
      const seen = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 50 }), () =>
          Effect.tap(Effect.map(queue.observe(jobId("j")), Option.getOrThrow), () => Effect.yieldNow)
        ),
        { startImmediately: true }
      )
      for (let n = 0; n < 20; n++) yield* queue.giveBack((yield* claimOne()).fence)
      const observed = yield* Fiber.join(seen)
      const events = (yield* log.read({ after: yield* log.start, limit: 1_000 })).events
      for (const { job, position } of observed) {
        const { events: later } = yield* log.read({ after: position, limit: 1_000 })
        const earlier = events.slice(0, events.length - later.length)
        assert.strictEqual(earlier.at(-1)!.status, job.status)
        assert.strictEqual(earlier.at(-1)!.attempt, job.attempt)
      }
    })
  )
}
