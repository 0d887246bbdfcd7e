/** What a queue says of itself: counts, classes, and where a job stands. */
import { assert } from "@effect/vitest"
import { type ClassDepth, JobQueue, type Place } from "@muster/core/job/internal/JobQueue"
import type { JobError } from "@muster/core/job/Job"
import { DateTime, Duration, Effect, Option } from "effect"
import { claim, claimedBy, claimOne, inSeconds, jobId, jobNow, on, passTicking, type QueueLayer } from "./QueueTest.ts"
import { submit, worker } from "./QueueTest.ts"

const error: JobError = { kind: "Rejected", message: "no" }

const placeOf = (id: string) => Effect.flatMap(JobQueue, (queue) => queue.place(jobId(id)))
const there = (id: string): Effect.Effect<Place, unknown, JobQueue> => Effect.map(placeOf(id), Option.getOrThrow)
const ahead = (id: string) => Effect.map(there(id), ({ ahead }) => ahead)

/** All classes, page by page. */
const allClasses = Effect.gen(function* () {
  const queue = yield* JobQueue
  const classes: Array<ClassDepth> = []
  let after: string | null = null
  do {
    const page: Effect.Success<ReturnType<typeof queue.classes>> = yield* queue.classes(after)
    classes.push(...page.classes)
    after = page.next
  } while (after !== null)
  return classes
})

/** Classes by job type, and what stands for the rest of their facts. */
const depths = Effect.map(allClasses, (classes) =>
  classes
    .map(({ facts, has_claimers, pending }) => [facts.service_required, facts.customer_id, pending, has_claimers])
    .toSorted((a, b) => (String(a) < String(b) ? -1 : 1))
)

export const depthSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "an empty queue counts nothing",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const nothing = { scheduled: 0, pending: 0, held: 0, finished: 0, unarchived: null }
      assert.deepStrictEqual(yield* queue.counts, nothing)
      assert.deepStrictEqual(yield* allClasses, [])
      assert.isTrue(Option.isNone(yield* placeOf("unknown")))
    })
  )

  test(
    "jobs are counted by what they do, through all that becomes of them",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const counted = Effect.map(queue.counts, ({ finished, held, pending, scheduled }) => [
        scheduled,
        pending,
        held,
        finished
      ])
      yield* submit("later", { run_at: yield* inSeconds(30) })
      for (const id of ["a", "b", "c", "d"]) yield* submit(id)
      yield* submit("a")
      assert.deepStrictEqual(yield* counted, [1, 4, 0, 0])
      const [a, b, c] = yield* claim({ limit: 3 })
      yield* queue.start(b!.fence)
      assert.deepStrictEqual(yield* counted, [1, 1, 3, 0])
      yield* queue.complete(a!.fence, 1)
      yield* queue.complete(a!.fence, 1)
      yield* queue.fail(b!.fence, error, { delay: Duration.seconds(10), usesRetry: true })
      yield* queue.giveBack(c!.fence)
      yield* queue.cancel(jobId("d"))
      assert.deepStrictEqual(yield* counted, [2, 1, 0, 2])
      yield* passTicking("31 seconds")
      assert.deepStrictEqual(yield* counted, [0, 3, 0, 2])
      yield* queue.cancel(jobId("later"))
      const [held] = yield* claim()
      yield* queue.fail(held!.fence, error, null)
      assert.deepStrictEqual(yield* counted, [0, 1, 0, 4])
      yield* queue.retryFailed({})
      assert.deepStrictEqual(yield* counted, [0, 2, 0, 3])
      yield* passTicking("61 minutes")
      assert.deepStrictEqual(yield* counted, [0, 2, 0, 0])
    })
  )

  test(
    "classes say how many wait, since when, and whether anybody comes for them",
    Effect.gen(function* () {
      yield* submit("a", { service_required: "x" })
      yield* submit("b", { service_required: "x", requirements: { models: [] } })
      yield* submit("c", { service_required: "y", requirements: { hardware: { gpu_memory_gb: 24 } } })
      yield* submit("late", { service_required: "z", run_at: yield* inSeconds(60) })
      yield* claimedBy({ job_types: ["y"] })
      assert.deepStrictEqual(yield* depths, [
        ["x", null, 2, false],
        ["y", null, 1, false]
      ])
      const y = (yield* allClasses).find(({ facts }) => facts.service_required === "y")
      assert.deepStrictEqual(y!.facts.requirements, { hardware: { gpu_memory_gb: 24 } })
      yield* claim({ capabilities: { job_types: ["x"] } })
      assert.deepStrictEqual(yield* depths, [
        ["x", null, 1, true],
        ["y", null, 1, false]
      ])
      const x = (yield* allClasses).find(({ facts }) => facts.service_required === "x")
      assert.isTrue(DateTime.Equivalence(x!.next_created_at, (yield* jobNow("b")).created_at))
      yield* claim({ capabilities: { job_types: ["x"] } })
      assert.deepStrictEqual(yield* depths, [["y", null, 1, false]])
    })
  )

  test(
    "a customer is a class of its own only while some kind of worker names it",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["a", "b"]) yield* submit(id, { customer_id: id === "a" ? "acme" : "other" })
      yield* submit("c")
      assert.deepStrictEqual(yield* depths, [["simulation", null, 3, false]])
      yield* claimedBy({ job_types: ["nothing"], customers: { deny: ["acme"] } })
      assert.deepStrictEqual(yield* depths, [
        ["simulation", null, 2, false],
        ["simulation", "acme", 1, false]
      ])
      const [claimed] = yield* claim({ capabilities: { job_types: ["simulation"], customers: { deny: ["acme"] } } })
      assert.strictEqual(claimed!.job.id, jobId("b"))
      yield* queue.giveBack(claimed!.fence)
      assert.deepStrictEqual(yield* depths, [
        ["simulation", null, 2, true],
        ["simulation", "acme", 1, false]
      ])
    })
  )

  test(
    "classes come page by page, each once, however many there are",
    Effect.gen(function* () {
      for (let n = 0; n < 260; n++) yield* submit(`j${n}`, { service_required: `type-${n % 250}` })
      const classes = yield* allClasses
      assert.strictEqual(classes.length, 250)
      assert.strictEqual(new Set(classes.map(({ id }) => id)).size, 250)
      assert.strictEqual(
        classes.reduce((sum, { pending }) => sum + pending, 0),
        260
      )
    })
  )

  test(
    "a waiting job stands behind those that workers which match it are given before it",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("y1", { service_required: "y" })
      for (const id of ["x1", "x2"]) yield* submit(id, { service_required: "x" })
      yield* submit("y2", { service_required: "y" })
      yield* submit("x3", { service_required: "x" })
      yield* submit("urgent", { service_required: "x", priority: 90 })
      assert.strictEqual(yield* ahead("x3"), 3)
      assert.strictEqual(yield* ahead("urgent"), 0)
      assert.strictEqual(yield* ahead("y2"), 1)
      // From now on somebody is known who takes both.
      const [given] = yield* claim({ capabilities: { job_types: ["x", "y"] } })
      assert.strictEqual(given!.job.id, jobId("urgent"))
      yield* queue.giveBack(given!.fence)
      assert.strictEqual(yield* ahead("x3"), 5)
      assert.strictEqual(yield* ahead("y2"), 4)
      assert.strictEqual(yield* ahead("urgent"), 0)
      assert.isFalse((yield* there("x3")).at_least)
      yield* queue.cancel(jobId("x1"))
      assert.strictEqual(yield* ahead("x3"), 4)
    })
  )

  test(
    "only waiting jobs stand anywhere: scheduled ones say when they are due, others nothing",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("held")
      const { fence } = yield* claimOne()
      assert.isTrue(Option.isNone(yield* placeOf("held")))
      const due = yield* inSeconds(60)
      yield* submit("later", { run_at: due })
      const place = yield* there("later")
      assert.isTrue(DateTime.Equivalence(place.due_at!, due))
      assert.strictEqual(place.ahead, 0)
      yield* queue.fail(fence, error, { delay: Duration.zero, usesRetry: true, elsewhere: true })
      assert.deepStrictEqual(yield* there("held"), { ahead: 0, at_least: false, due_at: null, avoids: worker("w1") })
      yield* queue.cancel(jobId("held"))
      assert.isTrue(Option.isNone(yield* placeOf("held")))
    })
  )
}
