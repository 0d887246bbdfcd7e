import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, DateTime, Duration, Effect, Fiber, Layer, Option, Schema } from "effect"
import { TestClock } from "effect/testing"
import { JobArchive } from "@muster/core/job/internal/JobArchive"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { type Job, JobId, request } from "@muster/core/job/Job"
import * as JobQueries from "@muster/core/job/JobQueries"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import * as MemoryArchive from "./MemoryArchive.ts"
import { settings } from "./QueueTest.ts"

const worker = WorkerId.make("w1")
const jobId = (name: string | number) => JobId.make(String(name))
const stores = Layer.mergeAll(MemoryRegistry.layer, MemoryJobQueue.layer, MemoryArchive.layer)

const on = <A, E>(body: Effect.Effect<A, E, Layer.Success<typeof stores>>): Effect.Effect<A, E> =>
  Effect.provide(body, stores, { local: true }).pipe(
    Effect.provideService(QueueSettings, { ...settings, retention: Duration.zero })
  )

const submit = (id: string | number, over: Parameters<typeof request>[0] = { service_required: "simulation" }) =>
  JobUseCases.submitJob({ id: jobId(id), request: request(over) })

const nonce = () => globalThis.crypto.randomUUID()

/** Claims the next job and ends it. */
const runNext = Effect.fnUntraced(function* (end: "completed" | "failed", type = "simulation") {
  const queue = yield* JobQueue
  const mine = nonce()
  const capabilities = { job_types: [type] }
  const [job] = yield* queue.claim({ worker_id: worker, capabilities, capacity: 1_000, limit: 1, nonce: mine })
  if (job === undefined) return undefined
  const fence = { job_id: job.id, attempt: job.attempt, nonce: mine }
  yield* end === "completed"
    ? queue.complete(fence, { n: 1 })
    : queue.fail(fence, { kind: "Rejected", message: "no" }, null)
  return job.id
})

/** Archives all that has ended, as the archiver does. */
const archiveAll = Effect.gen(function* () {
  const queue = yield* JobQueue
  const archive = yield* JobArchive
  const ended = yield* queue.unarchived(1_000)
  yield* archive.store(ended)
  yield* queue.markArchived(
    ended.flatMap(({ job: { finished_at, id } }) => (finished_at === null ? [] : [{ id, finished_at }]))
  )
})

/** Lets the queue forget what it may. */
const forgetAll = Effect.gen(function* () {
  const queue = yield* JobQueue
  yield* Effect.repeat(queue.tick, { while: ({ more }) => more })
})

/** A job that only the archive knows. */
const archived = Effect.fnUntraced(function* (id: string, end: "completed" | "failed") {
  const queue = yield* JobQueue
  yield* queue.keepForArchive
  yield* submit(id)
  yield* runNext(end)
  yield* archiveAll
  yield* forgetAll
  assert.isTrue(Option.isNone(yield* queue.get(jobId(id))))
})

const allPages = (
  limit: number,
  between: Effect.Effect<unknown, unknown, Layer.Success<typeof stores>> = Effect.void
) =>
  Effect.gen(function* () {
    const found: Array<Job> = []
    let cursor: string | null | undefined
    while (cursor !== null) {
      const page: Effect.Success<ReturnType<typeof JobQueries.listJobs>> = yield* JobQueries.listJobs({ limit, cursor })
      assert.isAtMost(page.jobs.length, limit)
      assert.isFalse(page.incomplete)
      found.push(...page.jobs)
      cursor = page.next_cursor
      yield* between
    }
    return found
  })

describe("the history of jobs", () => {
  it.effect("has what the queue has forgotten: the job, its attempts, its place in lists", () =>
    on(
      Effect.gen(function* () {
        yield* archived("old", "failed")
        yield* submit("new")
        assert.deepInclude(yield* JobQueries.getJob(jobId("old")), { status: "failed", attempt: 1 })
        assert.deepStrictEqual(
          (yield* JobQueries.getJobAttempts(jobId("old"))).map(({ outcome }) => outcome),
          ["failed"]
        )
        assert.deepStrictEqual(
          (yield* allPages(1)).map(({ id }) => String(id)),
          ["new", "old"]
        )
        assert.strictEqual((yield* Effect.flip(JobQueries.getJob(jobId("never"))))._tag, "JobNotFound")
        assert.strictEqual((yield* Effect.flip(JobQueries.getJobAttempts(jobId("never"))))._tag, "JobNotFound")
      })
    )
  )

  it.effect("leaves no archived job out where failed ones among them were taken in again", () =>
    on(
      Effect.gen(function* () {
        const queue = yield* JobQueue
        yield* submit("first", { service_required: "other" })
        for (const id of ["a", "b", "c", "d"]) yield* archived(id, "failed")
        for (const id of ["c", "b"]) yield* JobUseCases.retryJob(jobId(id))
        yield* runNext("failed", "other")
        const found: Array<string> = []
        let cursor: string | null | undefined
        while (cursor !== null) {
          const page: Effect.Success<ReturnType<typeof JobQueries.listJobs>> = yield* JobQueries.listJobs({
            limit: 3,
            status: "failed",
            cursor
          })
          found.push(...page.jobs.map(({ id }) => String(id)))
          cursor = page.next_cursor
        }
        assert.deepStrictEqual(found, ["d", "a", "first"])
        assert.strictEqual((yield* queue.counts).pending, 2)
      })
    )
  )

  it.effect("says when it is incomplete, and fails only where it cannot answer", () =>
    on(
      Effect.gen(function* () {
        yield* archived("old", "failed")
        yield* submit("new")
        const archive = yield* MemoryArchive.ArchiveState
        archive.away = true
        const page = yield* JobQueries.listJobs({ limit: 10 })
        assert.deepStrictEqual([page.incomplete, page.jobs.map(({ id }) => String(id))], [true, ["new"]])
        assert.strictEqual((yield* JobQueries.getJob(jobId("new"))).status, "pending")
        assert.deepInclude(yield* Effect.flip(JobQueries.getJob(jobId("old"))), { unavailable: true })
        assert.deepInclude(yield* Effect.flip(JobUseCases.retryJob(jobId("old"))), { unavailable: true })
      })
    )
  )

  it.effect("answers a repeated submit of a job that only the archive has, alone and in a batch", () =>
    on(
      Effect.gen(function* () {
        yield* archived("old", "completed")
        const again = yield* submit("old")
        assert.deepStrictEqual([again.created, again.job.status], [false, "completed"])
        const other = { service_required: "simulation", payload: { other: true } }
        assert.strictEqual((yield* Effect.flip(submit("old", other)))._tag, "JobAlreadyExists")
        const plain = request({ service_required: "simulation" })
        const batch = [{ request: plain }, { id: jobId("old"), request: plain }, { id: jobId("new"), request: plain }]
        const answers = yield* JobUseCases.submitJobs(batch)
        assert.deepStrictEqual(
          answers.map(({ created }) => created),
          [true, false, true]
        )
        const refused = yield* Effect.flip(
          JobUseCases.submitJobs([
            { id: jobId("newer"), request: plain },
            { id: jobId("old"), request: request(other) }
          ])
        )
        assert.deepInclude(refused, { _tag: "JobAlreadyExists", id: jobId("old") })
        assert.strictEqual((yield* Effect.flip(JobQueries.getJob(jobId("newer"))))._tag, "JobNotFound")
        const twice = yield* Effect.flip(JobUseCases.submitJobs([batch[1]!, batch[1]!]))
        assert.strictEqual(twice._tag, "DuplicateJobId")
        // No worker takes it any more, yet it was accepted once.
        const reject = { id: jobId("old"), request: plain, if_unmatchable: "reject" } as const
        assert.isFalse((yield* JobUseCases.submitJob(reject)).created)
        assert.isFalse((yield* JobUseCases.submitJobs([reject]))[0]?.created)
      })
    )
  )

  it.effect("is not asked about ids that were made here, and not waited for when it is away or slow", () =>
    on(
      Effect.gen(function* () {
        const archive = yield* MemoryArchive.ArchiveState
        yield* JobUseCases.submitJob({ request: request({ service_required: "simulation" }) })
        yield* JobUseCases.submitJobs([{ request: request({ service_required: "simulation" }) }])
        assert.strictEqual(archive.finds, 0)
        archive.away = true
        assert.isTrue((yield* submit("a")).created)
        const slow = Layer.mock(JobArchive, { keeps: true, find: () => Effect.never })
        const waiting = yield* Effect.forkChild(Effect.provide(submit("b"), slow))
        yield* TestClock.adjust("299 millis")
        assert.isUndefined(waiting.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.isTrue((yield* Fiber.join(waiting)).created)
      })
    )
  )

  it.effect("gives a failed job back to the queue, with its attempts counted on", () =>
    on(
      Effect.gen(function* () {
        yield* archived("old", "failed")
        yield* submit("between")
        yield* runNext("completed")
        const revived = yield* JobUseCases.retryJob(jobId("old"))
        assert.deepInclude(revived, { status: "pending", attempt: 1, retry_count: 0 })
        assert.strictEqual((yield* JobUseCases.retryJob(jobId("old")).pipe(Effect.flip))._tag, "InvalidStateTransition")
        const numbers = Effect.map(JobQueries.getJobAttempts(jobId("old")), (all) => all.map(({ attempt }) => attempt))
        assert.deepStrictEqual(yield* numbers, [1])
        const jobs = yield* allPages(10)
        assert.deepStrictEqual(
          jobs.map(({ id, status }) => [String(id), status]),
          [
            ["between", "completed"],
            ["old", "pending"]
          ]
        )
        assert.deepStrictEqual((yield* JobQueries.listJobs({ limit: 10, status: "failed" })).jobs, [])
        yield* runNext("completed")
        assert.deepStrictEqual(yield* numbers, [1, 2])
        yield* archiveAll
        assert.deepStrictEqual(yield* numbers, [1, 2])
        yield* forgetAll
        assert.deepStrictEqual(yield* numbers, [1, 2])
        assert.strictEqual((yield* JobQueries.getJob(jobId("old"))).status, "completed")
        const refused = yield* Effect.flip(JobUseCases.retryJob(jobId("old")))
        assert.deepInclude(refused, { _tag: "InvalidStateTransition", from: "completed", to: "pending" })
        const cancelled = yield* Effect.flip(JobUseCases.cancelJob(jobId("old")))
        assert.deepInclude(cancelled, { _tag: "InvalidStateTransition", from: "completed", to: "cancelled" })
      })
    )
  )

  it.effect("is of one worker, or of the workers of a machine", () =>
    on(
      Effect.gen(function* () {
        yield* WorkerUseCases.registerWorker({ id: worker, region: "eu", capacity: 1, metadata: { machine_id: "m1" } })
        yield* archived("old", "completed")
        yield* TestClock.adjust("1 second")
        yield* submit("new")
        const ids = (request: Omit<JobQueries.JobListRequest, "limit">) =>
          Effect.map(JobQueries.listJobs({ ...request, limit: 10 }), ({ jobs }) => jobs.map(({ id }) => String(id)))
        assert.deepStrictEqual(yield* ids({ worker_id: worker }), ["old"])
        assert.deepStrictEqual(yield* ids({ machine_id: "m1" }), ["old"])
        assert.deepStrictEqual(yield* ids({ machine_id: "m2" }), [])
        assert.deepStrictEqual(yield* ids({ machine_id: "m1", worker_id: WorkerId.make("w2") }), [])
        const { created_at } = yield* JobQueries.getJob(jobId("new"))
        assert.deepStrictEqual(yield* ids({ created_from: created_at }), ["new"])
        assert.deepStrictEqual(yield* ids({ created_before: created_at }), ["old"])
      })
    )
  )
})

describe("pages over a moving list", () => {
  const Move = Schema.Literals(["submit", "complete", "fail", "archive", "forget", "revive", "cancel"])
  const moves = Arbitrary.array(Arbitrary.schema(Move), { maxLength: 12 })

  /** What happens between two pages. */
  const move = Effect.fnUntraced(function* (one: typeof Move.Type, made: () => number) {
    const queue = yield* JobQueue
    const archive = yield* MemoryArchive.ArchiveState
    yield* TestClock.adjust("1 millis")
    if (one === "submit") return yield* submit(`late-${made()}`)
    if (one === "complete") return yield* runNext("completed")
    if (one === "fail") return yield* runNext("failed")
    if (one === "archive") return yield* archiveAll
    if (one === "forget") return yield* forgetAll
    if (one === "cancel") {
      const { jobs } = yield* queue.list({ status: "pending", limit: 1 })
      return yield* Effect.forEach(jobs, ({ job }) => queue.cancel(job.id))
    }
    const failed = [...archive.jobs.values()].find(({ job }) => job.status === "failed")
    if (failed !== undefined) yield* Effect.exit(JobUseCases.retryJob(failed.job.id))
  })

  it.effect.prop(
    "have each job that was there all the time exactly once, newest first",
    {
      between: Arbitrary.array(moves, { minLength: 1, maxLength: 8 }),
      before: moves,
      limit: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })))
    },
    ({ before, between, limit }) =>
      on(
        Effect.gen(function* () {
          const queue = yield* JobQueue
          yield* queue.keepForArchive
          let made = 0
          const next = () => made++
          for (let n = 0; n < 10; n++) {
            yield* submit(`early-${n}`)
            yield* move((["complete", "fail", "submit"] as const)[n % 3]!, next)
          }
          for (const one of before) yield* move(one, next)
          const there = (yield* allPages(1_000)).map(({ id }) => String(id))
          let round = 0
          const meanwhile = Effect.suspend(() =>
            Effect.orDie(
              Effect.forEach(round < 80 ? (between[round++ % between.length] ?? []) : [], (one) => move(one, next), {
                discard: true
              })
            )
          )
          // Between the pages, and within each: when the queue has answered and the archive not yet.
          const archive = yield* JobArchive
          const context = yield* Effect.context<Layer.Success<typeof stores>>()
          const moving = JobArchive.of({
            ...archive,
            list: (request) => Effect.andThen(Effect.provideContext(meanwhile, context), archive.list(request))
          })
          // A queue answers short pages when it has looked at many jobs.
          const short = JobQueue.of({
            ...queue,
            list: (asked) => queue.list({ ...asked, limit: (asked.limit >> 1) + 1 })
          })
          const found = yield* allPages(limit, meanwhile).pipe(
            Effect.provideService(JobArchive, moving),
            Effect.provideService(JobQueue, short)
          )
          const ids = found.map(({ id }) => String(id))
          assert.strictEqual(new Set(ids).size, ids.length, `a double in ${ids.join(" ")}`)
          assert.deepStrictEqual(
            there.filter((id) => !ids.includes(id)),
            []
          )
          const times = found.map(({ created_at }) => DateTime.toEpochMillis(created_at))
          assert.deepStrictEqual(
            times,
            times.toSorted((a, b) => b - a)
          )
        })
      ),
    { timeout: 300_000, arbitrary: { runs: 200 } }
  )
})
