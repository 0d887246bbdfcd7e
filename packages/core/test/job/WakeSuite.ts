/** What the queue tells workers between their claims: that there may be work, and that an attempt is over. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import { listen, park } from "./Listening.ts"
import {
  claim,
  claimOne,
  idsOf,
  inSeconds,
  jobId,
  offer,
  on,
  passTicking,
  type QueueLayer,
  StoreTime,
  submit,
  worker
} from "./QueueTest.ts"

const late = { kind: "Timeout", message: "took too long" } as const
const numbered = (count: number, prefix = "w") => Array.from({ length: count }, (_, n) => `${prefix}${n}`)
const batch = (ids: ReadonlyArray<string>) =>
  ids.map((id) => ({ id: jobId(id), request: request({ service_required: "simulation" }) }))

export const wakeSuite = (layer: QueueLayer): void => {
  const test = on(layer)

  test(
    "noLostWake: a job wakes one idle worker that can run it, the one parked last",
    Effect.gen(function* () {
      const told = yield* listen(["w1", "w2", "other", "elsewhere"])
      yield* park(["w1", "w2"])
      yield* park(["other"], { types: ["other"] })
      yield* park(["elsewhere"], { capabilities: offer({ labels: { region: "us" } }) })
      assert.deepStrictEqual((yield* told).woken, [])
      yield* submit("j1", { requirements: { exclude: { region: "us" } } })
      assert.deepStrictEqual((yield* told).woken, ["w2"])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w2" })), ["j1"])
      // It is at work now, and has not claimed again.
      yield* submit("j2", { requirements: { exclude: { region: "us" } } })
      assert.deepStrictEqual((yield* told).woken, ["w1"])
      yield* submit("j3")
      assert.deepStrictEqual((yield* told).woken, ["elsewhere"])
      yield* submit("j4")
      assert.deepStrictEqual((yield* told).woken, [])
      for (const name of ["w1", "elsewhere"]) assert.strictEqual((yield* claim({ worker: name })).length, 1)
    })
  )

  test(
    "wakesAtMostJobs: of 1,000 idle workers as many are woken as there are jobs",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const names = numbered(1_000)
      const told = yield* listen(names)
      yield* Effect.forEach(names, (name) => claim({ worker: name }), { concurrency: 64, discard: true })
      yield* submit("a")
      yield* submit("b")
      yield* queue.submitMany(batch(numbered(8, "j")))
      const { woken } = yield* told
      assert.strictEqual(woken.length, 10)
      assert.strictEqual(new Set(woken).size, 10)
      const got = yield* Effect.forEach(woken, (name) => claim({ worker: name }))
      assert.strictEqual(new Set(got.flatMap(idsOf)).size, 10)
      assert.deepStrictEqual((yield* told).woken, [])
    })
  )

  test(
    "noLostWake: claims and submits at once leave no job to itself",
    Effect.gen(function* () {
      const names = numbered(40)
      const told = yield* listen(names)
      const [claims] = yield* Effect.all(
        [
          Effect.forEach(names, (name) => claim({ worker: name, capacity: 1 }), { concurrency: "unbounded" }),
          Effect.forEach(names, (_, n) => submit(n), { concurrency: "unbounded" })
        ],
        { concurrency: "unbounded" }
      )
      let done = claims.flat().length
      for (let woken = (yield* told).woken; woken.length > 0; woken = (yield* told).woken) {
        const more = yield* Effect.forEach(woken, (name) => claim({ worker: name, capacity: 1 }), {
          concurrency: "unbounded"
        })
        done += more.flat().length
      }
      assert.strictEqual(done, names.length)
    })
  )

  test(
    "a job wakes a worker whichever way it comes to wait",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const told = yield* listen(["w1"])
      const idle = Effect.gen(function* () {
        yield* park(["w1"])
        assert.deepStrictEqual((yield* told).woken, [])
      })
      const runs = Effect.gen(function* () {
        assert.deepStrictEqual((yield* told).woken, ["w1"])
        return yield* claimOne("w1")
      })
      yield* submit("j")
      const first = yield* claimOne("w0")
      yield* idle
      yield* queue.giveBack(first.fence)
      const returned = yield* runs
      yield* idle
      yield* queue.fail(returned.fence, late, { delay: Duration.zero, usesRetry: true })
      const failed = yield* runs
      yield* idle
      yield* queue.fail(failed.fence, late, { delay: Duration.seconds(10), usesRetry: true })
      assert.deepStrictEqual((yield* told).woken, [])
      yield* passTicking("11 seconds")
      const promoted = yield* runs
      yield* park(["w1"])
      yield* queue.fail(promoted.fence, late, null)
      yield* idle
      yield* queue.retry(jobId("j"))
      yield* runs
      yield* park(["w1"])
      yield* queue.giveBackAll(worker("w1"))
      yield* runs
      yield* passTicking("25 seconds")
      yield* park(["w1"])
      yield* passTicking("6 seconds")
      yield* runs
    })
  )

  for (const [how, leaves] of Object.entries({
    "stops claiming": (name: string) => Effect.flatMap(JobQueue, (queue) => queue.leaveIdle(worker(name))),
    "is paused": (name: string) => Effect.flatMap(JobQueue, (queue) => queue.setStanding(worker(name), "paused")),
    "is drained": (name: string) => Effect.flatMap(JobQueue, (queue) => queue.setStanding(worker(name), "draining")),
    "is unregistered": (name: string) => Effect.flatMap(JobQueue, (queue) => queue.setStanding(worker(name), "gone")),
    "claims with other capabilities": (name: string) => claim({ worker: name, types: ["other"] })
  })) {
    test(
      `noLostWake: a woken worker that ${how} passes its wake on`,
      Effect.gen(function* () {
        const told = yield* listen(["w1", "w2"])
        yield* park(["w1", "w2"])
        yield* submit("j")
        assert.deepStrictEqual((yield* told).woken, ["w2"])
        yield* leaves("w2")
        assert.deepStrictEqual((yield* told).woken, ["w1"])
        assert.deepStrictEqual(idsOf(yield* claim({ worker: "w1" })), ["j"])
      })
    )
  }

  test(
    "noLostWake: a woken worker that is given another job than the one it was woken for passes its wake on",
    Effect.gen(function* () {
      const told = yield* listen(["a", "b", "both"])
      yield* park(["a"], { types: ["a"] })
      yield* park(["b"], { types: ["b"] })
      yield* park(["both"], { types: ["a", "b"] })
      yield* submit("of-a", { service_required: "a" })
      assert.deepStrictEqual((yield* told).woken, ["both"])
      yield* submit("of-b", { service_required: "b", priority: 90 })
      assert.deepStrictEqual((yield* told).woken, ["b"])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "both", types: ["a", "b"] })), ["of-b"])
      assert.deepStrictEqual((yield* told).woken, ["a"])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "b", types: ["b"] })), [])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "a", types: ["a"] })), ["of-a"])
      assert.deepStrictEqual((yield* told).woken, [])
    })
  )

  test(
    "a worker that has left is not woken, and one that was not woken has nothing to pass on",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const told = yield* listen(["w1", "w2"])
      yield* park(["w1", "w2"])
      yield* queue.leaveIdle(worker("w2"))
      yield* queue.leaveIdle(worker("w2"))
      yield* queue.leaveIdle(worker("never-seen"))
      yield* submit("j")
      assert.deepStrictEqual((yield* told).woken, ["w1"])
      yield* queue.leaveIdle(worker("w1"))
      assert.deepStrictEqual((yield* told).woken, [])
    })
  )

  test(
    "noLostWake: a wake that no claim follows within a second goes to another worker",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      const told = yield* listen(["w1", "w2"])
      yield* park(["w1", "w2"])
      yield* submit("j")
      assert.deepStrictEqual((yield* told).woken, ["w2"])
      // On a store's own clock time passes besides.
      yield* time.setBack("1 minute")
      yield* queue.tick
      assert.deepStrictEqual((yield* told).woken, [])
      yield* time.pass("61500 millis")
      yield* queue.tick
      assert.deepStrictEqual((yield* told).woken, ["w1"])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w1" })), ["j"])
    })
  )

  test(
    "a wake whose job is gone goes to nobody",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      const told = yield* listen(["w1", "w2"])
      yield* park(["w1", "w2"])
      yield* submit("j")
      assert.deepStrictEqual((yield* told).woken, ["w2"])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w3" })), ["j"])
      yield* time.pass("1500 millis")
      yield* queue.tick
      yield* queue.leaveIdle(worker("w2"))
      assert.deepStrictEqual((yield* told).woken, [])
    })
  )

  test(
    "a worker that has been silent for long is taken for dead, until it claims again",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const time = yield* StoreTime
      const told = yield* listen(["w1", "w2"])
      yield* park(["w1"])
      yield* time.pass("15 seconds")
      yield* park(["w2"])
      yield* time.pass("6 seconds")
      yield* queue.tick
      yield* submit("a")
      yield* submit("b")
      assert.deepStrictEqual((yield* told).woken, ["w2"])
      assert.deepStrictEqual(idsOf(yield* claim({ worker: "w1" })), ["a"])
    })
  )

  test(
    "a scheduled job wakes nobody before it is due",
    Effect.gen(function* () {
      const told = yield* listen(["w1"])
      yield* park(["w1"])
      yield* submit("j", { run_at: yield* inSeconds(10) })
      assert.deepStrictEqual((yield* told).woken, [])
    })
  )

  test(
    "who holds a job is told when it is taken away, and nobody else",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const told = yield* listen(["w1", "w2"])
      for (const id of ["cancelled", "returned", "lost"]) yield* submit(id)
      const [cancelled] = yield* claim({ worker: "w1" })
      const [returned] = yield* claim({ worker: "w2" })
      yield* queue.cancel(jobId("cancelled"))
      yield* queue.cancel(jobId("cancelled"))
      assert.deepStrictEqual((yield* told).fenced, [{ worker: "w1", fence: cancelled!.fence }])
      yield* queue.giveBackAll(worker("w2"))
      assert.deepStrictEqual((yield* told).fenced, [{ worker: "w2", fence: returned!.fence }])
      yield* queue.cancel(jobId("returned"))
      const [lost] = yield* claim({ worker: "w1" })
      assert.deepStrictEqual((yield* told).fenced, [])
      yield* passTicking("31 seconds")
      assert.deepStrictEqual((yield* told).fenced, [{ worker: "w1", fence: lost!.fence }])
    })
  )

  test(
    "all who listen in one name are told",
    Effect.gen(function* () {
      const one = yield* listen(["w1"])
      const two = yield* listen(["w1"])
      yield* park(["w1"])
      yield* submit("j")
      assert.deepStrictEqual((yield* one).woken, ["w1"])
      assert.deepStrictEqual((yield* two).woken, ["w1"])
    })
  )
}
