import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { request } from "@muster/core/job/Job"
import * as Library from "@muster/db/redis/generated/Library"
import * as RedisFunctions from "@muster/db/redis/RedisFunctions"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { jobId } from "../../../core/test/job/QueueTest.ts"
import { queueOn, redisCli, submitMany } from "./OwnRedis.ts"

/** The same functions under another version. */
const libraryOf = (version: number): RedisFunctions.LibrarySource => ({
  version,
  source: Library.source.replace(`version = ${Library.version}`, `version = ${version}`)
})

const loadedVersion = (url: string) => redisCli(url, ["FCALL", "muster_1_version", "1", "{muster:any}"])

const created = (url: string, functions = RedisFunctions.layer) =>
  Effect.map(
    Effect.provide(submitMany(10, "unbounded"), queueOn(url, {}, functions)),
    (results) => results.filter((result) => result._tag === "Success").length
  )

describe("RedisFunctions", () => {
  it.live("libraryLossHeals: a library lost in mid-flight is loaded again, unnoticed", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* Effect.gen(function* () {
        const queue = yield* JobQueue
        for (let round = 0; round < 30; round++) {
          // It is there when the round begins, and lost once in it.
          yield* queue.ping
          const ids = Array.from({ length: 40 }, (_, n) => jobId(`j${round}-${n}`))
          const [submitted] = yield* Effect.all(
            [
              Effect.forEach(ids, (id) => queue.submit(id, request({ service_required: "simulation" })), {
                concurrency: 8
              }),
              redisCli(url, ["FUNCTION", "FLUSH"])
            ],
            { concurrency: "unbounded" }
          )
          assert.strictEqual(submitted.filter(({ created }) => created).length, 40)
        }
      }).pipe(Effect.provide(queueOn(url)))
    })
  )

  it.live("clients that come at once load it once and all work", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      const counts = yield* Effect.all(
        Array.from({ length: 8 }, () => created(url)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(
        counts,
        Array.from({ length: 8 }, () => 10)
      )
      assert.strictEqual(yield* loadedVersion(url), Library.version)
    })
  )

  it.live("olderServerNeverDowngradesLibrary: an older build works with a newer library and leaves it", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      const newer = Library.version + 7
      assert.strictEqual(yield* created(url, RedisFunctions.layerOf(libraryOf(newer))), 10)
      assert.strictEqual(yield* created(url), 10)
      assert.strictEqual(yield* loadedVersion(url), newer)
    })
  )

  it.live("a newer build replaces an older library, also one that appears later", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      yield* redisCli(url, ["FUNCTION", "LOAD", libraryOf(0).source])
      const layer = queueOn(url)
      yield* Effect.gen(function* () {
        yield* submitMany(1)
        assert.strictEqual(yield* loadedVersion(url), Library.version)
        yield* redisCli(url, ["FUNCTION", "LOAD", "REPLACE", libraryOf(0).source])
        const [result] = yield* submitMany(1)
        assert.strictEqual(result?._tag, "Success")
        assert.strictEqual(yield* loadedVersion(url), Library.version)
      }).pipe(Effect.provide(layer))
    })
  )

  it.live("a library that cannot be loaded is a failure, not a loop", () =>
    Effect.gen(function* () {
      const { url } = yield* startRedis()
      const [result] = yield* Effect.provide(
        submitMany(1),
        queueOn(url, {}, RedisFunctions.layerOf({ version: 1, source: "#!lua name=muster_1\nnonsense" }))
      )
      assert.isTrue(result?._tag === "Failure" && result.failure._tag === "StorageError")
    })
  )
})
