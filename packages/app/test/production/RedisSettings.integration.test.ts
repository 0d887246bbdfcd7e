/** Processes on a Redis whose settings matter: one that may drop jobs is no store for them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { startRedis } from "../../../../tools/servers/testServers.ts"
import { muster, start } from "../operator/operator.ts"

/** Nobody listens there; a server waits for it, and must not have to. */
const DATABASE_URL = "postgres://127.0.0.1:1/muster"

const refusal =
  "error: REDIS_URL: Redis may drop jobs when memory is short: set maxmemory-policy to noeviction (it is allkeys-lru)\n"

/** Reads until it holds; what happens here takes real time. */
const eventually = <A>(what: string, look: Effect.Effect<A>, holds: (a: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({ duration: "60 seconds", orElse: () => Effect.die(new Error(`${what}: not within 60 s`)) })
  )

const ready = (url: string) =>
  Effect.promise(async () => {
    try {
      const answer = await fetch(`${url}/ready`)
      return { status: answer.status, text: await answer.text() }
    } catch {
      return { status: 0, text: "" }
    }
  })

describe("Redis", () => {
  it.live(
    "that evicts ends every start with 2 and what to do",
    () =>
      Effect.gen(function* () {
        const { url } = yield* startRedis({ eviction: "allkeys-lru" })
        const stores = { DATABASE_URL, REDIS_URL: url }
        const ends = yield* Effect.all(
          [
            muster(["server", "--port", "0"], { env: stores }),
            muster(["up", "--port", "0"], { env: stores }),
            muster(["worker"], {
              env: { REDIS_URL: url, MUSTER_URL: "http://127.0.0.1:1", WORKER_ID: "w", CONNECTORS: "simulation" }
            })
          ],
          { concurrency: 3 }
        )
        for (const { code, stderr, stdout } of ends) {
          assert.strictEqual(code, 2)
          assert.isTrue(stderr.endsWith(refusal), stderr)
          assert.notMatch(stderr, /Redis: .*trying on/)
          assert.strictEqual(stdout, "")
        }
      }),
    240_000
  )

  it.live(
    "that turns out to evict after the start leaves the server unready, and it says so",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis({ eviction: "allkeys-lru" })
        yield* redis.stop
        const server = yield* start(["server", "--port", "0"], { env: { DATABASE_URL, REDIS_URL: redis.url } })
        const url = yield* eventually(
          "the server listens",
          Effect.map(server.stdout, (text) => /is listening on (\S+)/.exec(text)?.[1]),
          (url) => url !== undefined
        )
        yield* redis.restart
        const { status } = yield* eventually("unready", ready(url ?? ""), ({ text }) => text.includes("noeviction"))
        assert.strictEqual(status, 503)
        yield* eventually("logged", server.stderr, (text) => /level=ERROR[^\n]*noeviction/i.test(text))
      }),
    240_000
  )

  it.live(
    "is said to keep what it keeps",
    () =>
      Effect.gen(function* () {
        const promises = [
          [{ fsync: "always" }, /level=INFO[^\n]*no answered submit is lost when it crashes/i],
          [{ fsync: "everysec" }, /level=INFO[^\n]*up to a second of answered submits may be lost/i],
          [{ appendOnly: false }, /level=WARN[^\n]*set appendonly to yes/i]
        ] as const
        yield* Effect.forEach(
          promises,
          Effect.fnUntraced(function* ([options, said]) {
            const { url } = yield* startRedis(options)
            const server = yield* start(["server", "--port", "0"], { env: { DATABASE_URL, REDIS_URL: url } })
            yield* eventually(String(said), server.stderr, (text) => said.test(text))
          }, Effect.scoped),
          { concurrency: 3 }
        )
      }),
    240_000
  )
})
