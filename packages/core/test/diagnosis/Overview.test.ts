import * as Overview from "@muster/core/diagnosis/Overview"
import * as EventFeed from "@muster/core/event/EventFeed"
import * as ArchiverState from "@muster/core/job/ArchiverState"
import { JobId, request } from "@muster/core/job/Job"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import { type ClassDepth, JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { StorageError } from "@muster/core/job/JobErrors"
import * as Readiness from "@muster/core/Readiness"
import * as MemoryWebhookStore from "@muster/core/webhook/internal/MemoryWebhookStore"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"

const depth = (id: number, over: Partial<ClassDepth> = {}): ClassDepth => ({
  id: String(id),
  facts: { service_required: `s-${id}`, requirements: {}, customer_id: null, workflow_id: null },
  pending: 1,
  next_created_at: DateTime.makeUnsafe(1_000 + id),
  has_claimers: true,
  ...over
})

const stores = EventFeed.layer.pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      MemoryJobQueue.layer,
      JobArchive.layerNone,
      MemoryRegistry.layer,
      ArchiverState.layer,
      MemoryWebhookStore.layer
    )
  )
)

/** A queue whose method is replaced, and counted. */
const withQueue = (change: (queue: JobQueue["Service"]) => Partial<JobQueue["Service"]>) =>
  Overview.layer.pipe(
    Layer.provideMerge(
      Layer.effect(
        JobQueue,
        Effect.map(JobQueue, (queue) => ({ ...queue, ...change(queue) }))
      )
    ),
    Layer.provideMerge(stores)
  )

describe("Overview", () => {
  it("shows a bounded number of classes: unserved ones first, then by age, and the deepest", () => {
    const many = Array.from({ length: 500 }, (_, id) => depth(id))
    const deep = depth(1_000, { pending: 9_999 })
    const unserved = depth(2_000, { pending: 7, has_claimers: false })
    const {
      classes,
      complete,
      oldest_at,
      shown,
      unserved: left
    } = Overview.waitingClasses([...many, deep, unserved], false)
    assert.strictEqual(classes, 502)
    assert.isFalse(complete)
    assert.isAtMost(shown.length, 60)
    assert.strictEqual(shown[0], unserved)
    assert.strictEqual(shown[1]?.id, "0")
    assert.include(shown, deep)
    assert.deepStrictEqual(left, { jobs: 7, classes: 1 })
    assert.deepStrictEqual(oldest_at, DateTime.makeUnsafe(1_000))
    assert.deepStrictEqual(Overview.waitingClasses([], true), {
      shown: [],
      classes: 0,
      unserved: { jobs: 0, classes: 0 },
      oldest_at: null,
      complete: true
    })
  })

  it.effect("asks the stores once in a few seconds, however many ask", () => {
    let asked = 0
    const overview = withQueue((queue) => ({
      counts: Effect.tap(queue.counts, () => Effect.sync(() => asked++))
    }))
    return Effect.gen(function* () {
      const { counts } = yield* Overview.Overview
      yield* Effect.replicateEffect(counts, 100, { concurrency: "unbounded" })
      assert.strictEqual(asked, 1)
      yield* TestClock.adjust("3 seconds")
      yield* counts
      assert.strictEqual(asked, 2)
    }).pipe(Effect.provide(overview))
  })

  it.effect("gives up on a store that does not answer, and lets readiness say the rest", () => {
    const overview = withQueue(() => ({ counts: Effect.never, classes: () => Effect.never }))
    return Effect.gen(function* () {
      const asking = yield* Effect.forkChild(Effect.exit(Effect.flatMap(Overview.Overview, ({ counts }) => counts)))
      const checking = yield* Effect.forkChild(Readiness.check)
      yield* TestClock.adjust("2 seconds")
      const exit = yield* Fiber.join(asking)
      assert.isTrue(Exit.isFailure(exit))
      const { figures, ready } = yield* Fiber.join(checking)
      assert.isTrue(ready)
      assert.isNull(figures.jobs)
      assert.isNull(figures.waiting)
      assert.deepInclude(figures.log, { entries: 0 })
    }).pipe(Effect.provide(overview))
  })

  it.effect("says that it is degraded, and stays ready", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.submit(JobId.make("j-1"), request({ service_required: "nobody-does-this" }))
      const { degraded, figures, ready } = yield* Readiness.check
      assert.isTrue(ready)
      assert.deepStrictEqual(degraded, ["jobs wait that no claiming worker matches: 1"])
      assert.deepInclude(figures.jobs, { pending: 1, held: 0 })
    }).pipe(Effect.provide(Overview.layer.pipe(Layer.provideMerge(stores))))
  )

  it.effect("is not ready when the queue is away, and answers all the same", () => {
    const away = new StorageError({ operation: "x", detail: "Redis is away", unavailable: true, cause: new Error("x") })
    const overview = withQueue(() => ({
      ping: Effect.fail(away),
      counts: Effect.fail(away),
      classes: () => Effect.fail(away)
    }))
    return Effect.gen(function* () {
      const { figures, queue, ready } = yield* Readiness.check
      assert.isFalse(ready)
      assert.deepStrictEqual(queue, { ok: false, detail: "Redis is away" })
      assert.isNull(figures.jobs)
    }).pipe(Effect.provide(overview))
  })
})
