/**
 * What goes wrong between Muster and Redis, in words that are safe to show: no host, key, argument or credential.
 */
import { StorageError } from "@muster/core/job/JobErrors"
import { Data, Effect } from "effect"
import { ReplyError } from "ioredis"

/** A command was not done, or nobody knows whether it was. */
export class RedisFailure extends Data.TaggedError("RedisFailure")<{
  readonly detail: string
  /** Redis could not be reached or cannot serve now: worth repeating later. */
  readonly unavailable: boolean
  readonly cause: unknown
}> {}

/** Error codes of Redis that say more than "refused". */
const codes: Record<string, readonly [detail: string, unavailable: boolean]> = {
  BUSY: ["Redis is busy with a script", true],
  CLUSTERDOWN: ["the Redis cluster is down", true],
  LOADING: ["Redis is loading its data", true],
  MASTERDOWN: ["this Redis is a replica without its primary", true],
  MISCONF: ["Redis cannot write to its disk", true],
  NOAUTH: ["Redis wants credentials", true],
  NOPERM: ["the Redis user lacks a permission", false],
  NOREPLICAS: ["too few Redis replicas are connected", true],
  OOM: ["Redis has reached its memory limit", true],
  OUTDATED: ["Redis holds an older function library", true],
  READONLY: ["this Redis is a read-only replica", true],
  TRYAGAIN: ["the Redis cluster is moving keys", true],
  WRONGPASS: ["Redis refused the credentials", true]
}

/** Whether Redis itself answered with this error, over a connection that works. */
export const isReply = (cause: unknown): cause is Error => cause instanceof ReplyError

const classify = (cause: unknown): readonly [detail: string, unavailable: boolean] => {
  if (isReply(cause)) {
    if (/unknown command/i.test(cause.message)) return ["Redis 7 or newer is needed", false]
    if (cause.message.includes("Function not found")) return ["Redis lost the function library", true]
    return codes[cause.message.split(" ", 1)[0] ?? ""] ?? ["Redis refused a command", false]
  }
  const timedOut = cause instanceof Error && cause.message === "Command timed out"
  return [timedOut ? "Redis did not answer in time" : "Redis cannot be reached", true]
}

/** Tells what an error of the client means, and takes away the command it names: arguments hold payloads. */
export const fromCause = (cause: unknown): RedisFailure => {
  if (isReply(cause)) Reflect.deleteProperty(cause, "command")
  const [detail, unavailable] = classify(cause)
  return new RedisFailure({ detail, unavailable, cause })
}

/** Names the port method that failed, such as `JobQueue.submit`. */
export const toStorageError =
  (operation: string) =>
  ({ cause, detail, unavailable }: RedisFailure): StorageError =>
    new StorageError({ operation, detail, unavailable, cause })

/** Lets only the errors of a port out: a failure of Redis becomes a StorageError of the method it came from. */
export const inMethod =
  (port: string) =>
  (method: string) =>
  <A, E>(self: Effect.Effect<A, E | RedisFailure>): Effect.Effect<A, Exclude<E, RedisFailure> | StorageError> =>
    Effect.mapError(self, (error) =>
      error instanceof RedisFailure ? toStorageError(`${port}.${method}`)(error) : (error as Exclude<E, RedisFailure>)
    )

/** What Redis holds is not what was written there. */
export const unexpected = (cause: unknown): RedisFailure =>
  new RedisFailure({ detail: "Redis holds something unexpected", unavailable: false, cause })
