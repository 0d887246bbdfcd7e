/**
 * luaCallBounded: no call of a function does much, whatever there is: one that did would hold up everybody. Counted in
 * commands that Redis runs within the call; it does about a thousand in a millisecond.
 */
import { assert, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Layer, Redacted, Semaphore } from "effect"
import { type Fence, type JobRequest, request } from "@muster/core/job/Job"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import type { Capabilities } from "@muster/core/worker/Worker"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { jobId, nonce, settings, StoreTime, worker } from "../../../core/test/job/QueueTest.ts"
import * as RedisTime from "./RedisTime.ts"

const mostCommands = 1_000

/** The functions one at a time, and the most commands that any call of each has run, with the part it was in. */
const counted = Effect.gen(function* () {
  const redis = yield* Redis.Redis
  const functions = yield* RedisFunctions.RedisFunctions
  const oneAtATime = yield* Semaphore.make(1)
  const most = new Map<string, { readonly commands: number; readonly part: string }>()
  let part = ""
  const commands = Effect.map(redis.send("INFO", ["commandstats"]), (text) => {
    const calls = [...String(text).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)]
    return calls.reduce((sum, [, name, calls]) => (/^(fcall|info|config)/.test(name!) ? sum : sum + Number(calls)), 0)
  })
  const call: RedisFunctions.FunctionCalls["call"] = (name, queue, args) =>
    Effect.gen(function* () {
      yield* redis.send("CONFIG", ["RESETSTAT"])
      const reply = yield* functions.call(name, queue, args)
      const ran = yield* commands
      if (ran > (most.get(name)?.commands ?? 0)) most.set(name, { commands: ran, part })
      return reply
    }).pipe(oneAtATime.withPermits(1))
  const begin = (name: string) => {
    part = name
  }
  return { most, begin, functions: RedisFunctions.RedisFunctions.of({ call }) }
})

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

it.live(
  "luaCallBounded: with hundreds of jobs, classes and signatures, and everything due at once",
  () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis({ appendOnly: false })
      const connection = yield* Layer.build(
        RedisFunctions.layer.pipe(Layer.provideMerge(Redis.layer(Redacted.make(url))))
      )
      const { begin, functions, most } = yield* Effect.provideContext(counted, connection)
      const layer = RedisTime.layer.pipe(
        Layer.provide(Layer.succeed(RedisFunctions.RedisFunctions, functions)),
        Layer.provide(Layer.succeedContext(connection)),
        Layer.provide(Layer.succeed(QueueSettings, { ...settings, tickInterval: Duration.days(1) }))
      )
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        const time = yield* StoreTime
        const log = yield* EventLog
        let made = 0
        const classes = 60
        /** A job of the nth class, which all but one kind of workers of the job type match. */
        const job = (n: number, over: Partial<JobRequest> = {}) => ({
          id: jobId(`j${++made}`),
          request: request({
            service_required: "x",
            requirements: { exclude: { n: n % classes } },
            priority: 50 + (n % 7),
            max_retries: 100,
            ...over
          })
        })
        const kind = (n: number): Capabilities => ({ job_types: ["x"], labels: { n } })
        const claim = (by: string, capabilities: Capabilities, limit: number, again = false, mine = nonce()) =>
          Effect.map(
            queue.claim({ worker_id: worker(by), capabilities, capacity: 10_000, limit, nonce: mine, again }),
            (jobs) => jobs.map(({ attempt, id }): Fence => ({ job_id: id, attempt, nonce: mine }))
          )
        const tickAll = Effect.repeat(queue.tick, { until: ({ more }) => !more })
        const claimAll = (by: string) => claim(by, kind(0), 10_000)

        begin("a job that hundreds of signatures match")
        yield* Effect.forEach(numbers(400), (n) => claim(`y${n}`, { job_types: ["y"], labels: { n } }, 1), {
          concurrency: 40
        })
        for (let round = 0; round < 3; round++) {
          const { id, request } = job(0, { service_required: "y", requirements: {} })
          yield* queue.submit(id, request)
          const [fence] = yield* claim("y0", { job_types: ["y"], labels: { n: 0 } }, 1)
          yield* queue.giveBack(fence!)
          yield* queue.cancel(id)
        }
        begin("the signatures come and park")
        yield* Effect.forEach(numbers(300), (n) => claim(`w${n}`, kind(n), 1), { concurrency: 40 })
        begin("all classes at once")
        yield* queue.submitMany(numbers(400).map((n) => job(n)))
        begin("one worker takes all")
        const mine = nonce()
        const held = yield* claim("w0", kind(0), 10_000, false, mine)
        begin("it asks for them again")
        yield* claim("w0", kind(0), 10_000, true, mine)
        begin("it renews them")
        yield* queue.renew({ worker_id: worker("w0"), fences: held })
        begin("it forgot them")
        yield* time.pass("6 seconds")
        yield* queue.renew({ worker_id: worker("w0"), fences: held.slice(0, 5) })
        begin("all is handed back")
        yield* queue.giveBackAll(worker("w0"))
        yield* claimAll("w0")
        begin("single submits of all classes at once")
        yield* Effect.forEach(
          numbers(200).map((n) => job(n)),
          ({ id, request }) => queue.submit(id, request),
          {
            concurrency: "unbounded"
          }
        )
        begin("forty claim at once")
        const given = yield* Effect.forEach(numbers(40), (n) => claim(`w${n}`, kind(n), 40), { concurrency: 40 })
        begin("all of them fail at once")
        const failed = { kind: "Timeout", message: "late" } as const
        yield* Effect.forEach(given.flat(), (fence) => queue.fail(fence, failed, null), { concurrency: "unbounded" })
        yield* Effect.forEach(yield* claimAll("w0"), (fence) => queue.fail(fence, failed, null), {
          concurrency: "unbounded"
        })
        begin("all are retried")
        yield* queue.retryFailed({})
        begin("all are handed back one by one")
        yield* Effect.forEach(yield* claimAll("w0"), (fence) => queue.giveBack(fence), { concurrency: "unbounded" })
        begin("leases of all end")
        yield* claimAll("w0")
        yield* queue.tick
        yield* time.pass("1 minute")
        yield* tickAll
        begin("all are due")
        yield* claimAll("w0")
        const soon = { run_at: DateTime.makeUnsafe((yield* time.now) + 10_000) }
        yield* queue.submitMany(numbers(400).map((n) => job(n, soon)))
        yield* time.pass("11 seconds")
        yield* tickAll
        begin("all expire")
        const brief = { expires_at: DateTime.makeUnsafe((yield* time.now) + 10_000) }
        yield* queue.submitMany(numbers(400).map((n) => job(n, brief)))
        yield* time.pass("11 seconds")
        yield* tickAll
        begin("a rare job is listed")
        yield* queue.list({ service_required: "rare", limit: 100 })
        yield* queue.list({ limit: 100 })
        yield* queue.list({ customer_id: "nobody", workers: [worker("nobody")], limit: 100 })
        begin("all classes wait, and what comes last is looked for")
        const waiting = yield* queue.submitMany(numbers(400).map((n) => job(n, { priority: 0 })))
        for (const { id } of waiting.slice(-70)) yield* queue.place(id)
        yield* queue.counts
        for (let after: string | null = null, page = 0; page === 0 || after !== null; page++) {
          after = (yield* queue.classes(after)).next
        }
        begin("jobs of one time in many classes")
        const at = DateTime.makeUnsafe((yield* time.now) - 1_000)
        const tied = yield* queue.submitMany(numbers(1_000).map((n) => job(n, { workflow_datetime: at })))
        for (const { id } of tied.slice(-70)) yield* queue.place(id)
        begin("hundreds have ended")
        const unarchived = yield* queue.unarchived(400)
        yield* queue.markArchived(unarchived.map(({ job }) => ({ id: job.id, finished_at: job.finished_at! })))
        assert.isAbove(unarchived.length, 300)
        begin("the log is long")
        for (let after = yield* log.start, more = true; more;) {
          const page = yield* log.read({ after, limit: 1_000 })
          more = page.events.length > 0
          after = page.position
        }
        yield* log.size
        yield* queue.observe(unarchived[0]!.job.id)
        yield* time.pass("2 hours")
        while (yield* log.trim(yield* log.end));
        begin("a customer is named for whom many wait")
        yield* queue.submitMany(numbers(400).map((n) => job(n, { customer_id: "c" })))
        yield* claim("denies", { job_types: ["x"], customers: { deny: ["c"] } }, 1)
        begin("all is long over")
        yield* claimAll("w0")
        yield* time.pass("3 days")
        yield* tickAll
      }).pipe(Effect.provide(layer))

      const said = [...most].map(([name, { commands, part }]) => `${name}: ${commands} commands when ${part}`)
      assert.deepStrictEqual(
        said.filter((_, at) => [...most.values()][at]!.commands > mostCommands),
        []
      )
      assert.isAbove(most.size, 12)
    }),
  120_000
)
