/** Real servers with settings that are wrong for jobs, and what is said of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import type { Finding } from "@muster/core/diagnosis/Finding"
import { QueueMemory } from "@muster/core/diagnosis/QueueMemory"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import * as Library from "@muster/db/redis/generated/Library"
import * as Redis from "@muster/db/redis/Redis"
import * as RedisChecks from "@muster/db/redis/RedisChecks"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import * as RedisMemory from "@muster/db/redis/RedisMemory"
import { Duration, Effect, Fiber, Layer, Logger, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { settings } from "../../../core/test/job/QueueTest.ts"
import { eventually, queueOn, redisCli } from "./OwnRedis.ts"

/** Everything the checks find, by name. */
const examine = (url: string, over: Partial<QueueSettings> = {}) =>
  Effect.gen(function* () {
    const findings = yield* Stream.runCollect(Diagnosis.run(yield* RedisChecks.make))
    return new Map(findings.map((finding) => [finding.name, finding] as const))
  }).pipe(
    Effect.provide(Redis.layer(Redacted.make(url))),
    Effect.provideService(QueueSettings, { ...settings, ...over }),
    Effect.provide(Logger.layer([]))
  )

const verdicts = (findings: ReadonlyMap<string, Finding>) =>
  Object.fromEntries([...findings].map(([name, { verdict }]) => [name, verdict]))

const expect = (
  findings: ReadonlyMap<string, Finding>,
  name: string,
  verdict: string,
  detail: RegExp,
  fix?: RegExp
) => {
  const found = findings.get(name)
  assert.strictEqual(found?.verdict, verdict, `${name}: ${found?.detail}`)
  assert.match(found?.detail ?? "", detail)
  if (fix === undefined) assert.isNull(found?.fix)
  else assert.match(found?.fix ?? "", fix)
}

/** The same functions under another version. */
const libraryOf = (version: number): RedisFunctions.LibrarySource => ({
  version,
  source: Library.source.replace(`version = ${Library.version}`, `version = ${version}`)
})

const load = (url: string, version: number) => redisCli(url, ["FUNCTION", "LOAD", "REPLACE", libraryOf(version).source])

describe("Redis under examination", () => {
  it.live("is well as docs/production.md sets it up", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis({ fsync: "always" })
      yield* redisCli(url, ["CONFIG", "SET", "maxmemory", "100mb"])
      yield* Effect.provide(
        Effect.flatMap(JobQueue, ({ ping }) => ping),
        queueOn(url)
      )
      const findings = yield* examine(url)
      const { "redis.connection": connection, ...others } = verdicts(findings)
      // How quickly it answers is a matter of the machine.
      assert.include(["ok", "warning"], connection)
      assert.deepStrictEqual(others, {
        "redis.version": "ok",
        "redis.durability": "ok",
        "redis.eviction": "ok",
        "redis.memory": "ok",
        "redis.persistence": "ok",
        "redis.library": "ok",
        "queue.priority_step": "ok"
      })
      expect(findings, "redis.durability", "ok", /no answered submit is lost/)
      expect(findings, "redis.memory", "ok", /of 100 MB/)
    })
  )

  it.live("is changed by no check", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      const findings = yield* examine(url)
      expect(findings, "redis.library", "warning", /no function library yet/, /muster server/)
      expect(findings, "queue.priority_step", "ok", /is new/)
      assert.deepStrictEqual(yield* redisCli(url, ["FUNCTION", "LIST"]), [])
      assert.strictEqual(yield* redisCli(url, ["DBSIZE"]), 0)
    })
  )

  it.live("that evicts, appends nothing and has no limit is told so, with what to type", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis({ appendOnly: false, eviction: "allkeys-lru" })
      const findings = yield* examine(url)
      expect(findings, "redis.eviction", "error", /drops jobs .*allkeys-lru/, /config set maxmemory-policy noeviction/)
      expect(findings, "redis.durability", "warning", /no append-only file/, /config set appendonly yes/)
      expect(findings, "redis.memory", "warning", /no limit/, /config set maxmemory \d+mb/)
      for (const { fix } of findings.values()) assert.notInclude(fix ?? "", url)
    })
  )

  it.live("with little memory left is told so", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      const used = Number(/used_memory:(\d+)/.exec(String(yield* redisCli(url, ["INFO", "memory"])))?.[1])
      yield* redisCli(url, ["CONFIG", "SET", "maxmemory", String(Math.round(used * 1.2))])
      expect(yield* examine(url), "redis.memory", "warning", /8\d %/, /config set maxmemory/)
      yield* redisCli(url, ["CONFIG", "SET", "maxmemory", String(Math.round(used * 1.02))])
      expect(yield* examine(url), "redis.memory", "error", /no job is taken/, /MUSTER_RETENTION/)
    })
  )

  it.live("with an older or newer library is told which", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* load(url, 1)
      expect(yield* examine(url), "redis.library", "warning", /library 1, older than ours/, /muster server/)
      yield* load(url, Library.version + 1)
      expect(yield* examine(url), "redis.library", "warning", /newer than ours/, /upgrade this/)
    })
  )

  it.live("with a queue of another priority step is told which one to set", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* Effect.provide(
        Effect.flatMap(JobQueue, ({ ping }) => ping),
        queueOn(url, { priorityStep: Duration.seconds(5) })
      )
      const findings = yield* examine(url, { priorityStep: Duration.seconds(60) })
      expect(
        findings,
        "queue.priority_step",
        "error",
        /made with a priority step of 5000 ms/,
        /MUSTER_PRIORITY_STEP=5000ms/
      )
    })
  )

  it.live("whose disk fails is told so", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      // It cannot rename its snapshot to a folder that holds something.
      const folder = (yield* redisCli(url, ["CONFIG", "GET", "dir"])) as ReadonlyArray<string>
      yield* Effect.promise(() => mkdir(join(folder[1] ?? "", "dump.rdb", "x"), { recursive: true }))
      yield* redisCli(url, ["SET", "k", "v"], ["BGSAVE"])
      yield* eventually(
        Effect.filterOrFail(
          Effect.map(redisCli(url, ["INFO", "persistence"]), String),
          (info) => info.includes("rdb_last_bgsave_status:err"),
          () => "the snapshot has not failed yet"
        )
      )
      expect(yield* examine(url), "redis.persistence", "error", /last snapshot failed/, /df -h/)
    })
  )

  it.live("that is away or wants a password is told in one line", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      yield* redisCli(redis.url, ["CONFIG", "SET", "requirepass", "secret-of-this-test"])
      const refused = yield* examine(redis.url.replace("redis://", "redis://:wrong-password@"))
      assert.strictEqual(refused.size, 1)
      expect(refused, "redis.connection", "error", /credentials/, /REDIS_URL/)
      assert.notInclude(JSON.stringify([...refused]), "wrong-password")
      yield* redis.kill
      const away = yield* examine(redis.url)
      assert.strictEqual(away.size, 1)
      expect(away, "redis.connection", "error", /cannot be reached/, /REDIS_URL/)
    })
  )

  it.live("that hangs is told in one line, in time", () =>
    Effect.gen(function* () {
      const redis = yield* startRedis()
      const connection = yield* Layer.build(Redis.layer(Redacted.make(redis.url)))
      const checks = yield* Effect.provideContext(RedisChecks.make, connection)
      yield* redis.pause
      const began = Date.now()
      const findings = yield* Stream.runCollect(Diagnosis.run(checks))
      yield* redis.resume
      assert.isBelow(Date.now() - began, 30_000)
      assert.deepStrictEqual(
        findings.map(({ name, verdict }) => [name, verdict]),
        [["redis.connection", "error"]]
      )
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([])))
  )
})

describe("the memory of Redis", () => {
  it.effect("is foreseen from how it grew", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      const infos = Effect.map(redisCli(url, ["INFO", "memory"]), String)
      const used = Number(/used_memory:(\d+)/.exec(yield* infos)?.[1])
      const limit = used + 64 * 1024 * 1024
      yield* redisCli(url, ["CONFIG", "SET", "maxmemory", String(limit)])
      let taken = 0
      const counting = Layer.effect(
        Redis.Redis,
        Effect.map(Redis.Redis, (redis) => ({
          ...redis,
          send: (command, args) => Effect.tap(redis.send(command, args), () => Effect.sync(() => taken++))
        }))
      )
      const grown = Effect.gen(function* () {
        const { read } = yield* QueueMemory
        const first = yield* read
        assert.deepInclude(first, { limit_bytes: limit, short_in_s: null })
        // A megabyte every ten seconds. The reading is taken in the background; Redis is real.
        for (let step = 0; step < 12; step++) {
          yield* redisCli(url, ["SET", `filler-${step}`, "x".repeat(1024 * 1024)])
          const before = taken
          yield* TestClock.adjust("10 seconds")
          yield* Effect.repeat(TestClock.withLive(Effect.sleep("1 millis")), { until: () => taken > before })
        }
        const figures = yield* read
        const now = figures?.used_bytes ?? 0
        assert.isAbove(now, used + 12 * 1024 * 1024)
        const left = (0.9 * limit - now) / ((now - (first?.used_bytes ?? 0)) / 120)
        assert.isAbove(left, 60)
        assert.approximately(figures?.short_in_s ?? -1, left, left / 4)
      }).pipe(
        Effect.provide(RedisMemory.layer),
        Effect.provide(counting),
        Effect.provide(Redis.layer(Redacted.make(url)))
      )
      yield* Fiber.join(yield* Effect.forkChild(grown))
    })
  )
})
