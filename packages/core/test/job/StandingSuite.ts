/** Workers that are paused, draining or gone. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { listen, park } from "./Listening.ts"
import {
  claim,
  claimOne,
  complete,
  idsOf,
  jobId,
  jobNow,
  nonce,
  offer,
  on,
  type QueueLayer,
  StoreTime,
  submit,
  worker
} from "./QueueTest.ts"

const closed = ["paused", "draining", "gone"] as const

export const standingSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  for (const standing of closed) {
    test(
      `a worker that is ${standing} gets nothing, keeps what it holds, and is woken when it is open again`,
      Effect.gen(function* () {
        const queue = yield* JobQueue
        const told = yield* listen(["w1", "w2"])
        yield* submit("held")
        const held = yield* claimOne("w1")
        yield* queue.setStanding(worker("w1"), standing)
        yield* submit("waits")
        assert.deepStrictEqual(yield* claim({ worker: "w1" }), [])
        assert.deepStrictEqual((yield* told).woken, [])
        yield* queue.start(held.fence)
        assert.deepStrictEqual(yield* queue.renew({ worker_id: worker("w1"), fences: [held.fence] }), [])
        assert.strictEqual((yield* complete(held.fence, 1)).status, "completed")

        yield* queue.setStanding(worker("w1"), "open")
        assert.deepStrictEqual((yield* told).woken, ["w1"])
        assert.deepStrictEqual(idsOf(yield* claim({ worker: "w1" })), ["waits"])
      })
    )
  }

  test(
    "a worker that is not open is not woken for a job, whether it claimed before or after",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const told = yield* listen(["before", "after", "open"])
      yield* park(["open", "before"])
      yield* queue.setStanding(worker("before"), "paused")
      yield* queue.setStanding(worker("after"), "draining")
      yield* park(["after"])
      yield* submit("a")
      yield* submit("b")
      assert.deepStrictEqual((yield* told).woken, ["open"])
      yield* queue.setStanding(worker("before"), "open")
      assert.deepStrictEqual((yield* told).woken, ["before"])
    })
  )

  test(
    "the standings are told of those that are not open, the last one each",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      assert.strictEqual((yield* queue.standings).size, 0)
      for (const standing of closed) yield* queue.setStanding(worker(standing), standing)
      yield* queue.setStanding(worker("changed"), "paused")
      yield* queue.setStanding(worker("changed"), "draining")
      yield* queue.setStanding(worker("opened"), "paused")
      yield* queue.setStanding(worker("opened"), "open")
      yield* queue.setStanding(worker("always"), "open")
      const expected = new Map<string, string>(closed.map((standing) => [standing, standing]))
      assert.deepStrictEqual(new Map<string, string>(yield* queue.standings), expected.set("changed", "draining"))
    })
  )

  test(
    "a worker that was gone and is paused stays so, however long that was",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      yield* queue.setStanding(worker("w1"), "gone")
      yield* queue.setStanding(worker("w1"), "paused")
      yield* time.pass("25 hours")
      yield* queue.tick
      assert.strictEqual((yield* queue.standings).get(worker("w1")), "paused")
      yield* submit("j")
      assert.deepStrictEqual(yield* claim({ worker: "w1" }), [])
    })
  )

  test(
    "a worker that was paused before it was ever seen gets nothing",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.setStanding(worker("w1"), "paused")
      yield* submit("j")
      assert.deepStrictEqual(yield* claim({ worker: "w1" }), [])
      yield* queue.setStanding(worker("w1"), "open")
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w1" })), ["j"])
    })
  )

  test(
    "a paused worker still hears of the jobs of a claim whose answer was lost",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* submit("j")
      const request = { worker_id: worker("w1"), capabilities: offer(), capacity: 9, limit: 1, nonce: nonce() }
      yield* queue.claim(request)
      yield* queue.setStanding(worker("w1"), "paused")
      const again = yield* queue.claim({ ...request, again: true })
      assert.deepStrictEqual(
        again.map(({ id }) => id),
        [jobId("j")]
      )
      assert.strictEqual((yield* jobNow("j")).status, "assigned")
    })
  )

  test(
    "jobs that a drained worker hands back go to others",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const told = yield* listen(["w1", "w2"])
      yield* submit("j")
      yield* claimOne("w1")
      yield* park(["w2"])
      yield* queue.setStanding(worker("w1"), "draining")
      yield* queue.giveBackAll(worker("w1"))
      assert.deepStrictEqual((yield* told).woken, ["w2"])
      assert.deepStrictEqual(yield* claim({ worker: "w1" }), [])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w2" })), ["j"])
    })
  )
}
