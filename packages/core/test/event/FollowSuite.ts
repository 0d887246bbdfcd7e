/** Following events through the feed. */
import { assert } from "@effect/vitest"
import type { EventFilter } from "@muster/core/event/Event"
import { make } from "@muster/core/event/EventCursor"
import { EventFeed, type FeedItem } from "@muster/core/event/EventFeed"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { claimOne, jobId, type QueueLayer, submit, worker } from "../job/QueueTest.ts"
import { eventsAfter } from "./EventTest.ts"
import { LogSwitch, on, reading, until } from "./FeedTest.ts"

/** An item in a word: the job of an event with what happened to it, or that events were lost. */
const word = (item: FeedItem): string =>
  item._tag === "Reset" ? "reset" : `${item.event.job_id} ${item.event.type.replace("job.", "")}`

const words = (items: ReadonlyArray<FeedItem>) => items.map(word)

const submitMany = (count: number, prefix = "j") =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const jobs = Array.from({ length: count }, (_, n) => ({
      id: jobId(`${prefix}${n}`),
      request: request({ service_required: "simulation" })
    }))
    yield* queue.submitMany(jobs)
  })

const names = (count: number, prefix = "j") => Array.from({ length: count }, (_, n) => `${prefix}${n} submitted`)

export const followSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "each follower gets every event once and in order",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const after = yield* (yield* EventLog).end
      const followers = yield* Effect.forEach(Array.from({ length: 20 }), () =>
        reading(feed.follow({ after, filter: {} }))
      )
      yield* submitMany(100)
      for (const follower of followers) {
        yield* follower.count(100)
        assert.deepStrictEqual(words(follower.items), names(100))
      }
    })
  )

  test(
    "a follower that names no event begins now",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      yield* submit("before")
      const follower = yield* reading(feed.follow({ filter: {} }))
      let marks = 0
      yield* until(
        "a mark is heard",
        Effect.suspend(() => Effect.map(submit(`mark${marks++}`), () => follower.items.length > 0))
      )
      assert.notInclude(words(follower.items), "before submitted")
    })
  )

  test(
    "a follower gets what its filter means",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const log = yield* EventLog
      const after = yield* log.end
      yield* submit("a", { service_required: "x", customer_id: "acme" })
      yield* submit("b", { workflow_id: "film" })
      const { fence } = yield* claimOne("w7")
      const queue = yield* JobQueue
      yield* queue.complete(fence, 1)
      const filters: ReadonlyArray<readonly [EventFilter, ReadonlyArray<string>]> = [
        [{}, ["a submitted", "b submitted", "b assigned", "b completed"]],
        [{ types: ["job.assigned", "job.completed"] }, ["b assigned", "b completed"]],
        [{ job_id: jobId("a") }, ["a submitted"]],
        [{ worker_id: worker("w7") }, ["b assigned", "b completed"]],
        [{ service_required: "x" }, ["a submitted"]],
        [{ customer_id: "acme" }, ["a submitted"]],
        [{ workflow_id: "film", types: ["job.submitted"] }, ["b submitted"]],
        [{ machine_id: "m1" }, []],
        [{ types: [] }, []]
      ]
      for (const [filter, expected] of filters) {
        const follower = yield* reading(feed.follow({ after, filter }))
        yield* follower.count(expected.length)
        assert.deepStrictEqual(words(follower.items), expected, JSON.stringify(filter))
      }
    })
  )

  test(
    "a follower resumes after any event, near or far, as if it had never been away",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const log = yield* EventLog
      const start = yield* log.start
      yield* submitMany(400)
      const all = yield* eventsAfter(start, 1_000)
      for (const at of [0, 10, 250, 349, 398]) {
        const items = yield* feed
          .follow({ after: all[at]!.cursor, filter: {} })
          .pipe(Stream.take(399 - at), Stream.runCollect)
        assert.deepStrictEqual(
          items.map((item) => (item._tag === "Event" ? item.event : item)),
          all.slice(at + 1)
        )
      }
    })
  )

  test(
    "followers that never read hold up nobody, and miss nothing when they read after all",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const log = yield* EventLog
      const after = yield* log.end
      const sleepers = yield* Effect.forEach(Array.from({ length: 1_000 }), () =>
        Stream.toPull(feed.follow({ after, filter: {} }))
      )
      const reader = yield* reading(feed.follow({ after, filter: {} }))
      yield* submitMany(300)
      yield* reader.count(300)
      for (const pull of [sleepers[0]!, sleepers[999]!]) {
        const items: Array<FeedItem> = []
        while (items.length < 300) items.push(...(yield* pull))
        assert.deepStrictEqual(words(items), names(300))
      }
    })
  )

  test(
    "a slow reader gets everything in its order, however far behind it is",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const log = yield* EventLog
      const after = yield* log.end
      const pull = yield* Stream.toPull(feed.follow({ after, filter: {} }))
      const items: Array<FeedItem> = []
      for (let round = 0; round < 8; round++) {
        yield* submitMany(round % 2 === 0 ? 120 : 3, `r${round}-`)
        if (round % 3 === 0) items.push(...(yield* pull))
      }
      const total = 4 * 120 + 4 * 3
      while (items.length < total) items.push(...(yield* pull))
      assert.deepStrictEqual(
        items.map((item) => (item._tag === "Event" ? item.event : item)),
        yield* eventsAfter(after, 1_000)
      )
    })
  )

  test(
    "a cursor that the log does not know begins with a reset, and goes on from what is kept",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const log = yield* EventLog
      yield* submit("a")
      const start = yield* log.start
      const foreign = make({ log: "another", ms: 1, seq: 0, index: 0 })
      const follower = yield* reading(feed.follow({ after: foreign, filter: { job_id: jobId("a") } }))
      yield* follower.count(2)
      assert.deepStrictEqual(words(follower.items), ["reset", "a submitted"])
      assert.deepStrictEqual(follower.items[0], { _tag: "Reset", position: start })
      yield* (yield* JobQueue).cancel(jobId("a"))
      yield* follower.count(3)
      assert.deepStrictEqual(words(follower.items), ["reset", "a submitted", "a cancelled"])
    })
  )

  test(
    "when events are lost, followers are told once and go on",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const log = yield* EventLog
      const broken = yield* LogSwitch
      const after = yield* log.end
      const followers = yield* Effect.forEach(Array.from({ length: 5 }), () =>
        reading(feed.follow({ after, filter: {} }))
      )
      const late = yield* Stream.toPull(feed.follow({ after, filter: { types: ["job.cancelled"] } }))
      yield* submit("a")
      for (const follower of followers) yield* follower.count(1)
      yield* broken.cut
      yield* submit("b")
      yield* broken.lose
      yield* submit("c")
      yield* broken.mend
      yield* TestClock.adjust("10 seconds")
      for (const follower of followers) {
        yield* follower.count(3)
        assert.deepStrictEqual(words(follower.items), ["a submitted", "reset", "c submitted"])
      }
      assert.deepStrictEqual(words(yield* late), ["reset"])
      yield* (yield* JobQueue).cancel(jobId("c"))
      assert.deepStrictEqual(words(yield* late), ["c cancelled"])
    })
  )

  test(
    "an outage of the log is waited out, and nothing of it missed",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const broken = yield* LogSwitch
      const follower = yield* reading(feed.follow({ after: yield* (yield* EventLog).end, filter: {} }))
      yield* submit("a")
      yield* follower.count(1)
      yield* broken.cut
      yield* until(
        "the feed knows of the outage",
        Effect.map(feed.lag, ({ connected }) => !connected)
      )
      yield* submitMany(70)
      yield* TestClock.adjust("1 minute")
      assert.isFalse((yield* feed.lag).connected)
      yield* broken.mend
      yield* TestClock.adjust("10 seconds")
      yield* follower.count(71)
      assert.deepStrictEqual(words(follower.items), ["a submitted", ...names(70)])
      assert.isTrue((yield* feed.lag).connected)
    })
  )

  test(
    "a follower that is behind waits for the log, too",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const log = yield* EventLog
      const broken = yield* LogSwitch
      const after = yield* log.end
      yield* submitMany(300)
      yield* broken.cut
      const follower = yield* reading(feed.follow({ after, filter: {} }))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(follower.items, [])
      yield* broken.mend
      yield* TestClock.adjust("10 seconds")
      yield* follower.count(300)
      assert.deepStrictEqual(words(follower.items), names(300))
    })
  )

  test(
    "what happened is counted by type, and by class for a minute",
    Effect.gen(function* () {
      const feed = yield* EventFeed
      const queue = yield* JobQueue
      yield* submit("a", { service_required: "other" })
      yield* submit("b")
      yield* submit("c")
      const { fence } = yield* claimOne()
      yield* queue.start(fence)
      yield* queue.complete(fence, 1)
      yield* until(
        "all is read",
        Effect.map(feed.totals, (totals) => totals.get("job.completed") === 1)
      )
      assert.strictEqual((yield* feed.totals).get("job.submitted"), 3)
      const { classes } = yield* queue.classes(null)
      const rates = yield* feed.rates
      const rateOf = (type: string) => rates.get(classes.find(({ facts }) => facts.service_required === type)!.id)
      assert.deepStrictEqual(rateOf("other"), { submitted: 1, started: 0, ended: 0 })
      assert.deepStrictEqual(rateOf("simulation"), { submitted: 2, started: 1, ended: 1 })
      assert.isAtLeast((yield* feed.lag).ms!, 0)
      yield* TestClock.adjust("66 seconds")
      assert.strictEqual((yield* feed.rates).size, 0)
      assert.strictEqual((yield* feed.totals).get("job.submitted"), 3)
    })
  )
}
