/** What the event log promises on Redis beside its contract: one write a call, and what crashes and losses leave. */
import { assert, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { copyFile, stat, truncate } from "node:fs/promises"
import type { Event } from "@muster/core/event/Event"
import { compare } from "@muster/core/event/EventCursor"
import { EventSettings } from "@muster/core/event/EventSettings"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { type JobId, request } from "@muster/core/job/Job"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { eventsAfter } from "../../../core/test/event/EventTest.ts"
import { claim, jobId, nonce, offer, settings, submit, worker } from "../../../core/test/job/QueueTest.ts"
import { appendFile, eventually, queueOn, redisCli } from "./OwnRedis.ts"

const stream = `{muster:${settings.name}}:log`

const numbers = (count: number) => Array.from({ length: count }, (_, n) => n)

const types = (events: ReadonlyArray<Event>) => events.map(({ job_id, type }) => `${type.slice(4)} ${job_id}`)

const jobs = (...ids: ReadonlyArray<string | number>) =>
  ids.map((id) => ({ id: jobId(id), request: request({ service_required: "simulation", max_retries: 100 }) }))

it.live("a call that changes many jobs writes once, in the order in which they changed", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis({ appendOnly: false })
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const log = yield* EventLog
      const writes = Effect.map(redisCli(url, ["INFO", "commandstats"]), (text) =>
        Number(/cmdstat_xadd:calls=(\d+)/.exec(String(text))?.[1] ?? 0)
      )
      const step = Effect.fnUntraced(function* (act: Effect.Effect<unknown, unknown, JobQueue>) {
        const [before, end] = [yield* writes, yield* log.end]
        yield* act
        const events = yield* eventsAfter(end)
        return [(yield* writes) - before, types(events)]
      })
      const all = numbers(30).map((n) => `j${n}`)
      const each = (type: string, ids = all) => ids.map((id) => `${type} ${id}`)
      assert.deepStrictEqual(yield* step(queue.submitMany(jobs(...all))), [1, each("submitted")])
      const mine = nonce()
      const claimed = queue.claim({
        worker_id: worker(),
        capabilities: offer(),
        capacity: 100,
        limit: 30,
        nonce: mine
      })
      // What the first claim makes known of the worker is no event.
      assert.deepStrictEqual(yield* step(claimed), [1, each("assigned")])
      const fences = all.map((id) => ({ job_id: jobId(id), attempt: 1, nonce: mine }))
      const reported = Effect.all(
        [
          ...fences.slice(0, 10).map((fence) => queue.start(fence)),
          ...fences.slice(0, 10).map((fence) => queue.progress(fence, { percent: 50, message: "half\nway {" })),
          ...fences.slice(0, 10).map((fence) => queue.complete(fence, "done")),
          ...fences.slice(10, 20).map((fence) => queue.fail(fence, { kind: "Timeout", message: "a\nb" }, null))
        ],
        { concurrency: "unbounded" }
      )
      const ids = all.slice(0, 10)
      assert.deepStrictEqual(yield* step(reported), [
        1,
        [
          ...each("started", ids),
          ...each("progress", ids),
          ...each("completed", ids),
          ...each("failed", all.slice(10, 20))
        ]
      ])
      const half = (yield* eventsAfter(yield* log.start)).find(({ type }) => type === "job.progress")
      assert.deepStrictEqual(half!.progress, { percent: 50, message: "half\nway {" })
      assert.deepStrictEqual(yield* step(queue.get(jobId("j1"))), [0, []])
      assert.deepStrictEqual(yield* step(queue.giveBackAll(worker("nobody"))), [0, []])
    }).pipe(Effect.provide(queueOn(url)))
  })
)

/** What the last event of each job says it is, and what it is. */
const toldAndTrue = Effect.gen(function* () {
  const queue = yield* JobQueue
  const log = yield* EventLog
  const told = new Map<JobId, string | undefined>()
  for (const { attempt, job_id, status } of yield* eventsAfter(yield* log.start)) {
    told.set(job_id!, `${status} ${attempt}`)
  }
  const { jobs } = yield* queue.list({ limit: 100 })
  return [
    [...told].toSorted(([a], [b]) => (a < b ? -1 : 1)),
    jobs.map(({ job }) => [job.id, `${job.status} ${job.attempt}`] as const).toSorted(([a], [b]) => (a < b ? -1 : 1))
  ]
})

it.live(
  "state and event are one step: wherever the last writes of a Redis that is killed end",
  () =>
    Effect.gen(function* () {
      const server = yield* startRedis({ fsync: "always" })
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        yield* queue.submitMany(jobs(...numbers(5)))
        yield* claim({ limit: 1 })
        const file = yield* appendFile(server.url)
        const { size: before } = yield* Effect.promise(() => stat(file))
        const held = yield* claim({ worker: "w2", limit: 3 })
        yield* queue.start(held[0]!.fence)
        yield* queue.complete(held[0]!.fence, 1)
        yield* queue.giveBack(held[1]!.fence)
        yield* submit("late")
        yield* queue.cancel(held[2]!.job.id)
        const [told, all] = yield* toldAndTrue
        assert.deepStrictEqual(told, all)
        const { size: after } = yield* Effect.promise(() => stat(file))
        yield* server.kill
        yield* Effect.promise(() => copyFile(file, `${file}.whole`))
        let lost = 0
        const rounds = 25
        for (let n = 0; n < rounds; n++) {
          const size = Math.round(before + ((after - before) * n) / rounds)
          yield* Effect.promise(() => copyFile(`${file}.whole`, file))
          yield* Effect.promise(() => truncate(file, size))
          yield* server.restart
          yield* eventually(queue.ping)
          const [told, all] = yield* toldAndTrue
          assert.deepStrictEqual(told, all, `of ${size} bytes`)
          if (all!.length < 6) lost++
          yield* server.kill
        }
        assert.isAbove(lost, 5)
        yield* server.restart
      }).pipe(Effect.provide(queueOn(server.url)))
    }),
  120_000
)

it.live(
  "a cursor of writes that Redis has lost is foreign, also when others have come after them",
  () =>
    Effect.gen(function* () {
      const server = yield* startRedis({ fsync: "always" })
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        const log = yield* EventLog
        yield* submit("kept")
        const kept = yield* log.end
        const file = yield* appendFile(server.url)
        const { size } = yield* Effect.promise(() => stat(file))
        yield* submit("lost")
        const lost = yield* log.end
        const { position } = (yield* queue.list({ limit: 1 })).jobs[0]!
        yield* server.kill
        yield* Effect.promise(() => truncate(file, size))
        yield* server.restart
        yield* eventually(queue.ping)
        const isForeign = Effect.gen(function* () {
          const error = yield* Effect.flip(log.read({ after: lost, limit: 10 }))
          assert.deepInclude(error, { _tag: "CursorLost", why: "foreign" })
        })
        yield* isForeign
        yield* submit("new")
        yield* isForeign
        assert.deepStrictEqual(types(yield* eventsAfter(kept)), ["submitted new"])
        const [placed] = (yield* queue.list({ limit: 1 })).jobs
        assert.isAbove(Number(placed!.position), Number(position), "positions rise over the loss")

        yield* redisCli(server.url, ["FLUSHALL"])
        for (const after of [kept, lost]) {
          const error = yield* Effect.flip(log.read({ after, limit: 10 }))
          assert.deepInclude(error, { _tag: "CursorLost", why: "foreign" })
        }
        assert.deepStrictEqual(yield* eventsAfter(yield* log.start), [])
        yield* submit("again")
        assert.strictEqual((yield* Effect.flip(log.read({ after: kept, limit: 10 })))._tag, "CursorLost")
        assert.deepStrictEqual(types(yield* eventsAfter(yield* log.start)), ["submitted again"])
        const [after] = (yield* queue.list({ limit: 1 })).jobs
        assert.isAbove(Number(after!.position), Number(placed!.position), "also over the loss of everything")
      }).pipe(Effect.provide(queueOn(server.url)))
    }),
  120_000
)

it.live(
  "trimNeverPassesArchive: in a long log, from wherever the archive stands",
  () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis({ appendOnly: false })
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        const log = yield* EventLog
        const start = yield* log.start
        // Entries of one event, and of many.
        for (const n of numbers(1_200)) yield* submit(n)
        yield* queue.submitMany(jobs(...numbers(1_200).map((n) => `m${n}`)))
        const all = yield* eventsAfter(start, 1_000)
        assert.strictEqual(all.length, 2_400)
        let trims = 0
        for (const at of [0, 1, 99, 100, 101, 1_199, 1_200, 1_210, 1_240, 2_398]) {
          const archived = all[at]!.cursor
          while (yield* log.trim(archived)) trims++
          assert.deepStrictEqual(yield* eventsAfter(archived, 1_000), all.slice(at + 1), `after ${at}`)
          const kept = yield* eventsAfter(yield* log.start, 1_000)
          assert.isAtMost(compare(kept[0]!.cursor, all[at + 1]!.cursor), 0)
          // At most the rest of the entry in which the archive stands.
          assert.isAtMost(kept.length, all.length - at + 64)
          if (at < 1_000) continue
          const trimmed = yield* Effect.flip(log.read({ after: all[0]!.cursor, limit: 10 }))
          assert.deepInclude(trimmed, { _tag: "CursorLost", why: "trimmed" })
        }
        assert.isAbove(trims, 0)
        while (yield* log.trim(all.at(-1)!.cursor));
        assert.strictEqual(yield* redisCli(url, ["XLEN", stream]), 0)
        assert.deepStrictEqual(yield* eventsAfter(all.at(-1)!.cursor), [])
        yield* submit("last")
        assert.deepStrictEqual(types(yield* eventsAfter(all.at(-1)!.cursor)), ["submitted last"])
      }).pipe(
        Effect.provide(queueOn(url)),
        Effect.provideService(EventSettings, {
          ...EventSettings.defaultValue(),
          // All of it is over the limit, and what is archived may go at once.
          maxBytes: 1
        })
      )
    }),
  120_000
)

it.live("jobs are refused while the log holds twice what it may, and taken again when it holds less", () =>
  Effect.gen(function* () {
    const { url } = yield* startRedis({ appendOnly: false })
    yield* Effect.gen(function* () {
      const queue = yield* JobQueue
      const log = yield* EventLog
      yield* queue.keepForArchive
      const archived = yield* log.start
      const more = (n: number) => queue.submitMany(jobs(...numbers(200).map((m) => `${n}-${m}`)))
      let rounds = 0
      for (; rounds < 100; rounds++) {
        const refused = yield* Effect.flip(more(rounds)).pipe(Effect.option)
        if (Option.isSome(refused)) {
          const error = refused.value
          assert.deepInclude(error, { _tag: "StorageError", unavailable: true })
          assert.include(error.message, "the event log is full")
          break
        }
        yield* queue.tick
        while (yield* log.trim(archived));
      }
      assert.isAbove(rounds, 2)
      assert.isBelow(rounds, 100)
      assert.strictEqual((yield* Effect.flip(queue.ping))._tag, "StorageError")
      // What is there goes on.
      const [held] = yield* claim({})
      yield* queue.complete(held!.fence, 1)
      while (yield* log.trim(yield* log.end));
      yield* queue.tick
      yield* queue.ping
      yield* more(rounds)
    }).pipe(
      Effect.provide(queueOn(url)),
      Effect.provideService(EventSettings, { ...EventSettings.defaultValue(), maxBytes: 100_000 })
    )
  })
)
