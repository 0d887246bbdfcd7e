/** emptyAfterGC: what comes and goes leaves nothing. */
import { assert, it } from "@effect/vitest"
import { DateTime, Effect, Layer } from "effect"
import { type Fence, request } from "@muster/core/job/Job"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import type { Capabilities } from "@muster/core/worker/Worker"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { claim, jobId, settings, StoreTime, submit, worker } from "../../../core/test/job/QueueTest.ts"
import { redisCli } from "./OwnRedis.ts"
import { queueAt } from "./RedisQueueTest.ts"

const late = { kind: "Timeout", message: "late" } as const

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

/** What is left when all has gone: the facts of the queue itself. */
const meta = `{muster:${settings.name}}:meta`
const stream = `{muster:${settings.name}}:log`

it.live(
  "emptyAfterGC: thousands of jobs, hundreds of classes and of kinds of workers",
  () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis({ appendOnly: false })
      const keys = Effect.map(redisCli(url, ["KEYS", "*"]), (found) => (found as ReadonlyArray<string>).toSorted())
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        const time = yield* StoreTime
        // What this process is told is read, as by a real one.
        yield* queue.signals(worker("w0"))
        let made = 0
        for (const round of numbers(2)) {
          const kinds = numbers(100).map((n): Capabilities => ({
            job_types: ["x", "y"],
            labels: { n, round, ...(n % 5 === 0 ? { machine_id: `m${n}` } : {}) },
            ...(n % 10 === 0 ? { customers: { deny: [`c${n}-${round}`] } } : {}),
            ...(n % 50 === 1 ? { workflow_id: `f${n}-${round}` } : {})
          }))
          yield* Effect.forEach(kinds, (capabilities, n) => claim({ worker: `w${n}`, capabilities }), {
            concurrency: 40
          })
          const now = yield* time.now
          const jobs = numbers(1_000).map((n) => ({
            id: jobId(`j${++made}`),
            request: request({
              service_required: n % 3 === 0 ? "x" : "y",
              requirements: [
                {},
                { labels: { n: n % 30 } },
                { exclude: { n: n % 20 } },
                { labels: { machine_id: `m${n % 15}` } }
              ][n % 4]!,
              customer_id: n % 7 === 0 ? `c${n % 50}-${round}` : null,
              workflow_id: n % 11 === 0 ? `f${n % 60}-${round}` : null,
              max_retries: n % 3,
              run_at: n % 13 === 0 ? DateTime.makeUnsafe(now + 5_000) : null,
              expires_at: n % 17 === 0 ? DateTime.makeUnsafe(now + 30_000) : null
            })
          }))
          yield* queue.submitMany(jobs)
          const held = (yield* Effect.forEach(
            kinds.slice(0, 60),
            (capabilities, n) => claim({ worker: `w${n}`, capabilities, limit: 25 }),
            { concurrency: 20 }
          )).flat()
          assert.isAbove(held.length, 300)
          const ends: ReadonlyArray<(fence: Fence) => Effect.Effect<unknown, unknown>> = [
            (fence) => queue.complete(fence, { image: "x".repeat(200) }),
            (fence) => queue.fail(fence, late, null),
            (fence) => Effect.andThen(queue.giveBack(fence), Effect.exit(queue.complete(fence, "too late"))),
            (fence) => Effect.andThen(queue.start(fence), queue.progress(fence, { percent: 1 })),
            (fence) => queue.cancel(fence.job_id),
            () => Effect.void
          ]
          yield* Effect.forEach(held, ({ fence }, n) => ends[n % ends.length]!(fence), { concurrency: 40 })
          const ended = yield* queue.unarchived(100)
          yield* queue.markArchived(ended.map(({ job }) => ({ id: job.id, finished_at: job.finished_at! })))
          assert.isAbove(ended.length, 90)
          yield* queue.retryFailed({ service_required: "x" })
          for (const n of numbers(40)) yield* queue.setStanding(worker(`w${n}`), n % 2 === 0 ? "gone" : "paused")
          for (const n of numbers(20)) yield* queue.giveBackAll(worker(`w${n}`))
          yield* queue.tick
          // Leases end, and what still waits is cancelled.
          for (let pass = 0; pass < 4; pass++) {
            yield* time.pass("35 seconds")
            yield* Effect.repeat(queue.tick, { until: ({ more }) => !more })
          }
          yield* Effect.forEach(numbers(made), (n) => Effect.exit(queue.cancel(jobId(`j${n + 1}`))), {
            concurrency: 40
          })
        }
        assert.isAbove((yield* keys).length, 3_000)

        for (const n of numbers(40)) yield* queue.setStanding(worker(`w${n}`), "open")
        // Idle workers that died: those that a wake finds, and those that none does.
        const dead = (name: string) =>
          Effect.forEach(numbers(250), (n) => claim({ worker: `${name}${n}`, types: [name] }), { concurrency: 40 })
        yield* dead("found")
        yield* dead("unfound")
        yield* time.pass("40 seconds")
        for (const n of numbers(3)) yield* submit(`found${n}`, { service_required: "found" })
        for (const n of numbers(3)) yield* queue.cancel(jobId(`found${n}`))
        // Each tick looks at one kind of idle workers, by chance.
        for (let hour = 0; hour < 100; hour++) {
          yield* claim({ worker: "lives", types: ["unfound"] })
          yield* time.pass("1 hour")
          yield* queue.tick
        }
        assert.deepStrictEqual(yield* redisCli(url, ["HKEYS", `{muster:${settings.name}}:workers`]), ["lives"])
        for (let day = 0; day < 6; day++) {
          yield* time.pass("1 day")
          yield* Effect.repeat(queue.tick, { until: ({ more }) => !more })
        }
        const log = yield* EventLog
        yield* Effect.repeat(log.trim(null), { while: (more) => more })
        // An empty stream remains, for it knows its last entry.
        assert.deepStrictEqual(yield* keys, [stream, meta])
        assert.strictEqual(yield* redisCli(url, ["XLEN", stream]), 0)
        assert.isBelow(Number(yield* redisCli(url, ["MEMORY", "USAGE", stream])), 1_000)
        assert.isBelow(Number(yield* redisCli(url, ["HLEN", meta])), 12)
      }).pipe(Effect.provide(Layer.fresh(queueAt(url))), Effect.provideService(QueueSettings, settings))
    }),
  120_000
)
