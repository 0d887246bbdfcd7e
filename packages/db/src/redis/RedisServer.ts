/** How the Redis server is set up: whether it may drop jobs on its own, and what a crash of it may cost. */
import { StorageError } from "@muster/core/job/JobErrors"
import { Effect } from "effect"
import type { Redis } from "./Redis.ts"
import { toStorageError } from "./RedisFailure.ts"
import * as RedisInfo from "./RedisInfo.ts"

/** Managed services hide settings; what is hidden is `unknown`. */
export interface RedisDescription {
  readonly version: string
  /** What Redis drops when memory is short. */
  readonly eviction: string
  /** The memory limit in bytes, as Redis prints it; 0 for none. */
  readonly max_memory: string
  /** Whether writes are appended to a file: `yes` or `no`. */
  readonly append_only: string
  /** When that file is flushed to the disk: `always`, `everysec` or `no`. */
  readonly append_fsync: string
}

/** What a job that was answered is worth on this Redis, in words for the log. */
export const promise = ({
  append_fsync,
  append_only
}: Pick<RedisDescription, "append_fsync" | "append_only">): string => {
  if (append_only === "no") {
    return "it writes no append-only file, so with it all jobs since its last snapshot are gone; set appendonly to yes"
  }
  switch (append_fsync) {
    case "always":
      return "no answered submit is lost when it crashes (appendfsync always)"
    case "everysec":
      return "up to a second of answered submits may be lost when its machine crashes (appendfsync everysec)"
    case "no":
      return "half a minute of answered submits may be lost when its machine crashes (appendfsync no)"
    default:
      return "it hides its settings, so what a crash of it costs is not known"
  }
}

const unknown = "unknown"

const read = Effect.gen(function* () {
  const [info, fsync] = yield* Effect.all([RedisInfo.read(), RedisInfo.setting("appendfsync")], {
    concurrency: "unbounded"
  })
  const enabled = info.get("aof_enabled")
  return {
    version: info.get("redis_version") ?? unknown,
    eviction: info.get("maxmemory_policy") ?? unknown,
    max_memory: info.get("maxmemory") ?? unknown,
    append_only: enabled === undefined ? unknown : enabled === "1" ? "yes" : "no",
    append_fsync: fsync ?? unknown
  }
})

/**
 * Reads the settings that jobs depend on, for a log line at start. Fails when Redis is away, and when its eviction
 * policy would let it drop jobs.
 */
export const describe: Effect.Effect<RedisDescription, StorageError, Redis> = Effect.gen(function* () {
  const description = yield* Effect.mapError(read, toStorageError("Redis.describe"))
  if (description.eviction === "noeviction" || description.eviction === unknown) return description
  return yield* new StorageError({
    operation: "Redis.describe",
    detail: `Redis may drop jobs when memory is short: set maxmemory-policy to noeviction (it is ${description.eviction})`,
    unavailable: false,
    cause: new Error(`maxmemory-policy ${description.eviction}`)
  })
})
