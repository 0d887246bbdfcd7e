/** What tells an attempt from every other one, also when Redis has lost its last writes, and answers on their way. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { stat, truncate } from "node:fs/promises"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { claim, claimOne, jobNow, nonce, offer, submit, worker } from "../../../core/test/job/QueueTest.ts"
import { appendFile, eventually, queueOn } from "./OwnRedis.ts"

it.live(
  "fenceNeverReused: a claim that Redis has forgotten cannot end the attempt that has its number",
  () =>
    Effect.gen(function* () {
      const server = yield* startRedis({ fsync: "always" })
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        for (const id of ["completed", "running"]) yield* submit(id)
        const file = yield* appendFile(server.url)
        const { size } = yield* Effect.promise(() => stat(file))
        const [completed, running] = yield* claim({ limit: 2 })
        yield* queue.start(running!.fence)
        yield* queue.complete(completed!.fence, "of the forgotten attempt")

        yield* server.kill
        yield* Effect.promise(() => truncate(file, size))
        yield* server.restart
        yield* eventually(queue.ping)
        assert.deepInclude(yield* jobNow("completed"), { status: "pending", attempt: 0 })

        const again = yield* claim({ worker: "w2", limit: 2 })
        for (const [at, old] of [completed!, running!].entries()) {
          assert.strictEqual(again[at]!.fence.attempt, old.fence.attempt)
          for (const report of [
            queue.start(old.fence),
            queue.progress(old.fence, { percent: 1 }),
            queue.complete(old.fence, "of the forgotten attempt"),
            queue.fail(old.fence, { kind: "Timeout", message: "late" }, null),
            queue.giveBack(old.fence)
          ]) {
            assert.strictEqual((yield* Effect.flip(report))._tag, "LeaseLost")
          }
        }
        const old = [completed!.fence, running!.fence]
        assert.deepStrictEqual(yield* queue.renew({ worker_id: worker("w1"), fences: old }), old)
        for (const { fence } of again) yield* queue.complete(fence, "of the second")
        assert.deepInclude(yield* jobNow("completed"), { status: "completed", result: "of the second" })
        assert.deepInclude(yield* jobNow("running"), { status: "completed", worker_id: worker("w2") })
      }).pipe(Effect.provide(queueOn(server.url)))
    }),
  120_000
)

it.live("lostReplyLeaksNoLease: a repeated claim of many jobs gets each of them once", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const all = Array.from({ length: 130 }, (_, n) => `j${n}`)
      for (const id of all) yield* submit(id)
      const request = {
        worker_id: worker(),
        capabilities: offer(),
        capacity: 1_000,
        limit: 200,
        nonce: nonce()
      }
      // Nothing was given before: it is as a first claim.
      const first = yield* queue.claim({ ...request, again: true })
      assert.deepStrictEqual(
        first.map(({ id }) => String(id)),
        all
      )
      const again = yield* queue.claim({ ...request, again: true })
      assert.sameMembers(
        again.map(({ id }) => String(id)),
        all
      )
      assert.strictEqual((yield* queue.heldBy([worker()])).get(worker())?.length, all.length)
      assert.strictEqual((yield* jobNow("j0")).attempt, 1)
      assert.strictEqual((yield* claimOne("w2").pipe(Effect.exit))._tag, "Failure")
    }).pipe(Effect.provide(queueOn(url)))
  })
)
