/**
 * Whether this Redis is one that jobs are safe on. The checks only read: they load no library and note no setting, so
 * they can be run against a Redis that nobody uses yet. All of them share one look at it.
 */
import type { Check } from "@muster/core/diagnosis/Diagnosis"
import * as Finding from "@muster/core/diagnosis/Finding"
import { shortFrom } from "@muster/core/diagnosis/QueueMemory"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { Clock, Duration, Effect, Option, Schema } from "effect"
import * as Library from "./generated/Library.ts"
import { Redis } from "./Redis.ts"
import { RedisFailure } from "./RedisFailure.ts"
import { queuePrefix } from "./RedisFunctions.ts"
import * as RedisInfo from "./RedisInfo.ts"
import { promise } from "./RedisServer.ts"

/** Redis Functions came with 7. */
const oldestMajor = 7
/** An answer over a healthy connection takes well under this. */
const slow = 50
const once = Duration.seconds(1)
const patience = Duration.seconds(2)

const silent = new RedisFailure({
  detail: "Redis is connected, and does not answer",
  unavailable: true,
  cause: new Error(`no answer within ${Duration.format(patience)}`)
})

const command = (line: string) => `redis-cli -u "$REDIS_URL" ${line}`

const megabytes = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MB`

interface Look {
  readonly info: RedisInfo.Info
  readonly latencyMs: number
}

const look = Effect.gen(function* () {
  const redis = yield* Redis
  yield* redis.send("PING", [])
  // The first command may have waited for the connection.
  const before = yield* Clock.currentTimeMillis
  yield* redis.send("PING", [])
  const latencyMs = (yield* Clock.currentTimeMillis) - before
  return { info: yield* RedisInfo.read(), latencyMs } satisfies Look
})

const connection = ({ latencyMs }: Look): Finding.Found =>
  latencyMs > slow
    ? Finding.warning(
        `answers, but a ping takes ${latencyMs} ms`,
        `bring the server nearer to Redis, or see what keeps Redis busy: ${command("slowlog get 10")}`
      )
    : Finding.ok(`answers a ping in ${latencyMs} ms`)

const version = ({ info }: Look): Finding.Found => {
  const known = info.get("redis_version")
  if (known === undefined) return Finding.warning("hides its version", `look it up: ${oldestMajor} or newer is needed`)
  const name = info.get("server_name") === "valkey" ? `Valkey ${info.get("valkey_version") ?? known}` : `Redis ${known}`
  return Number.parseInt(known, 10) >= oldestMajor
    ? Finding.ok(name)
    : Finding.error(`${name} has no functions`, `install Redis ${oldestMajor} or newer`)
}

const durability = ({ info }: Look, append_fsync: string | undefined): Finding.Found => {
  const enabled = info.get("aof_enabled")
  const append_only = enabled === undefined ? "unknown" : enabled === "1" ? "yes" : "no"
  const words = promise({ append_only, append_fsync: append_fsync ?? "unknown" })
  if (append_only === "no") {
    return Finding.warning(words, `${command("config set appendonly yes")}, and write it into redis.conf`)
  }
  if (append_fsync === "no") return Finding.warning(words, command("config set appendfsync everysec"))
  return append_fsync === undefined || append_only === "unknown"
    ? Finding.warning(words, "look up appendonly and appendfsync where it is managed")
    : Finding.ok(words)
}

const eviction = ({ info }: Look): Finding.Found => {
  const policy = info.get("maxmemory_policy")
  if (policy === undefined) return Finding.warning("hides its eviction policy", "look it up: it must be noeviction")
  return policy === "noeviction"
    ? Finding.ok("drops nothing when memory is short (noeviction)")
    : Finding.error(
        `drops jobs when memory is short (maxmemory-policy ${policy})`,
        `${command("config set maxmemory-policy noeviction")}, and write it into redis.conf`
      )
}

const memory = ({ info }: Look): Finding.Found => {
  const used = RedisInfo.number(info, "used_memory")
  const limit = RedisInfo.number(info, "maxmemory")
  if (used === undefined || limit === undefined) {
    return Finding.warning("hides its memory", "look it up, and give it a limit (maxmemory)")
  }
  if (limit === 0) {
    const whole = RedisInfo.number(info, "total_system_memory") ?? 0
    const suggested = whole > 0 ? `${Math.max(100, Math.floor((whole * 0.6) / 1_048_576))}mb` : "4gb"
    return Finding.warning(
      `uses ${megabytes(used)} and has no limit: the system may kill it when memory is short`,
      command(`config set maxmemory ${suggested}`)
    )
  }
  const part = Math.round((100 * used) / limit)
  const detail = `uses ${megabytes(used)} of ${megabytes(limit)} (${part} %)`
  const fix = `raise the limit (${command(`config set maxmemory ${Math.ceil((2 * limit) / 1_048_576)}mb`)}), or keep finished jobs for less long (MUSTER_RETENTION)`
  if (used > shortFrom * limit) return Finding.error(`${detail}: no job is taken`, fix)
  return part >= 75 ? Finding.warning(detail, fix) : Finding.ok(detail)
}

const persistence = ({ info }: Look): Finding.Found => {
  const failed = [
    ["rdb_last_bgsave_status", "its last snapshot"],
    ["aof_last_bgrewrite_status", "the last rewrite of its append-only file"],
    ["aof_last_write_status", "the last write to its append-only file"]
  ].flatMap(([name = "", what = ""]) => ((info.get(name) ?? "ok") === "ok" ? [] : [what]))
  return failed.length === 0
    ? Finding.ok("writes to its disk without errors")
    : Finding.error(
        `${failed.join(" and ")} failed: it may refuse writes`,
        "make room on its disk (df -h), and see its log for the reason"
      )
}

const FunctionVersion = Schema.Int
const decodeVersion = Schema.decodeUnknownOption(FunctionVersion)

const library = Effect.gen(function* () {
  const redis = yield* Redis
  const loaded = yield* redis.send("FCALL", ["muster_1_version", "1", queuePrefix("")]).pipe(
    Effect.map((reply) => Option.getOrUndefined(decodeVersion(reply))),
    Effect.catchIf(
      (failure) => String(failure.cause).includes("Function not found"),
      () => Effect.succeed(null)
    )
  )
  if (loaded === null) {
    return Finding.warning("has no function library yet", "a server loads it when it starts: muster server")
  }
  if (loaded === undefined) {
    return Finding.error("has a function library that is not ours", command("function delete muster_1"))
  }
  if (loaded < Library.version) {
    return Finding.warning(
      `has function library ${loaded}, older than ours (${Library.version})`,
      "a server of this version replaces it when it starts: muster server"
    )
  }
  return loaded > Library.version
    ? Finding.warning(
        `has function library ${loaded}, newer than ours (${Library.version}), which serves older callers too`,
        "upgrade this installation to the version of the other servers"
      )
    : Finding.ok(`has function library ${loaded}, the one of this version`)
})

const decodeStep = Schema.decodeUnknownOption(Schema.NullOr(Schema.String))

const priorityStep = Effect.gen(function* () {
  const redis = yield* Redis
  const { name, priorityStep } = yield* QueueSettings
  const reply = yield* redis.send("HGET", [`${queuePrefix(name)}:meta`, "priority_step_ms"])
  const noted = Option.getOrNull(decodeStep(reply))
  const ours = Duration.toMillis(priorityStep)
  if (noted === null) return Finding.ok(`queue ${name} is new: its priority step becomes ${ours} ms`)
  return noted === String(ours)
    ? Finding.ok(`queue ${name} was made with the priority step that is configured (${ours} ms)`)
    : Finding.error(
        `queue ${name} was made with a priority step of ${noted} ms, and ${ours} ms is configured`,
        `export MUSTER_PRIORITY_STEP=${noted}ms`
      )
})

const howToReach = (failure: RedisFailure): string =>
  /credentials/.test(failure.detail)
    ? "put the user and password into REDIS_URL: redis://:PASSWORD@HOST:6379"
    : `see that Redis runs and that REDIS_URL names it: ${command("ping")}`

/** The checks, on this connection and for the configured queue. */
export const make: Effect.Effect<ReadonlyArray<Check>, never, Redis> = Effect.gen(function* () {
  const redis = yield* Redis
  const settings = yield* QueueSettings
  const shared = yield* look.pipe(
    Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.fail(silent) }),
    Effect.provideService(Redis, redis),
    Effect.cachedWithTTL(once)
  )

  /** Says nothing while Redis is away: `redis.connection` does. */
  const check = (name: string, found: (look: Look) => Effect.Effect<Finding.Found, RedisFailure, Redis>): Check => ({
    name: `redis.${name}`,
    run: Effect.flatMap(shared, found).pipe(
      Effect.catch((failure) =>
        Effect.succeed(
          failure.unavailable ? null : Finding.error(failure.detail, "give the user of REDIS_URL that permission")
        )
      ),
      Effect.provideService(Redis, redis),
      Effect.provideService(QueueSettings, settings)
    )
  })
  const pure = (found: (look: Look) => Finding.Found) => (look: Look) => Effect.succeed(found(look))

  return [
    {
      name: "redis.connection",
      run: shared.pipe(
        Effect.map(connection),
        Effect.catch((failure) => Effect.succeed(Finding.error(failure.detail, howToReach(failure))))
      )
    },
    check("version", pure(version)),
    check("durability", (look) =>
      Effect.map(RedisInfo.setting("appendfsync"), (append_fsync) => durability(look, append_fsync))
    ),
    check("eviction", pure(eviction)),
    check("memory", pure(memory)),
    check("persistence", pure(persistence)),
    check("library", () => library),
    { ...check("priority_step", () => priorityStep), name: "queue.priority_step" }
  ]
})
