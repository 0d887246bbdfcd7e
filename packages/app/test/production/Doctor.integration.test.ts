/** Real servers on real stores that are hurt: what /metrics, /ready and the doctor say, and how soon. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { startPostgres, startRedis } from "../../../../tools/servers/testServers.ts"
import { parse, valueOf } from "../../../http-server/test/prometheus.ts"
import { type Ended, muster } from "../operator/operator.ts"
import { startBroker } from "./processes.ts"

interface Line {
  readonly name: string
  readonly verdict: string
  readonly detail: string
  readonly fix: string | null
  readonly by: ReadonlyArray<string>
}

const lines = ({ stdout }: Ended): ReadonlyArray<Line> => JSON.parse(stdout).findings

const verdicts = (ended: Ended) => Object.fromEntries(lines(ended).map(({ name, verdict }) => [name, verdict]))

/** How quickly a store answers is a matter of the machine. */
const isSlow = (name: string, verdict: string) => name.endsWith(".connection") && verdict === "warning"

const of = (ended: Ended, name: string) => lines(ended).filter((line) => line.name === name)

/** An answer that takes so long, in ms, waited for a store: one that hangs does so until it is killed. */
const hangs = 30_000

const get = (url: string) =>
  Effect.promise(async () => {
    const began = Date.now()
    const answer = await fetch(url)
    const text = await answer.text()
    return { status: answer.status, text, took: Date.now() - began }
  })

const eventually = <A>(what: string, look: Effect.Effect<A>, holds: (a: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("100 millis") }),
    Effect.timeoutOrElse({ duration: "60 seconds", orElse: () => Effect.die(new Error(`${what}: not in time`)) })
  )

/** What the doctor says of the server when none is named: whoever works here may have one on the default port. */
const unnamedServer = Effect.promise(() =>
  fetch("http://127.0.0.1:3331/health").then(
    () => "ok",
    () => "warning"
  )
)

describe("a server and its stores", () => {
  it.live(
    "are well, and tell so from both sides",
    () =>
      Effect.gen(function* () {
        const [postgres, redis] = yield* Effect.all([startPostgres(), startRedis({ fsync: "always" })], {
          concurrency: 2
        })
        const stores = { DATABASE_URL: postgres.url, REDIS_URL: redis.url }

        const before = yield* muster(["doctor", "--json"], { env: stores })
        assert.strictEqual(before.code, 0, before.stdout)
        assert.deepInclude(verdicts(before), {
          server: yield* unnamedServer,
          "postgres.migrations": "warning",
          "redis.library": "warning"
        })

        const soon = { MUSTER_HEARTBEAT_INTERVAL: "500ms", MUSTER_ACTIVATION_INTERVAL: "200ms" }
        const server = yield* startBroker("up", { ...stores, ...soon })
        const env = { ...stores, MUSTER_URL: server.url }
        const well = yield* eventually("all is well", muster(["doctor", "--json"], { env }), (ended) =>
          lines(ended).every(
            ({ name, verdict }) => verdict === "ok" || name === "redis.memory" || isSlow(name, verdict)
          )
        )
        assert.strictEqual(well.code, 0)
        assert.deepStrictEqual(of(well, "redis.library")[0]?.by, ["here", "server"])
        assert.deepStrictEqual(of(well, "postgres.migrations")[0]?.by, ["here", "server"])
        assert.deepStrictEqual(of(well, "workers")[0]?.by, ["server"])
        assert.match(of(well, "server")[0]?.detail ?? "", /the version of this command/)
        for (const secret of [new URL(postgres.url).password, "redis://", "postgres://"]) {
          assert.notInclude(well.stdout + before.stdout, secret)
        }
        // Of a machine that knows the server only.
        const remote = yield* muster(["doctor", "--json"], { env: { MUSTER_URL: server.url } })
        assert.deepStrictEqual(of(remote, "redis.library")[0]?.by, ["server"])

        const families = yield* eventually(
          "the workers are active",
          Effect.map(get(`${server.url}/metrics`), ({ text }) => parse(text)),
          (families) => valueOf(families, "muster_workers", { status: "active" }) === 2
        )
        for (const store of ["registry", "queue", "archive"]) {
          assert.strictEqual(valueOf(families, "muster_store_up", { store }), 1, store)
        }
        assert.isAbove(valueOf(families, "muster_queue_memory_used_bytes") ?? 0, 100_000)
        assert.isAbove(valueOf(families, "muster_postgres_connections", { application: "muster" }) ?? 0, 0)
        assert.isBelow(valueOf(families, "muster_archive_events_behind_seconds") ?? Infinity, 60)
        assert.isAbove(valueOf(families, "muster_process_resident_memory_bytes") ?? 0, 10_000_000)
      }),
    240_000
  )

  it.live(
    "answer in time while Redis or PostgreSQL hangs",
    () =>
      Effect.gen(function* () {
        const [postgres, redis] = yield* Effect.all([startPostgres(), startRedis()], { concurrency: 2 })
        const server = yield* startBroker("up", { DATABASE_URL: postgres.url, REDIS_URL: redis.url })
        const metrics = get(`${server.url}/metrics`)
        yield* eventually("the stores are up", metrics, ({ text }) => text.includes('muster_store_up{store="queue"} 1'))

        yield* redis.pause
        const hanging = yield* eventually("Redis is missed", metrics, ({ text }) =>
          text.includes('muster_store_up{store="queue"} 0')
        )
        assert.isBelow(hanging.took, hangs)
        const families = parse(hanging.text)
        assert.strictEqual(valueOf(families, "muster_store_up", { store: "registry" }), 1)
        const [scraped, ready, doctor] = yield* Effect.all(
          [metrics, get(`${server.url}/ready`), get(`${server.url}/doctor`)],
          { concurrency: 3 }
        )
        assert.isBelow(scraped.took, hangs)
        assert.isFalse(parse(scraped.text).has("muster_jobs"))
        assert.isBelow(ready.took, hangs)
        assert.strictEqual(ready.status, 503)
        assert.isBelow(doctor.took, hangs)
        const ended = yield* muster(["doctor", "--json"], { env: { MUSTER_URL: server.url } })
        assert.strictEqual(ended.code, 1)
        assert.deepInclude(verdicts(ended), {
          "redis.connection": "error",
          "queue.serves": "error"
        })
        assert.notStrictEqual(verdicts(ended)["postgres.connection"], "error")
        assert.notProperty(verdicts(ended), "redis.memory")
        yield* redis.resume
        yield* eventually("Redis is found again", metrics, ({ text }) =>
          text.includes('muster_store_up{store="queue"} 1')
        )

        yield* postgres.pause
        const without = yield* eventually("PostgreSQL is missed", metrics, ({ text }) =>
          text.includes('muster_store_up{store="registry"} 0')
        )
        assert.isBelow(without.took, hangs)
        assert.isTrue(parse((yield* metrics).text).has("muster_jobs"))
        yield* postgres.resume
      }),
    240_000
  )

  it.live(
    "that cannot be right for jobs are named before a server is started on them",
    () =>
      Effect.gen(function* () {
        const redis = yield* startRedis({ eviction: "allkeys-lru", appendOnly: false })
        const ended = yield* muster(["doctor"], {
          env: { DATABASE_URL: "postgres://someone:secret-of-someone@127.0.0.1:1/muster", REDIS_URL: redis.url }
        })
        assert.strictEqual(ended.code, 1)
        assert.match(
          ended.stdout,
          /^error +redis\.eviction +drops jobs .*\n +fix: redis-cli -u "\$REDIS_URL" config set/m
        )
        assert.match(ended.stdout, /^warning +redis\.durability /m)
        assert.match(ended.stdout, /^error +postgres\.connection +PostgreSQL cannot be reached/m)
        const said = (yield* unnamedServer) === "ok" ? /^ok +server / : /^warning +server +no Muster server/
        assert.match(ended.stdout, new RegExp(said, "m"))
        assert.notInclude(ended.stdout, "secret-of-someone")
      }),
    240_000
  )
})
