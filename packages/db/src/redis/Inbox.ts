/**
 * What this process is told by Redis: wakes for its workers, and attempts of theirs that were ended by others. One list
 * in Redis and one connection that waits for it, from the first worker that listens on. Source: broker rules 15 and 16.
 */
import { JobId } from "@muster/core/job/Job"
import type { Signal } from "@muster/core/job/internal/JobQueue"
import { whileAway } from "@muster/core/WhileAway"
import type { WorkerId } from "@muster/core/worker/Worker"
import { Effect, Option, Queue, Schema } from "effect"
import type { Redis } from "./Redis.ts"

/** How long one look waits, in seconds: less than the time after which a command counts as lost. */
const waitSeconds = "3"
const messagesPerLook = "100"

const Reply = Schema.NullOr(Schema.Tuple([Schema.String, Schema.Array(Schema.String)]))
const decodeReply = Schema.decodeUnknownOption(Reply)
const decodeFence = Schema.decodeUnknownOption(
  Schema.Struct({ job_id: JobId, attempt: Schema.FiniteFromString, nonce: Schema.String })
)

/** Unheard signals of a worker: one is as good as many. */
const kept = 1_000

export const make = Effect.fnUntraced(function* (redis: Redis["Service"], queue: string) {
  const id = globalThis.crypto.randomUUID()
  const key = `${queue}:inbox:${id}`
  const listeners = new Map<string, Set<Queue.Enqueue<Signal>>>()
  const scope = yield* Effect.scope
  let listening = false

  const offer = (worker: string, signal: Signal) =>
    Effect.forEach(listeners.get(worker) ?? [], (listener) => Queue.offer(listener, signal), { discard: true })

  const deliver = (message: string) => {
    const [what, worker = "", attempt, nonce, job_id] = message.split(" ")
    if (what === "wake") return offer(worker, { _tag: "Wake" })
    return Option.match(decodeFence({ job_id, attempt, nonce }), {
      onNone: () => Effect.logWarning("an unreadable message of Redis was dropped"),
      onSome: (fence) => offer(worker, { _tag: "Fenced", fence })
    })
  }

  const listen = Effect.gen(function* () {
    const send = yield* redis.another
    const look = Effect.gen(function* () {
      const reply = yield* send("BLMPOP", [waitSeconds, "1", key, "LEFT", "COUNT", messagesPerLook])
      const [, messages] = Option.getOrUndefined(decodeReply(reply)) ?? [key, []]
      yield* Effect.forEach(messages, deliver, { discard: true })
    })
    return yield* Effect.forever(Effect.retry(look, whileAway))
  })

  return {
    /** The name under which Redis writes to this process. */
    id,
    signals: Effect.fnUntraced(function* (worker: WorkerId) {
      const listener = yield* Queue.sliding<Signal>(kept)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          const others = listeners.get(worker) ?? new Set()
          listeners.set(worker, others.add(listener))
        }),
        () =>
          Effect.sync(() => {
            const others = listeners.get(worker)
            others?.delete(listener)
            if (others?.size === 0) listeners.delete(worker)
          })
      )
      if (!listening) {
        listening = true
        yield* Effect.forkIn(Effect.scoped(listen), scope)
      }
      return listener
    })
  }
})
