/** Lists of jobs, and of what workers hold. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { JobQueue, type ListRequest } from "@muster/core/job/internal/JobQueue"
import { claim, claimedIds, inSeconds, jobId, jobNow, on, type QueueLayer } from "./QueueTest.ts"
import { StoreTime, submit, worker } from "./QueueTest.ts"

/** The ids of all pages, page by page. */
const pages = (request: ListRequest) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const found: Array<ReadonlyArray<string>> = []
    let cursor: string | null | undefined
    while (cursor !== null) {
      const page = yield* queue.list(cursor === undefined ? request : { ...request, cursor })
      assert.isAtMost(page.jobs.length, request.limit)
      found.push(page.jobs.map(({ job }) => String(job.id)))
      cursor = page.next_cursor
    }
    return found
  })

export const listSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "an empty queue has an empty list",
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* (yield* JobQueue).list({ limit: 10 }), { jobs: [], next_cursor: null })
    })
  )

  test(
    "jobs come newest first, whole, page by page, and the last page says so",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (const id of ["a", "b", "c", "d", "e"]) yield* submit(id, { payload: { id } })
      assert.deepStrictEqual(yield* pages({ limit: 2 }), [["e", "d"], ["c", "b"], ["a"]])
      assert.deepStrictEqual(yield* pages({ limit: 5 }), [["e", "d", "c", "b", "a"]])
      assert.deepStrictEqual(yield* pages({ limit: 100 }), [["e", "d", "c", "b", "a"]])
      assert.deepStrictEqual(
        (yield* queue.list({ limit: 1 })).jobs.map(({ job }) => job),
        [yield* jobNow("e")]
      )
    })
  )

  test(
    "a list can be of one status, one job type, or both",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (let n = 0; n < 12; n++) yield* submit(`j${n}`, { service_required: n % 2 === 0 ? "even" : "odd" })
      const [first, second] = yield* claim({ types: ["odd"], limit: 2 })
      yield* queue.complete(first!.fence, 1)
      yield* queue.start(second!.fence)
      yield* queue.cancel(jobId("j0"))
      const ids = (request: Omit<ListRequest, "limit">) =>
        Effect.map(pages({ ...request, limit: 2 }), (all) => all.flat())
      assert.deepStrictEqual(yield* ids({ status: "completed" }), ["j1"])
      assert.deepStrictEqual(yield* ids({ status: "processing" }), ["j3"])
      assert.deepStrictEqual(yield* ids({ status: "cancelled", service_required: "even" }), ["j0"])
      assert.deepStrictEqual(yield* ids({ status: "cancelled", service_required: "odd" }), [])
      assert.deepStrictEqual(yield* ids({ status: "failed" }), [])
      assert.deepStrictEqual(yield* ids({ service_required: "even" }), ["j10", "j8", "j6", "j4", "j2", "j0"])
      assert.deepStrictEqual(yield* ids({ status: "pending", service_required: "odd" }), ["j11", "j9", "j7", "j5"])
      assert.deepStrictEqual(yield* ids({ service_required: "unknown" }), [])
    })
  )

  test(
    "a list can be of one customer, one workflow, some workers and some time",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const { pass } = yield* StoreTime
      const ids = (request: Omit<ListRequest, "limit">) =>
        Effect.map(pages({ ...request, limit: 2 }), (all) => all.flat())
      yield* submit("a", { customer_id: "acme", workflow_id: "film" })
      yield* submit("b", { customer_id: "acme" })
      yield* pass("1 minute")
      const between = yield* inSeconds(0)
      yield* pass("1 minute")
      yield* submit("c", { workflow_id: "film" })
      yield* submit("d")
      const [first] = yield* claim({ worker: "w1" })
      yield* claim({ worker: "w2" })
      yield* claim({ worker: "w3" })
      yield* queue.complete(first!.fence, 1)
      assert.deepStrictEqual(yield* ids({ customer_id: "acme" }), ["b", "a"])
      assert.deepStrictEqual(yield* ids({ workflow_id: "film" }), ["c", "a"])
      assert.deepStrictEqual(yield* ids({ workflow_id: "film", customer_id: "acme" }), ["a"])
      assert.deepStrictEqual(yield* ids({ workers: [worker("w1"), worker("w3")] }), ["c", "a"])
      assert.deepStrictEqual(yield* ids({ workers: [worker("w1"), worker("w3")], status: "assigned" }), ["c"])
      assert.deepStrictEqual(yield* ids({ workers: [] }), [])
      assert.deepStrictEqual(yield* ids({ created_from: between }), ["d", "c"])
      assert.deepStrictEqual(yield* ids({ created_before: between }), ["b", "a"])
      const { created_at } = yield* jobNow("c")
      assert.include(yield* ids({ created_from: created_at }), "c")
      assert.notInclude(yield* ids({ created_before: created_at }), "c")
    })
  )

  test(
    "positions rise with the time of the submit, and are what a cursor names",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      for (const id of ["a", "b", "c"]) yield* submit(id)
      const { jobs } = yield* queue.list({ limit: 10 })
      const positions = jobs.map(({ position }) => Number(position))
      assert.deepStrictEqual(
        positions,
        positions.toSorted((a, b) => b - a)
      )
      assert.strictEqual(new Set(positions).size, 3)
      const now = yield* time.now
      for (const { position } of jobs) {
        assert.match(position, /^[0-9]{1,16}$/)
        assert.isBelow(Math.abs(Number(position) / 1_000 - now), 60_000)
      }
      const rest = yield* queue.list({ limit: 10, cursor: jobs[1]!.position })
      assert.deepStrictEqual(
        rest.jobs.map(({ job }) => String(job.id)),
        ["a"]
      )
      assert.strictEqual((yield* queue.list({ limit: 2 })).next_cursor, jobs[1]!.position)
    })
  )

  test(
    "a cursor keeps its place while jobs come and change",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (let n = 0; n < 6; n++) yield* submit(`j${n}`)
      const first = yield* queue.list({ limit: 2, status: "pending" })
      assert.deepStrictEqual(
        first.jobs.map(({ job }) => String(job.id)),
        ["j5", "j4"]
      )
      yield* submit("new")
      yield* queue.cancel(jobId("j4"))
      yield* queue.cancel(jobId("j2"))
      const second = yield* queue.list({ limit: 2, status: "pending", cursor: first.next_cursor! })
      assert.deepStrictEqual(
        second.jobs.map(({ job }) => String(job.id)),
        ["j3", "j1"]
      )
      const third = yield* queue.list({ limit: 2, status: "pending", cursor: second.next_cursor! })
      assert.deepStrictEqual(
        third.jobs.map(({ job }) => String(job.id)),
        ["j0"]
      )
      assert.isNull(third.next_cursor)
    })
  )

  test(
    "a rare job is found behind thousands of others, however many pages it takes",
    Effect.gen(function* () {
      yield* submit("rare", { service_required: "rare" })
      yield* Effect.forEach(
        Array.from({ length: 2_600 }, (_, n) => n),
        (n) => submit(`j${n}`),
        { concurrency: 64, discard: true }
      )
      const found = yield* pages({ service_required: "rare", limit: 10 })
      assert.deepStrictEqual(found.flat(), ["rare"])
      const all = (yield* pages({ limit: 100 })).flat()
      assert.strictEqual(new Set(all).size, 2_601)
      assert.strictEqual(all.length, 2_601)
    })
  )

  test(
    "a cursor that no list handed out is refused",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      for (const cursor of ["", "x", "-1", "1.5", " 1", "1 ", "0x10", "1e3", "inf", "99999999999999999", "１"]) {
        const error = yield* Effect.flip(queue.list({ limit: 10, cursor }))
        assert.strictEqual(error._tag, "InvalidCursor", cursor)
      }
      assert.deepStrictEqual((yield* queue.list({ limit: 10, cursor: "0" })).jobs, [])
      assert.strictEqual((yield* queue.list({ limit: 10, cursor: "9999999999999999" })).jobs.length, 1)
    })
  )

  test(
    "what workers hold is told for each that was asked for",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      for (let n = 0; n < 5; n++) yield* submit(`j${n}`)
      yield* claim({ worker: "w1", limit: 2 })
      const [third] = yield* claim({ worker: "w2" })
      const many = Array.from({ length: 150 }, (_, n) => worker(`idle-${n}`))
      const held = yield* queue.heldBy([worker("w1"), worker("w2"), ...many])
      assert.strictEqual(held.size, 152)
      assert.sameMembers([...held.get(worker("w1"))!], ["j0", "j1"])
      assert.deepStrictEqual(held.get(worker("w2")), [jobId("j2")])
      assert.deepStrictEqual(held.get(worker("idle-149")), [])
      yield* queue.complete(third!.fence, 1)
      assert.deepStrictEqual((yield* queue.heldBy([worker("w2")])).get(worker("w2")), [])
      assert.strictEqual((yield* queue.heldBy([])).size, 0)
    })
  )

  test(
    "all that a worker holds is handed back, and nothing of others",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const ids = Array.from({ length: 230 }, (_, n) => `j${n}`)
      for (const id of ids) yield* submit(id)
      const other = yield* claim({ worker: "other" })
      const mine: Array<string> = []
      while (mine.length < 220) {
        mine.push(...(yield* claim({ worker: "w1", limit: 100, capacity: 220 })).map(({ job }) => String(job.id)))
      }
      const [held] = yield* claim({ worker: "w1", capacity: 221 })
      yield* queue.start(held!.fence)
      const returned = yield* queue.giveBackAll(worker("w1"))
      assert.sameMembers(returned.map(String), [...mine, String(held!.job.id)])
      assert.deepStrictEqual(yield* queue.giveBackAll(worker("w1")), [])
      const job = yield* jobNow(held!.job.id)
      assert.deepInclude(job, { status: "pending", retry_count: 0, attempt: 1, worker_id: null, started_at: null })
      assert.strictEqual((yield* Effect.flip(queue.complete(held!.fence, 1)))._tag, "LeaseLost")
      assert.strictEqual((yield* Effect.flip(queue.giveBack(held!.fence)))._tag, "LeaseLost")
      yield* queue.start(other[0]!.fence)
      const order: Array<string> = []
      for (let round = 0; round < 3; round++) {
        order.push(...(yield* claim({ worker: "w2", limit: 100 })).map(({ job }) => String(job.id)))
      }
      assert.deepStrictEqual(order, ids.slice(1))
      assert.deepStrictEqual(yield* claimedIds(), [])
    })
  )
}
