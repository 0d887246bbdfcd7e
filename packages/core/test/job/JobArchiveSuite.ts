/** The contract of the archive: every layer of the port passes these tests. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, type Layer, Option } from "effect"
import type { Event } from "@muster/core/event/Event"
import * as EventCursor from "@muster/core/event/EventCursor"
import type { Attempt } from "@muster/core/job/Attempt"
import { asSubmitted, type Job, JobId, request } from "@muster/core/job/Job"
import { type ArchivedRequest, type FinishedJob, JobArchive } from "@muster/core/job/internal/JobArchive"
import { WorkerId } from "@muster/core/worker/Worker"

const at = (ms: number): DateTime.Utc => DateTime.makeUnsafe(1_700_000_000_000 + ms)

const attempt = (number: number, over: Partial<Attempt> = {}): Attempt => ({
  attempt: number,
  worker_id: WorkerId.make("w1"),
  outcome: "completed",
  assigned_at: at(number),
  started_at: null,
  ended_at: at(number + 1),
  error: null,
  late_reports: [],
  ...over
})

/** The position of a job that was submitted at a time in ms, and the time of a position. */
const place = (ms: number): string => String(DateTime.toEpochMillis(at(ms)) * 1_000)
const timeOf = (position: string): number => Number(position) / 1_000 - DateTime.toEpochMillis(at(0))

/** A job that was submitted and ended, at a time in ms each. */
export const finished = (
  id: string,
  position: number,
  over: Partial<Job> = {},
  attempts: ReadonlyArray<Attempt> = [attempt(1)]
): FinishedJob => ({
  position: place(position),
  job: {
    ...asSubmitted(JobId.make(id), request({ service_required: "simulation" }), "pending", at(position)),
    status: "completed",
    attempt: 1,
    worker_id: WorkerId.make("w1"),
    assigned_at: at(position + 1),
    started_at: at(position + 2),
    finished_at: at(position + 3),
    ...over
  },
  attempts
})

const event = (ms: number, over: Partial<Event> = {}): Event => ({
  cursor: EventCursor.make({ log: "log1", ms, seq: 0, index: 0 }),
  at: at(ms),
  type: "job.completed",
  job_id: JobId.make("a"),
  worker_id: WorkerId.make("w1"),
  ...over
})

const cursorAt = (ms: number, log = "log1") => EventCursor.make({ log, ms, seq: 0, index: 0 })

export const suite = (name: string, layer: Layer.Layer<JobArchive, unknown>): void => {
  describe(`JobArchive (${name})`, () => {
    const test = (title: string, body: Effect.Effect<unknown, unknown, JobArchive>) =>
      it.effect(title, () => Effect.provide(body, layer, { local: true }))

    test(
      "finds what it was given, whole, and nothing else",
      Effect.gen(function* () {
        const archive = yield* JobArchive
        const odd = {
          payload: { text: "\u0000 \ud800 \"quoted\" 'single' \\ {a,b} NULL", list: [], none: null, deep: { a: [[]] } },
          result: [1.5, "ü", null],
          metadata: { "": "NULL" },
          error: { kind: "Lost", message: "a\nb\u0000" },
          progress: { percent: 50, message: "half" },
          requirements: { hardware: { gpu_count: 1 } },
          run_at: at(7),
          customer_id: "c",
          workflow_id: "f"
        } as const
        const jobs = [finished("a", 1, odd), finished("b", 2, { result: null, worker_id: null }, [])]
        yield* archive.store(jobs)
        const found = yield* archive.find([JobId.make("b"), JobId.make("none"), JobId.make("a")])
        assert.sameDeepMembers(
          [...found],
          jobs.map(({ job, position }) => ({ job, position }))
        )
        assert.deepStrictEqual(yield* archive.find([]), [])
        yield* archive.store([])
      })
    )

    test(
      "stores again what is stored, and of two ends of one job keeps the later, whichever comes first",
      Effect.gen(function* () {
        const archive = yield* JobArchive
        const first = finished("a", 1, { status: "failed", finished_at: at(10) })
        const second = finished("a", 1, { finished_at: at(20), attempt: 2 }, [attempt(1), attempt(2)])
        const now = Effect.map(archive.find([JobId.make("a")]), (found) => found.map(({ job }) => job.status))
        yield* archive.store([first])
        yield* archive.store([first])
        assert.deepStrictEqual(yield* now, ["failed"])
        yield* archive.store([second, first])
        assert.deepStrictEqual(yield* now, ["completed"])
        yield* archive.store([first])
        assert.deepStrictEqual(yield* now, ["completed"])
        const attempts = Option.getOrThrow(yield* archive.attempts(JobId.make("a")))
        assert.deepStrictEqual(
          attempts.map(({ attempt }) => attempt),
          [1, 2]
        )
        // The clock of the queue was set back, and the job taken in again after that.
        yield* archive.store([finished("a", 1, { status: "cancelled", finished_at: at(15), attempt: 3 }, [])])
        assert.deepStrictEqual(yield* now, ["cancelled"])
      })
    )

    test(
      "knows the attempts of a job: of one that had none too, and of a long row the last 100",
      Effect.gen(function* () {
        const archive = yield* JobArchive
        const late = { report: "failed", at: at(3), error: { kind: "Lost", message: "\u0000" } } as const
        const many = Array.from({ length: 130 }, (_, n) => attempt(n + 1, { late_reports: n === 129 ? [late] : [] }))
        yield* archive.store([
          finished("never", 1, { status: "cancelled", attempt: 0 }, []),
          finished("often", 2, {}, many)
        ])
        assert.deepStrictEqual(yield* archive.attempts(JobId.make("never")), Option.some([]))
        assert.deepStrictEqual(yield* archive.attempts(JobId.make("often")), Option.some(many.slice(-100)))
        assert.deepStrictEqual(yield* archive.attempts(JobId.make("unknown")), Option.none())
        // Taken in again, the queue knows the later attempts only.
        yield* archive.store([finished("often", 2, { attempt: 131, finished_at: at(99) }, [attempt(131)])])
        const now = Option.getOrThrow(yield* archive.attempts(JobId.make("often")))
        assert.deepStrictEqual([now.length, now.at(0)?.attempt, now.at(-1)?.attempt], [100, 32, 131])
      })
    )

    test(
      "lists newest first, by every filter and by several together, within a stretch of positions",
      Effect.gen(function* () {
        const archive = yield* JobArchive
        const statuses = ["completed", "failed", "cancelled", "expired"] as const
        const jobs = Array.from({ length: 48 }, (_, n) =>
          finished(`j${n}`, n, {
            status: statuses[n % 4]!,
            service_required: n % 3 === 0 ? "third" : "other",
            customer_id: n % 2 === 0 ? "even" : null,
            workflow_id: n % 5 === 0 ? "fifth" : null,
            worker_id: n % 4 === 2 ? null : WorkerId.make(`w${n % 3}`)
          })
        )
        yield* archive.store(jobs.toReversed())
        const list = (request: Omit<ArchivedRequest, "limit">, limit = 100) =>
          Effect.map(archive.list({ ...request, limit }), (found) => found.map(({ position }) => timeOf(position)))
        const expected = (meant: (n: number) => boolean) => Array.from({ length: 48 }, (_, n) => 47 - n).filter(meant)
        assert.deepStrictEqual(
          yield* list({}),
          expected(() => true)
        )
        assert.deepStrictEqual(yield* list({}, 5), [47, 46, 45, 44, 43])
        assert.deepStrictEqual(yield* list({ cursor: place(44) }, 3), [43, 42, 41])
        assert.deepStrictEqual(yield* list({ cursor: place(44), from: place(42) }), [43, 42])
        assert.deepStrictEqual(yield* list({ from: place(99) }), [])
        assert.deepStrictEqual(
          yield* list({ status: "failed" }),
          expected((n) => n % 4 === 1)
        )
        assert.deepStrictEqual(yield* list({ status: "pending" }), [])
        assert.deepStrictEqual(yield* list({ service_required: "third" }, 3), [45, 42, 39])
        assert.deepStrictEqual(yield* list({ customer_id: "even", status: "failed" }), [])
        assert.deepStrictEqual(
          yield* list({ customer_id: "even", workflow_id: "fifth" }),
          expected((n) => n % 10 === 0)
        )
        const workers = [WorkerId.make("w0"), WorkerId.make("w2"), WorkerId.make("none")]
        assert.deepStrictEqual(
          yield* list({ workers }),
          expected((n) => n % 4 !== 2 && n % 3 !== 1)
        )
        assert.deepStrictEqual(
          yield* list({ workers, status: "completed", service_required: "third" }),
          expected((n) => n % 12 === 0)
        )
        assert.deepStrictEqual(yield* list({ workers: [] }), [])
        assert.deepStrictEqual(yield* list({ created_from: at(10), created_before: at(13) }), [12, 11, 10])
        const [year0, year10000] = [-62_167_219_200_000, 253_402_300_800_000].map((ms) => DateTime.makeUnsafe(ms))
        assert.strictEqual((yield* list({ created_from: year0, created_before: year10000 })).length, 48)
        assert.deepStrictEqual(yield* list({ created_from: year10000 }), [])
        assert.deepStrictEqual(yield* list({ created_before: year0 }), [])
        assert.deepStrictEqual((yield* archive.list({ limit: 1 }))[0]?.job, jobs[47]?.job)
      })
    )

    test(
      "moves the cursor with the events, for one of those that go on from the same one",
      Effect.gen(function* () {
        const archive = yield* JobArchive
        assert.strictEqual(yield* archive.cursor, null)
        const first = { from: null, to: cursorAt(2), events: [event(1), event(2, { type: "job.failed" })] }
        const won = yield* Effect.replicateEffect(archive.storeEvents(first), 8, { concurrency: "unbounded" })
        assert.strictEqual(won.filter(Boolean).length, 1)
        assert.strictEqual(yield* archive.cursor, cursorAt(2))
        assert.isFalse(yield* archive.storeEvents({ from: cursorAt(1), to: cursorAt(5), events: [event(5)] }))
        assert.isTrue(yield* archive.storeEvents({ from: cursorAt(2), to: cursorAt(3), events: [] }))
        // After a gap: another log.
        const next = [event(1, { cursor: cursorAt(1, "log2"), type: "worker.status", worker_status: "offline" })]
        assert.isTrue(yield* archive.storeEvents({ from: cursorAt(3), to: cursorAt(1, "log2"), events: next }))
        assert.strictEqual(yield* archive.cursor, cursorAt(1, "log2"))
      })
    )

    test(
      "forgets what is old, jobs with their attempts, and nothing else",
      Effect.gen(function* () {
        const archive = yield* JobArchive
        const many = Array.from({ length: 2_300 }, (_, n) => finished(`old-${n}`, n))
        yield* archive.store(many)
        yield* archive.store([finished("young", 5_000)])
        let rounds = 0
        while (yield* archive.forget(at(4_000))) assert.isBelow(++rounds, 10)
        assert.deepStrictEqual(
          (yield* archive.list({ limit: 100 })).map(({ job }) => String(job.id)),
          ["young"]
        )
        assert.deepStrictEqual(yield* archive.attempts(JobId.make("old-1")), Option.none())
        assert.strictEqual(Option.getOrThrow(yield* archive.attempts(JobId.make("young"))).length, 1)
        assert.isFalse(yield* archive.forget(DateTime.makeUnsafe(-62_200_000_000_000)))
      })
    )

    test(
      "gives the turn to one archiver at a time",
      Effect.gen(function* () {
        const archive = yield* JobArchive
        const hold = Duration.minutes(1)
        const all = yield* Effect.forEach(["a", "b", "c"], (holder) => archive.takeTurn(holder, hold), {
          concurrency: "unbounded"
        })
        assert.strictEqual(all.filter(Boolean).length, 1)
        const holder = ["a", "b", "c"][all.indexOf(true)]!
        const other = ["a", "b", "c"][all.indexOf(false)]!
        assert.isTrue(yield* archive.takeTurn(holder, hold))
        yield* archive.leaveTurn(other)
        assert.isFalse(yield* archive.takeTurn(other, hold))
        yield* archive.leaveTurn(holder)
        assert.isTrue(yield* archive.takeTurn(other, hold))
        yield* archive.ping
      })
    )
  })
}
