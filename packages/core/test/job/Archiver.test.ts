import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Layer, Option, Ref } from "effect"
import { TestClock } from "effect/testing"
import * as EventCursor from "@muster/core/event/EventCursor"
import { CursorLost } from "@muster/core/event/EventErrors"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { EventSettings } from "@muster/core/event/EventSettings"
import * as Archiver from "@muster/core/job/Archiver"
import * as ArchiverState from "@muster/core/job/ArchiverState"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as MemoryArchive from "./MemoryArchive.ts"
import { claim, jobId, settings, submit } from "./QueueTest.ts"

const stores = Layer.mergeAll(MemoryJobQueue.layer, MemoryArchive.layer, ArchiverState.layer)
type Stores = Layer.Success<typeof stores>

/** Neither queue nor log keeps anything for longer than the archive makes it. */
const on = <A, E>(body: Effect.Effect<A, E, Stores>, layer: Layer.Layer<Stores> = stores): Effect.Effect<A, E> =>
  Effect.provide(body, layer, { local: true }).pipe(
    Effect.provideService(QueueSettings, { ...settings, retention: Duration.zero }),
    Effect.provideService(EventSettings, { ...EventSettings.defaultValue(), retention: Duration.zero })
  )

/** Jobs that run from submit to end, with a report on the way. */
const runJobs = Effect.fnUntraced(function* (prefix: string, count: number) {
  const queue = yield* JobQueue
  for (let n = 0; n < count; n++) yield* submit(`${prefix}-${n}`)
  for (const { fence } of yield* claim({ limit: count, capacity: count })) {
    yield* queue.start(fence)
    yield* queue.progress(fence, { percent: 50 })
    yield* queue.complete(fence, null)
  }
})

const report = Effect.flatMap(ArchiverState.ArchiverState, Ref.get)

const tickAll = Effect.flatMap(JobQueue, ({ tick }) => Effect.repeat(tick, { while: ({ more }) => more }))

describe("the archiver", () => {
  it.effect("moves jobs, attempts and events while it runs, and lets queue and log forget behind it", () =>
    on(
      Effect.gen(function* () {
        const archive = yield* JobArchive.JobArchive
        const log = yield* EventLog
        const state = yield* MemoryArchive.ArchiveState
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Archiver.startArchiving
            yield* TestClock.adjust("1 second")
            yield* runJobs("a", 30)
            yield* TestClock.adjust("10 seconds")
            assert.deepInclude(yield* report, {
              working: true,
              jobs_behind: 0,
              events_behind_ms: 0,
              jobs_archived: 30,
              events_archived: 120,
              gaps: 0,
              error: null
            })
          })
        )
        assert.strictEqual((yield* archive.list({ limit: 100 })).length, 30)
        assert.deepStrictEqual(
          Option.getOrThrow(yield* archive.attempts(jobId("a-0"))).map(({ outcome }) => outcome),
          ["completed"]
        )
        assert.strictEqual(new Set(state.events.map(({ cursor }) => cursor)).size, 120)
        assert.isFalse(state.events.some(({ type }) => type === "job.progress"))
        assert.strictEqual((yield* log.size).entries, 0)
        yield* tickAll
        assert.isTrue(Option.isNone(yield* (yield* JobQueue).get(jobId("a-0"))))
        // Its turn ended with it.
        assert.isTrue(yield* archive.takeTurn("another", Duration.minutes(1)))
      })
    )
  )

  it.effect("loses nothing while the archive is away, says how far it is behind, and catches up", () =>
    on(
      Effect.gen(function* () {
        const queue = yield* JobQueue
        const log = yield* EventLog
        const state = yield* MemoryArchive.ArchiveState
        yield* Archiver.startArchiving
        yield* TestClock.adjust("1 second")
        state.away = true
        yield* runJobs("b", 20)
        yield* TestClock.adjust("10 minutes")
        yield* tickAll
        const behind = yield* report
        assert.deepInclude(behind, { working: false, jobs_behind: 20, jobs_archived: 0 })
        assert.strictEqual(behind.error?.message, "the archive is away")
        assert.isAtLeast(behind.jobs_behind_ms, 9 * 60_000)
        assert.isAtLeast(behind.events_behind_ms, 9 * 60_000)
        assert.isTrue(Option.isSome(yield* queue.get(jobId("b-19"))))
        assert.strictEqual((yield* log.size).entries, 100)
        state.away = false
        yield* TestClock.adjust("10 seconds")
        assert.deepInclude(yield* report, { working: true, jobs_behind: 0, jobs_behind_ms: 0, error: null })
        assert.strictEqual(state.jobs.size, 20)
        assert.strictEqual(state.events.length, 80)
        assert.strictEqual((yield* log.size).entries, 0)
      }).pipe(Effect.scoped)
    )
  )

  it.effect("says since when the archive is away, and no longer once it is another server's turn", () =>
    on(
      Effect.gen(function* () {
        const archive = yield* JobArchive.JobArchive
        const state = yield* MemoryArchive.ArchiveState
        yield* Archiver.startArchiving
        yield* TestClock.adjust("1 second")
        state.away = true
        yield* TestClock.adjust("10 seconds")
        const first = (yield* report).error?.at
        assert.isDefined(first)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual((yield* report).error?.at, first)
        state.away = false
        assert.isTrue(yield* archive.takeTurn("another", Duration.hours(1)))
        yield* TestClock.adjust("10 seconds")
        assert.deepInclude(yield* report, { working: false, error: null })
      }).pipe(Effect.scoped)
    )
  )

  it.effect("stores no event twice when several archive at once, and no job less when one dies before it marks", () =>
    on(
      Effect.gen(function* () {
        const queue = yield* JobQueue
        const state = yield* MemoryArchive.ArchiveState
        yield* queue.keepForArchive
        yield* runJobs("c", 10)
        const dying = JobQueue.of({ ...queue, markArchived: () => Effect.die("killed") })
        assert.isTrue(
          Exit.isFailure(yield* Effect.exit(Effect.provideService(Archiver.archiveJobs(), JobQueue, dying)))
        )
        assert.strictEqual((yield* queue.counts).unarchived, 10)
        const all = [Archiver.archiveJobs(), Archiver.archiveEvents(), Archiver.archiveEvents(), Archiver.archiveJobs()]
        yield* Effect.all(all, { concurrency: "unbounded" })
        while (yield* Archiver.archiveEvents());
        assert.strictEqual((yield* queue.counts).unarchived, 0)
        assert.strictEqual(state.jobs.size, 10)
        assert.strictEqual(state.events.length, 40)
        assert.strictEqual(new Set(state.events.map(({ cursor }) => cursor)).size, 40)
      })
    )
  )

  it.effect("goes on from the beginning of a log that does not go on from its cursor, and counts the gap", () =>
    on(
      Effect.gen(function* () {
        const log = yield* EventLog
        const state = yield* MemoryArchive.ArchiveState
        state.cursor = EventCursor.make({ log: "lost", ms: 1, seq: 0, index: 0 })
        yield* submit("d")
        const foreign = EventLog.of({
          ...log,
          read: (request) =>
            EventCursor.positionOf(request.after).log === "lost"
              ? Effect.fail(new CursorLost({ cursor: request.after, why: "foreign" }))
              : log.read(request)
        })
        yield* Effect.provideService(Archiver.archiveEvents(), EventLog, foreign)
        assert.strictEqual((yield* report).gaps, 1)
        assert.deepStrictEqual(
          state.events.map(({ job_id }) => job_id),
          [jobId("d")]
        )
        assert.strictEqual(state.cursor, yield* log.end)
        assert.isFalse(yield* Effect.provideService(Archiver.archiveEvents(), EventLog, foreign))
        assert.strictEqual((yield* report).gaps, 1)
      })
    )
  )

  it.effect("trims nothing while it does not know where the archive is, or that is in another log", () =>
    on(
      Effect.gen(function* () {
        const log = yield* EventLog
        const state = yield* ArchiverState.ArchiverState
        const asked: Array<EventCursor.EventCursor | null> = []
        const watched = EventLog.of({
          ...log,
          trim: (archived) =>
            Effect.andThen(
              Effect.sync(() => asked.push(archived)),
              log.trim(archived)
            )
        })
        const trim = Effect.provideService(Archiver.trimLog(), EventLog, watched)
        yield* runJobs("g", 3)
        yield* trim
        const foreign = EventCursor.make({ log: "lost", ms: 9_000_000_000_000, seq: 0, index: 0 })
        yield* Ref.update(state, (report) => ({ ...report, events_archived_to: foreign }))
        yield* trim
        assert.deepStrictEqual(asked, [])
        const end = yield* log.end
        yield* Ref.update(state, (report) => ({ ...report, events_archived_to: end }))
        yield* trim
        assert.deepStrictEqual(asked, [end])
      })
    )
  )

  it.effect("says again that there is an archive when the queue has forgotten it", () =>
    on(
      Effect.gen(function* () {
        const queue = yield* JobQueue
        yield* queue.keepForArchive
        let lost = true
        const forgetful = JobQueue.of({
          ...queue,
          counts: Effect.map(queue.counts, (counts) => (lost ? { ...counts, unarchived: null } : counts)),
          keepForArchive: Effect.sync(() => void (lost = false))
        })
        yield* runJobs("f", 3)
        yield* Effect.provideService(Archiver.observe(), JobQueue, forgetful)
        assert.isFalse(lost)
        assert.strictEqual((yield* report).jobs_behind, 3)
      })
    )
  )

  it.effect("only trims the log where nothing is archived", () =>
    on(
      Effect.gen(function* () {
        const log = yield* EventLog
        yield* Archiver.startArchiving
        yield* runJobs("e", 5)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* log.size).entries, 0)
        yield* tickAll
        assert.isTrue(Option.isNone(yield* (yield* JobQueue).get(jobId("e-0"))))
        assert.deepInclude(yield* report, { working: false, jobs_behind: null })
      }).pipe(Effect.scoped, Effect.provide(JobArchive.layerNone))
    )
  )

  it.effect("forgets what is older than the archive keeps", () =>
    on(
      Effect.gen(function* () {
        const state = yield* MemoryArchive.ArchiveState
        yield* Archiver.startArchiving
        yield* TestClock.adjust("1 second")
        yield* runJobs("old", 3)
        yield* TestClock.adjust("50 minutes")
        yield* runJobs("new", 2)
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(state.jobs.size, 5)
        yield* TestClock.adjust("12 minutes")
        assert.sameMembers([...state.jobs.keys()].map(String), ["new-0", "new-1"])
      }).pipe(
        Effect.scoped,
        Effect.provideService(EventSettings, { ...EventSettings.defaultValue(), archiveRetention: Duration.hours(1) })
      )
    )
  )
})
