/** Claims that stand: what a wake gives them at once, when they end, and that nothing they were given gets lost. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Queue } from "effect"
import type { RunningConnector } from "@muster/core/connector/Connector"
import * as JobRunner from "@muster/core/connector/runner/JobRunner"
import * as Offering from "@muster/core/connector/runtime/Offering"
import { JobQueue, type Signal } from "@muster/core/job/internal/JobQueue"
import type { Capabilities } from "@muster/core/worker/Worker"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { claim, jobNow, nonce, offer, settings, submit, worker } from "../../../core/test/job/QueueTest.ts"
import { eventually, queueOn, redisCli } from "./OwnRedis.ts"

/** Claims, and leaves the claim standing when it finds nothing; gives its nonce. */
const stand = (
  name: string,
  over: { readonly capabilities?: Capabilities; readonly capacity?: number; readonly limit?: number } = {}
) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const mine = nonce()
    const request = { worker_id: worker(name), capabilities: offer(), capacity: 1, limit: 1, ...over }
    assert.deepStrictEqual(yield* queue.claim({ ...request, nonce: mine, standing: true }), [])
    return mine
  })

/** Whether a connection waits for what its process is told. */
const listens = (url: string) =>
  eventually(Effect.filterOrFail(redisCli(url, ["CLIENT", "LIST"]), (list) => String(list).includes(" cmd=blmpop ")))

/** Waits until what stood has been answered: it is when a look ends, and heard of when the next one does. */
const answered = Effect.gen(function* () {
  const queue = yield* JobQueue
  const mark = yield* queue.signals(worker("mark"))
  for (let look = 0; look < 2; look++) {
    yield* claim({ worker: "mark", types: ["nothing"] })
    yield* queue.setStanding(worker("mark"), "paused")
    yield* queue.setStanding(worker("mark"), "open")
    yield* Queue.take(mark)
  }
}).pipe(Effect.scoped)

const given = (signal: Signal) => {
  if (signal._tag !== "Given") return assert.fail(`told ${signal._tag}`)
  const [job, ...others] = signal.jobs
  assert.deepStrictEqual(others, [])
  return { job: job!, fence: { job_id: job!.id, attempt: job!.attempt, nonce: signal.nonce } }
}

it.live("a standing claim is given the next job in order with its wake, once", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const told = yield* queue.signals(worker("w1"))
      yield* listens(url)
      for (const id of ["first", "second", "third"]) {
        const mine = yield* stand("w1")
        yield* submit(id)
        const { fence, job } = given(yield* Queue.take(told))
        assert.deepInclude(job, { id: id as typeof job.id, attempt: 1, status: "assigned", worker_id: worker("w1") })
        assert.strictEqual(fence.nonce, mine)
        assert.deepInclude(yield* jobNow(id), { attempt: 1, status: "assigned" })
        // It is at work and does not ask for more.
        yield* submit(`beside-${id}`)
        yield* queue.complete(fence, null)
        const [beside] = yield* claim({ worker: "w1" })
        yield* queue.complete(beside!.fence, null)
      }
      assert.deepStrictEqual(yield* Queue.clear(told), [])
    }).pipe(Effect.provide(queueOn(url)))
  })
)

it.live("of many workers of one process each is given one job, by its standing claim or when it claims", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const names = Array.from({ length: 12 }, (_, n) => `w${n}`)
      const ears = yield* Effect.forEach(names, (name) => queue.signals(worker(name)))
      yield* listens(url)
      for (let round = 0; round < 5; round++) {
        const nonces = yield* Effect.forEach(names, (name) => stand(name))
        yield* Effect.forEach(names, (_, n) => submit(`j${round}-${n}`), { concurrency: "unbounded" })
        const ids = yield* Effect.forEach(
          names,
          Effect.fnUntraced(function* (name, n) {
            const signal = yield* Queue.take(ears[n]!)
            if (signal._tag !== "Given") {
              const [mine] = yield* claim({ worker: name, capacity: 1 })
              yield* queue.complete(mine!.fence, null)
              return mine!.job.id
            }
            const { fence, job } = given(signal)
            assert.strictEqual(fence.nonce, nonces[n])
            yield* queue.complete(fence, null)
            return job.id
          })
        )
        assert.strictEqual(new Set(ids).size, names.length)
      }
    }).pipe(Effect.provide(queueOn(url)))
  })
)

it.live("a worker that has claimed again, left, or was paused is given nothing by a claim that stood before", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const told = yield* queue.signals(worker("w1"))
      yield* listens(url)
      const ends = {
        left: queue.leaveIdle(worker("w1")),
        paused: queue.setStanding(worker("w1"), "paused"),
        // It denies the customer now.
        changed: claim({ worker: "w1", capabilities: offer({ customers: { deny: ["c1"] } }) })
      }
      for (const [how, end] of Object.entries(ends)) {
        yield* stand("w1", { capabilities: offer() })
        yield* end
        yield* submit(how, { customer_id: "c1" })
        yield* answered
        assert.deepInclude(yield* jobNow(how), { attempt: 0, status: "pending" })
        assert.notInclude(
          (yield* Queue.clear(told)).map(({ _tag }) => _tag),
          "Given"
        )
        yield* queue.setStanding(worker("w1"), "open")
        const [mine] = yield* claim({ worker: "w1" })
        yield* queue.complete(mine!.fence, null)
        yield* Queue.clear(told)
      }
    }).pipe(Effect.provide(queueOn(url)))
  })
)

it.live("lostReplyLeaksNoLease: who leaves has heard of everything that its standing claim was given", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    const both = yield* Effect.all([Layer.build(queueOn(url)), Layer.build(queueOn(url))])
    const on = (n: 0 | 1) => Effect.provideContext(both[n])
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const told = yield* queue.signals(worker("w1"))
      yield* listens(url)
      let heard = 0
      for (let round = 0; round < 100; round++) {
        yield* stand("w1")
        const submitting = yield* Effect.forkChild(Effect.provideContext(submit(round), both[1]), {
          startImmediately: true
        })
        yield* queue.leaveIdle(worker("w1"))
        const signals = yield* Queue.clear(told)
        yield* Fiber.join(submitting)
        const job = yield* jobNow(round)
        const signal = signals.find(({ _tag }) => _tag === "Given")
        if (signal === undefined) {
          assert.deepInclude(job, { status: "pending", attempt: 0 }, `round ${round}`)
          yield* queue.cancel(job.id)
        } else {
          heard++
          yield* queue.complete(given(signal).fence, null)
          assert.strictEqual((yield* jobNow(round)).status, "completed")
        }
      }
      assert.isAtMost(heard, 100)
    }).pipe(on(0))
  })
)

it.live(
  "lostReplyLeaksNoLease: a standing claim whose connection breaks is unheard of, and claimed again",
  () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        const told = yield* queue.signals(worker("w1"))
        for (const id of ["first", "second", "third"]) {
          yield* listens(url)
          const mine = yield* stand("w1")
          yield* redisCli(url, ["CLIENT", "KILL", "TYPE", "normal"])
          // A wake for the job before may still come, which was found without it.
          const signal = yield* Queue.take(told).pipe(Effect.repeat({ while: ({ _tag }) => _tag === "Wake" }))
          assert.deepStrictEqual(signal, { _tag: "Unheard", nonce: mine })
          yield* submit(id).pipe(eventually)
          const request = { worker_id: worker("w1"), capabilities: offer(), capacity: 1, limit: 1, nonce: mine }
          const [job] = yield* eventually(queue.claim({ ...request, again: true }))
          assert.deepInclude(job, { id: id as NonNullable<typeof job>["id"], attempt: 1 })
          yield* queue.complete({ job_id: job!.id, attempt: 1, nonce: mine }, null)
          yield* Queue.clear(told)
        }
      }).pipe(Effect.provide(queueOn(url)))
    }),
  30_000
)

it.live(
  "lostReplyLeaksNoLease: idle workers whose connections break again and again run each job once, at its first attempt",
  () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      // Of one process each.
      const queues = yield* Effect.all([
        Layer.build(queueOn(url)),
        Layer.build(queueOn(url)),
        Layer.build(queueOn(url))
      ])
      const runs = new Map<string, number>()
      const connector: RunningConnector = {
        health: Effect.void,
        process: ({ id }) => Effect.sync(() => void runs.set(id, (runs.get(id) ?? 0) + 1))
      }
      for (const [n, name] of ["a", "b", "c", "c"].entries()) {
        const offering = Offering.fixed(offer(), new Map([["simulation", connector]]))
        const runner = JobRunner.run({ worker_id: worker(`${name}${n}`), offering, capacity: 1 + (n % 2) })
        yield* Effect.forkScoped(Effect.provideContext(runner, queues[Math.min(n, 2)]!))
      }
      yield* Effect.gen(function* () {
        const ids = Array.from({ length: 150 }, (_, n) => `j${n}`)
        for (const [n, id] of ids.entries()) {
          if (n % 10 === 9) yield* redisCli(url, ["CLIENT", "KILL", "TYPE", "normal"]).pipe(Effect.ignore)
          yield* eventually(submit(id))
          yield* Effect.sleep(n % 7)
        }
        const ended = Effect.forEach(ids, jobNow)
        const jobs = yield* eventually(
          Effect.filterOrFail(ended, (all) => all.every(({ status }) => status === "completed"))
        )
        assert.deepStrictEqual(
          jobs.filter(({ attempt }) => attempt !== 1),
          []
        )
        assert.deepStrictEqual([...runs.values()], Array(ids.length).fill(1))
      }).pipe(Effect.provideContext(queues[0]))
    }),
  60_000
)

it.live("no claim stands where leases are short: they are counted from when it was sent", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const told = yield* queue.signals(worker("w1"))
      yield* listens(url)
      yield* stand("w1")
      yield* submit("j")
      assert.deepStrictEqual(yield* Queue.take(told), { _tag: "Wake" })
      assert.deepInclude(yield* jobNow("j"), { attempt: 0, status: "pending" })
    }).pipe(Effect.provide(queueOn(url, { ...settings, lease: Duration.seconds(5) })))
  })
)
