/**
 * The contract of the event log port: every promise of its docstrings, run against every layer. What the queue writes
 * into it is part of the queue's contract.
 */
import { assert, describe } from "@effect/vitest"
import type { NewEvent } from "@muster/core/event/Event"
import { compare, EventCursor, make, positionOf } from "@muster/core/event/EventCursor"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import { WorkerId } from "@muster/core/worker/Worker"
import { DateTime, Duration, Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import { claim, claimOne, jobId, on, type QueueLayer, StoreTime, submit } from "../job/QueueTest.ts"
import { eventsAfter, said } from "./EventTest.ts"

/** Events of another store, numbered there from `first`. */
const relayed = (...names: ReadonlyArray<string>): ReadonlyArray<NewEvent> =>
  names.map((name) => ({
    at: DateTime.makeUnsafe("2026-01-01T00:00:00Z"),
    type: "worker.status",
    worker_id: WorkerId.make(name),
    worker_status: "active"
  }))

const waited = Duration.seconds(60)

/** Trims until nothing more is to be forgotten. */
const trimAll = (archived: EventCursor | null) =>
  Effect.gen(function* () {
    const log = yield* EventLog
    while (yield* log.trim(archived));
  })

export const suite = (name: string, layer: QueueLayer): void => {
  const test = on(layer)

  describe(`EventLog (${name})`, () => {
    test(
      "an empty log begins where it ends",
      Effect.gen(function* () {
        const log = yield* EventLog
        const [start, end] = [yield* log.start, yield* log.end]
        for (const cursor of [start, end]) {
          assert.deepStrictEqual(yield* log.read({ after: cursor, limit: 10 }), { events: [], position: cursor })
        }
        assert.strictEqual((yield* log.size).entries, 0)
        assert.isNull((yield* log.size).first)
        assert.isNull((yield* log.size).last)
      })
    )

    test(
      "events are read in order, each once, page by page, from any cursor",
      Effect.gen(function* () {
        const log = yield* EventLog
        const start = yield* log.start
        for (let n = 0; n < 30; n++) yield* submit(`j${n}`)
        yield* claim({ limit: 30 })
        const all = yield* eventsAfter(start, 1_000)
        assert.strictEqual(all.length, 60)
        for (const [index, { cursor }] of all.entries()) {
          if (index > 0) assert.isBelow(compare(all[index - 1]!.cursor, cursor), 0)
          assert.strictEqual(Schema.decodeSync(EventCursor)(cursor), cursor)
        }
        for (const limit of [1, 7]) assert.deepStrictEqual(yield* eventsAfter(start, limit), all)
        for (const at of [0, 1, 29, 30, 45, 59]) {
          assert.deepStrictEqual(yield* eventsAfter(all[at]!.cursor, 1_000), all.slice(at + 1))
        }
        assert.strictEqual(yield* log.end, all.at(-1)!.cursor)
      })
    )

    test(
      "a page holds about as many events as were asked for, and its position goes on",
      Effect.gen(function* () {
        const log = yield* EventLog
        const start = yield* log.start
        for (let n = 0; n < 20; n++) yield* submit(`j${n}`)
        const page = yield* log.read({ after: start, limit: 5 })
        assert.strictEqual(page.events.length, 5)
        assert.strictEqual(page.position, page.events.at(-1)!.cursor)
        const most = yield* log.read({ after: start, limit: 1_000_000 })
        assert.isAtMost(most.events.length, 1_000)
      })
    )

    test(
      "a read that waits is told at once of what happens, and of nothing in the end",
      Effect.gen(function* () {
        const log = yield* EventLog
        const after = yield* log.end
        const reading = yield* Effect.forkChild(log.read({ after, limit: 10, wait: waited }), {
          startImmediately: true
        })
        yield* submit("j")
        const page = yield* TestClock.withLive(Effect.timeout(Fiber.join(reading), "60 seconds"))
        assert.deepStrictEqual(
          page.events.map(({ type }) => type),
          ["job.submitted"]
        )
        const none = yield* Effect.forkChild(
          log.read({ after: page.position, limit: 10, wait: Duration.millis(200) }),
          { startImmediately: true }
        )
        // The wait begins when a store has said that there is nothing yet, and that takes its own time.
        const timePasses = Effect.andThen(TestClock.adjust("200 millis"), TestClock.withLive(Effect.sleep(1)))
        yield* Effect.forkChild(Effect.forever(timePasses))
        const empty = yield* TestClock.withLive(Effect.timeout(Fiber.join(none), "60 seconds"))
        assert.deepStrictEqual(empty, { events: [], position: page.position })
      })
    )

    test(
      "many readers wait, and each is told",
      Effect.gen(function* () {
        const log = yield* EventLog
        const after = yield* log.end
        const readers = yield* Effect.forEach(Array.from({ length: 3 }), () =>
          Effect.forkChild(log.read({ after, limit: 10, wait: waited }), { startImmediately: true })
        )
        yield* submit("j")
        const pages = yield* TestClock.withLive(
          Effect.timeout(
            Effect.forEach(readers, (reader) => Fiber.join(reader)),
            "60 seconds"
          )
        )
        for (const { events } of pages) assert.strictEqual(events.length, 1)
      })
    )

    test(
      "a cursor of another log is foreign, and so is one that is not there yet",
      Effect.gen(function* () {
        const log = yield* EventLog
        yield* submit("j")
        const end = positionOf(yield* log.end)
        const others = [
          make({ ...end, log: "another" }),
          make({ ...end, ms: end.ms + 3_600_000 }),
          make({ log: "another", ms: 0, seq: 0, index: 0 })
        ]
        for (const after of others) {
          const error = yield* Effect.flip(log.read({ after, limit: 10 }))
          assert.deepInclude(error, { _tag: "CursorLost", why: "foreign" })
          const waiting = yield* Effect.flip(log.read({ after, limit: 10, wait: waited }))
          assert.deepInclude(waiting, { _tag: "CursorLost", why: "foreign" })
        }
      })
    )

    test(
      "events of another store come whole, in one step and in order, and only once",
      Effect.gen(function* () {
        const log = yield* EventLog
        const start = yield* log.end
        assert.strictEqual(yield* log.relayed("registry"), 0)
        yield* log.append({ source: "registry", number: 2, events: relayed("w1", "w2") })
        yield* log.append({ source: "registry", number: 2, events: relayed("w1", "w2") })
        yield* log.append({ source: "machines", number: 1, events: relayed("w3") })
        yield* log.append({ source: "registry", number: 1, events: relayed("w1") })
        yield* log.append({ source: "registry", number: 3, events: relayed("w4") })
        assert.strictEqual(yield* log.relayed("registry"), 3)
        assert.strictEqual(yield* log.relayed("machines"), 1)
        assert.strictEqual(yield* log.relayed("others"), 0)
        const events = yield* eventsAfter(start)
        assert.deepStrictEqual(
          events.map(({ worker_id }) => String(worker_id)),
          ["w1", "w2", "w3", "w4"]
        )
        assert.deepStrictEqual(said(events[0]!), {
          type: "worker.status",
          worker_id: WorkerId.make("w1"),
          worker_status: "active"
        })
        assert.strictEqual(DateTime.formatIso(events[0]!.at), "2026-01-01T00:00:00.000Z")
        assert.deepStrictEqual(
          (yield* eventsAfter(events[0]!.cursor)).map(({ cursor }) => cursor),
          events.slice(1).map(({ cursor }) => cursor)
        )
        assert.isBelow(positionOf(events[0]!.cursor).index, positionOf(events[1]!.cursor).index)
      })
    )

    test(
      "of appends of one number at once, one is done",
      Effect.gen(function* () {
        const log = yield* EventLog
        const start = yield* log.end
        yield* Effect.forEach(
          Array.from({ length: 8 }),
          () => log.append({ source: "registry", number: 1, events: relayed("w1") }),
          { concurrency: "unbounded" }
        )
        assert.strictEqual((yield* eventsAfter(start)).length, 1)
      })
    )

    test(
      "without an archive old events are forgotten, and a cursor before them is told so",
      Effect.gen(function* () {
        const log = yield* EventLog
        const time = yield* StoreTime
        const start = yield* log.start
        yield* submit("old")
        const old = yield* log.end
        yield* claimOne()
        yield* time.pass("61 minutes")
        yield* submit("new")
        const before = yield* log.size
        yield* trimAll(null)
        const error = yield* Effect.flip(log.read({ after: start, limit: 10 }))
        assert.deepInclude(error, { _tag: "CursorLost", why: "trimmed" })
        assert.strictEqual((yield* Effect.flip(log.read({ after: old, limit: 10 })))._tag, "CursorLost")
        const kept = yield* eventsAfter(yield* log.start)
        assert.deepStrictEqual(
          kept.map(({ job_id }) => String(job_id)),
          ["new"]
        )
        const after = yield* log.size
        assert.strictEqual(after.entries, 1)
        // Memory goes in larger pieces on some layers.
        assert.isAtMost(after.bytes, before.bytes)
        assert.strictEqual(after.first, kept[0]!.cursor)
        assert.strictEqual(after.last, kept[0]!.cursor)
      })
    )

    test(
      "trimNeverPassesArchive: what is not archived stays whatever its age, what is archived stays for the retention",
      Effect.gen(function* () {
        const log = yield* EventLog
        const queue = yield* JobQueue
        const time = yield* StoreTime
        yield* queue.keepForArchive
        const start = yield* log.start
        for (let n = 0; n < 10; n++) yield* submit(`j${n}`)
        const all = yield* eventsAfter(start)
        yield* trimAll(all[4]!.cursor)
        assert.deepStrictEqual(yield* eventsAfter(start), all)
        yield* time.pass("2 hours")
        yield* queue.tick
        assert.deepStrictEqual(yield* eventsAfter(start), all)
        yield* trimAll(start)
        assert.deepStrictEqual(yield* eventsAfter(start), all)
        yield* trimAll(all[4]!.cursor)
        assert.deepStrictEqual(yield* eventsAfter(yield* log.start), all.slice(5))
        assert.deepStrictEqual(yield* eventsAfter(all[4]!.cursor), all.slice(5))
        yield* submit("last")
        yield* trimAll(yield* log.end)
        assert.deepStrictEqual(
          (yield* eventsAfter(yield* log.start)).map(({ job_id }) => String(job_id)),
          ["last"]
        )
      })
    )

    test(
      "once all is forgotten the log goes on from its end",
      Effect.gen(function* () {
        const log = yield* EventLog
        const time = yield* StoreTime
        yield* submit("a")
        const end = yield* log.end
        yield* time.pass("2 hours")
        yield* trimAll(null)
        assert.strictEqual((yield* log.size).entries, 0)
        assert.deepStrictEqual((yield* log.read({ after: end, limit: 10 })).events, [])
        assert.deepStrictEqual(yield* eventsAfter(yield* log.start), [])
        yield* submit("b")
        assert.deepStrictEqual(
          (yield* eventsAfter(end)).map(({ job_id }) => String(job_id)),
          ["b"]
        )
        assert.isBelow(compare(end, yield* log.end), 0)
      })
    )

    test(
      "the order holds although the clock is set back",
      Effect.gen(function* () {
        const log = yield* EventLog
        const time = yield* StoreTime
        const start = yield* log.start
        yield* submit("a")
        yield* time.setBack("10 minutes")
        yield* submit("b")
        yield* time.pass("1 minute")
        yield* submit("c")
        const events = yield* eventsAfter(start)
        assert.deepStrictEqual(
          events.map(({ job_id }) => String(job_id)),
          ["a", "b", "c"]
        )
        const cursors = events.map(({ cursor }) => cursor)
        assert.deepStrictEqual(cursors.toSorted(compare), cursors)
      })
    )

    test(
      "a log that holds what it may adds no progress, but everything else",
      Effect.gen(function* () {
        const log = yield* EventLog
        const queue = yield* JobQueue
        yield* queue.keepForArchive
        for (let n = 0; n < 60; n++) yield* submit(`j${n}`, { customer_id: "c".repeat(200) })
        const { fence } = yield* claimOne()
        const after = yield* log.end
        // Some layers look at how full they are now and then only.
        yield* queue.tick
        yield* queue.progress(fence, { percent: 10 })
        yield* queue.complete(fence, 1)
        assert.deepStrictEqual(
          (yield* eventsAfter(after)).map(({ type }) => type),
          ["job.completed"]
        )
        assert.strictEqual((yield* queue.get(jobId("j0")))._tag, "Some")
      }),
      {},
      { maxBytes: 16 * 1024 }
    )

    test(
      "from twice what it may hold no job is taken, until some events are archived and gone",
      Effect.gen(function* () {
        const log = yield* EventLog
        const queue = yield* JobQueue
        yield* queue.keepForArchive
        yield* submit("first")
        const { fence } = yield* claimOne()
        let taken = 0
        const refused = yield* Effect.suspend(() => submit(`j${++taken}`, { customer_id: "c".repeat(200) })).pipe(
          // Some layers look at how full they are now and then only.
          Effect.andThen(queue.tick),
          Effect.repeat({ times: 1_000 }),
          Effect.flip
        )
        assert.deepInclude(refused, { _tag: "StorageError", unavailable: true })
        assert.isAbove(taken, 10)
        const many = queue.submitMany([{ id: jobId("many"), request: request({ service_required: "simulation" }) }])
        assert.strictEqual((yield* Effect.flip(many))._tag, "StorageError")
        // What is there goes on.
        yield* queue.complete(fence, 1)
        yield* trimAll(yield* log.end)
        yield* queue.tick
        assert.strictEqual((yield* submit("first")).status, "completed")
        assert.strictEqual((yield* submit(`j${taken}`)).status, "pending")
      }),
      {},
      { maxBytes: 16 * 1024 }
    )
  })
}
