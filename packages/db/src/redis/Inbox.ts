/**
 * What this process is told by Redis: wakes for its workers, and attempts of theirs that were ended by others. One list
 * in Redis and one connection that waits for it, from the first worker that listens on. Claims that stand go behind each
 * look. Source: broker rules 15 and 16.
 */
import { JobId } from "@muster/core/job/Job"
import type { Signal } from "@muster/core/job/internal/JobQueue"
import { whileAway } from "@muster/core/WhileAway"
import type { WorkerId } from "@muster/core/worker/Worker"
import { Duration, Effect, Option, Queue, Schema } from "effect"
import type * as JobCommands from "./JobCommands.ts"
import type { Redis, Send } from "./Redis.ts"
import * as StandingClaims from "./StandingClaims.ts"

/** How long one look waits: less than the time after which a command counts as lost. */
export const longestLook = Duration.seconds(3)
const waitSeconds = String(Duration.toSeconds(longestLook))
const messagesPerLook = "100"

const isText = (value: unknown): value is string => typeof value === "string"

/** The messages of a look, by hand: a worker waits for them. None when the time is over. */
const messagesOf = (reply: unknown): ReadonlyArray<string> => {
  const messages: unknown = Array.isArray(reply) ? reply[1] : []
  return Array.isArray(messages) ? messages.filter(isText) : []
}

const decodeFence = Schema.decodeUnknownOption(
  Schema.Struct({ job_id: JobId, attempt: Schema.FiniteFromString, nonce: Schema.String })
)

/** Unheard signals of a worker: one is as good as many. */
const kept = 1_000

/** `claimWoken` goes on with claims over the connection it is given. */
export const make = Effect.fnUntraced(function* (
  redis: Redis["Service"],
  queue: string,
  claimWoken: (send: Send) => ReturnType<typeof JobCommands.claimWoken>
) {
  const id = globalThis.crypto.randomUUID()
  const key = `${queue}:inbox:${id}`
  const listeners = new Map<string, Set<Queue.Enqueue<Signal>>>()
  const scope = yield* Effect.scope
  let listening = false

  /** Whoever waits goes on at once, before this process does anything else. */
  const tell = (worker: string, signal: Signal): void => {
    for (const listener of listeners.get(worker) ?? []) {
      Queue.offerUnsafe(listener, signal)
      Queue.flushUnsafe(listener)
    }
  }
  const standing = yield* StandingClaims.make(tell)

  /** Passes a message on; says whether it could be read. */
  const deliver = (message: string): boolean => {
    const [what, worker = "", attempt, nonce, job_id] = message.split(" ")
    if (what === "wake") {
      if (!standing.answers(worker)) tell(worker, { _tag: "Wake" })
      return true
    }
    const fence = decodeFence({ job_id, attempt, nonce })
    if (Option.isSome(fence)) tell(worker, { _tag: "Fenced", fence: fence.value })
    return Option.isSome(fence)
  }

  const listen = Effect.gen(function* () {
    const send = yield* redis.another
    const ask = claimWoken(send)
    const wait = Effect.suspend(() => {
      // When this one was sent: by the rest of this turn.
      queueMicrotask(() => standing.lookBegins(ask))
      return send("BLMPOP", [waitSeconds, "1", key, "LEFT", "COUNT", messagesPerLook])
    })
    const look = Effect.flatMap(
      Effect.onExit(wait, () => Effect.sync(standing.lookEnds)),
      (reply) => {
        let unreadable = 0
        for (const message of messagesOf(reply)) if (!deliver(message)) unreadable++
        // Answers to claims that stood come with what woke them: they are heard before the next look is sent.
        return unreadable === 0
          ? Effect.yieldNow
          : Effect.logWarning(`${unreadable} unreadable messages of Redis were dropped`)
      }
    )
    return yield* Effect.forever(Effect.retry(look, whileAway))
  })

  return {
    /** The name under which Redis writes to this process. */
    id,
    standing,
    isListening: (worker: WorkerId): boolean => listeners.has(worker),
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
