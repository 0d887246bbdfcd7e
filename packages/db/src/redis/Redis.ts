/**
 * One connection to Redis. It can be built while Redis is away and comes back by itself; meanwhile every command
 * fails at once. A command is sent once: when the connection breaks before the reply, nobody knows whether it was
 * done, and only the caller can tell whether repeating it is harmless.
 */
import { StorageError } from "@muster/core/job/JobErrors"
import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import { Redis as Client, type RedisOptions } from "ioredis"
import { fromCause, isReply, type RedisFailure } from "./RedisFailure.ts"

export type Send = (command: string, args: ReadonlyArray<string>) => Effect.Effect<unknown, RedisFailure>

export class Redis extends Context.Service<
  Redis,
  {
    /**
     * Sends one command; commands of one turn of the event loop travel together, but for calls of functions and those
     * that wait, which go at once. The reply is not checked.
     */
    readonly send: Send
    /** Another connection, for as long as the scope: for commands that wait. */
    readonly another: Effect.Effect<Send, never, Scope.Scope>
  }
>()("@muster/db/redis/Redis") {}

const commandTimeoutMs = 5_000
const connectTimeoutMs = 5_000

const options = {
  connectTimeout: connectTimeoutMs,
  commandTimeout: commandTimeoutMs,
  // A half-open socket would let every command run into its timeout for minutes.
  socketTimeout: commandTimeoutMs + 1_000,
  disconnectTimeout: 500,
  enableAutoPipelining: true,
  // Calls that come often are coalesced before, and would wait once more; what goes behind a look must not pass it.
  autoPipeliningIgnoredCommands: ["FCALL", "BLMPOP"],
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  // Commands under way fail as soon as the connection is gone.
  maxRetriesPerRequest: 0,
  retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 5), 1_000) * (0.75 + Math.random() / 2),
  // After a failover the address may lead to the new primary, on a new connection only.
  reconnectOnError: (error) => error.message.startsWith("READONLY")
} satisfies RedisOptions

/** The URL without its query, which the client would take for options that undo those above. */
const clean = (url: string): string | undefined => {
  if (!URL.canParse(url)) return undefined
  const parsed = new URL(url)
  if (parsed.protocol !== "redis:" && parsed.protocol !== "rediss:") return undefined
  parsed.search = ""
  return parsed.href
}

const open = Effect.fnUntraced(function* (address: string) {
  const log = Effect.runForkWith(yield* Effect.context())
  let state: "new" | "ready" | "away" | "closed" = "new"
  /** Why the connection is away: the client itself only says that it is. */
  let reason: unknown
  const connect = () => {
    const client = new Client(address, options)
    client.on("error", (error) => {
      reason = error
    })
    client.on("ready", () => {
      if (state === "away") log(Effect.logInfo("Redis is back"))
      state = "ready"
      reason = undefined
    })
    client.on("close", () => {
      if (state === "away" || state === "closed") return
      state = "away"
      const annotations = { reason: String(reason ?? "connection closed") }
      log(Effect.annotateLogs(Effect.logWarning(`${fromCause(reason).detail}; trying on`), annotations))
    })
    return client
  }
  const client = yield* Effect.acquireRelease(Effect.sync(connect), (client) =>
    Effect.sync(() => {
      state = "closed"
      client.disconnect()
    })
  )

  // Commands would fail until the first attempt is through, one way or the other.
  yield* Effect.callback<void>((resume) => {
    const done = () => {
      clearTimeout(timer)
      resume(Effect.void)
    }
    const timer = setTimeout(done, connectTimeoutMs)
    client.once("ready", done)
    client.once("close", done)
    return Effect.sync(() => clearTimeout(timer))
  })

  const send: Send = (command, args) =>
    Effect.tryPromise({
      try: () => client.call(command, args as Array<string>),
      catch: (error) => fromCause(isReply(error) ? error : (reason ?? error))
    })
  return send
})

const make = Effect.fnUntraced(function* (url: Redacted.Redacted<string>) {
  const address = clean(Redacted.value(url))
  if (address === undefined) {
    return yield* new StorageError({
      operation: "Redis.connect",
      detail: "the URL of Redis is not a valid redis:// or rediss:// URL",
      unavailable: false,
      cause: new Error("not a Redis URL")
    })
  }
  return Redis.of({ send: yield* open(address), another: open(address) })
})

/** A connection for as long as the scope lives. Fails only when the URL is none. */
export const layer = (url: Redacted.Redacted<string>): Layer.Layer<Redis, StorageError> =>
  Layer.effect(Redis, make(url))
