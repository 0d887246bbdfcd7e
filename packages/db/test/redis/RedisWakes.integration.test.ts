/** Wakes that must not be lost although the process, or the connection, that is to hear them is not there. */
import { assert, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Queue, Schedule } from "effect"
import { join } from "node:path"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as JobCommands from "@muster/db/redis/JobCommands"
import { queuePrefix, RedisFunctions } from "@muster/db/redis/RedisFunctions"
import { freshFolder, start } from "../../../../tools/servers/ServerProcess.ts"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { claim, jobId, jobNow, settings, StoreTime, submit, worker } from "../../../core/test/job/QueueTest.ts"
import { eventually, queueOn, redisCli } from "./OwnRedis.ts"
import { queueAt } from "./RedisQueueTest.ts"

/** A process with one idle worker. */
const parkedProcess = (url: string, name: string) =>
  Effect.acquireRelease(
    Effect.promise(async () =>
      start({
        folder: await freshFolder("parked-worker"),
        url: () => "",
        command: () => ({
          file: process.execPath,
          args: [join(import.meta.dirname, "parkedWorker.ts"), url, settings.name, name],
          ready: "is parked",
          stopSignal: "SIGTERM"
        })
      })
    ),
    (child) => Effect.promise(child.stop)
  )

/** A way to make time pass in the queue. */
const timeOf = (url: string) =>
  Effect.map(
    Layer.build(queueAt(url).pipe(Layer.provide(Layer.succeed(QueueSettings, settings)))),
    Context.get(StoreTime)
  )

const stateOf = (url: string, name: string) =>
  Effect.map(redisCli(url, ["HGET", `${queuePrefix(settings.name)}:workers`, name]), String)

it.live(
  "noLostWake: a worker stopped with its wake in the hand does not keep the job",
  () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        const told = yield* queue.signals(worker("here"))
        yield* claim({ worker: "here" })
        // The one that was parked last is woken first.
        const child = yield* parkedProcess(url, "stopped")
        // However long that took, nobody has been silent for long enough to be taken for dead.
        yield* (yield* timeOf(url)).setBack("1 minute")
        yield* Effect.promise(child.pause)
        yield* submit("j")
        assert.match(yield* stateOf(url, "stopped"), /^w /)
        const ticking = Effect.repeat(queue.tick, Schedule.spaced("200 millis"))
        yield* Effect.raceFirst(Queue.take(told), ticking)
        const [given] = yield* claim({ worker: "here" })
        assert.strictEqual(String(given!.job.id), "j")

        // It wakes up to a wake that is long somebody else's, and is idle again.
        yield* Effect.promise(child.resume)
        yield* eventually(Effect.filterOrFail(stateOf(url, "stopped"), (state) => state.startsWith("p ")))
        yield* queue.complete(given!.fence, null)
        assert.deepInclude(yield* jobNow("j"), { attempt: 1, worker_id: worker("here"), status: "completed" })
      }).pipe(Effect.provide(queueOn(url)))
    }),
  120_000
)

it.live(
  "noLostWake: a wake that comes while the connection that waits for it is broken",
  () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        const told = yield* queue.signals(worker("w1"))
        const waiting = Effect.map(redisCli(url, ["CLIENT", "LIST"]), (list) =>
          String(list)
            .split("\n")
            .flatMap((line) => (/ cmd=blmpop /.test(line) ? [/^id=(\d+) /.exec(line)![1]!] : []))
        )
        for (const job of ["first", "second", "third"]) {
          yield* claim({ worker: "w1" })
          const [id] = yield* eventually(Effect.filterOrFail(waiting, (ids) => ids.length === 1))
          yield* redisCli(url, ["CLIENT", "KILL", "ID", id!])
          yield* submit(job)
          yield* Queue.take(told)
          assert.deepStrictEqual(
            (yield* claim({ worker: "w1" })).map(({ job }) => String(job.id)),
            [job]
          )
        }
      }).pipe(Effect.provide(queueOn(url)))
    }),
  120_000
)

it.live("noLostWake: nobody is woken for a job that is not told to all who match it, and then one is", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    yield* Effect.gen(function* () {
      const functions = yield* RedisFunctions
      const queue = yield* JobQueue
      const kinds = Array.from({ length: 600 }, (_, n) => ({
        worker: `w${n}`,
        capabilities: { job_types: ["simulation"], labels: { n } }
      }))
      yield* Effect.forEach(kinds, claim, { concurrency: 16 })
      // A class of its own first, so that the submit below finds it settled.
      yield* submit("earlier")
      yield* queue.cancel(jobId("earlier"))
      yield* Effect.forEach(kinds, claim, { concurrency: 16 })
      const woken = redisCli(url, ["ZRANGE", `${queuePrefix(settings.name)}:wakes`, "0", "-1"])
      assert.deepStrictEqual(yield* woken, [])

      // As by a process that dies before it goes on. They hold heads for the earlier one: this one comes before it.
      const written = JobCommands.written({
        id: jobId("j"),
        request: request({ service_required: "simulation", priority: 100 })
      })
      const partly = JobCommands.submit(functions, queuePrefix(settings.name))
      yield* Effect.exit(partly({ ...written, priorityStepMs: String(Duration.toMillis(settings.priorityStep)) }))
      assert.deepStrictEqual(yield* woken, [])
      yield* queue.tick
      const [one, ...others] = (yield* woken) as ReadonlyArray<string>
      assert.deepStrictEqual(others, [])
      const given = yield* claim(kinds.find(({ worker }) => worker === one)!)
      assert.deepStrictEqual(
        given.map(({ job }) => String(job.id)),
        ["j"]
      )
    }).pipe(Effect.provide(queueOn(url)))
  })
)

it.live("wakesAtMostJobs: of 1,000 idle workers of two processes as many are written to as there are jobs", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis()
    const both = yield* Effect.all([Layer.build(queueOn(url)), Layer.build(queueOn(url))])
    const workers = Array.from({ length: 1_000 }, (_, n) => n)
    yield* Effect.forEach(
      workers,
      (n) => Effect.provideContext(claim({ worker: `w${n}`, types: [`type${n % 5}`, "simulation"] }), both[n % 2]!),
      { concurrency: 32 }
    )
    const written = Effect.gen(function* () {
      const keys = (yield* redisCli(url, ["KEYS", "*:inbox:*"])) as ReadonlyArray<string>
      const lists = yield* Effect.forEach(keys, (key) => redisCli(url, ["LRANGE", key, "0", "-1"]))
      return lists.flatMap((list) => list as ReadonlyArray<string>)
    })
    yield* Effect.forEach(
      Array.from({ length: 10 }, (_, n) => n),
      (n) =>
        Effect.provideContext(
          submit(`j${n}`, { service_required: n < 5 ? "simulation" : `type${n % 5}` }),
          both[n % 2]!
        ),
      { concurrency: "unbounded" }
    )
    const wakes = yield* written
    assert.strictEqual(wakes.length, 10)
    assert.strictEqual(new Set(wakes).size, 10)
    // However long that took: a wake that is a second old would go to another worker.
    yield* (yield* timeOf(url)).setBack("1 minute")
    yield* Effect.provideContext(
      Effect.flatMap(JobQueue, (queue) => queue.tick),
      both[0]
    )
    assert.strictEqual((yield* written).length, 10)
  })
)
