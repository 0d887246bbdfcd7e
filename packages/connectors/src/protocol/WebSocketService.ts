/**
 * A service that is reached by a WebSocket: what the documents call WebSocketConnector. It stays connected as well as it
 * can for as long as its scope: a connection that ends, or whose peer is silent, is followed by another one after a
 * while. Messages in between are lost unless the service says them again, which is what `resume` is for. Source:
 * document 003.
 */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Cause, Clock, Deferred, Duration, Effect, Queue, Random, Result, Schema, type Scope } from "effect"
import { type Connection, type ConnectionSettings, open } from "./WebSocketConnection.ts"

export interface WebSocketSettings<In> extends Omit<
  ConnectionSettings,
  "connectTimeout" | "pingEvery" | "maxFrameBytes"
> {
  /** What a text frame holds, as JSON. A type that nobody waits for belongs into it as well as the others. */
  readonly message: Schema.Codec<In, unknown>
  /** Those who follow its topic get a message; without one nobody gets it. */
  readonly topicOf: (message: In) => string | undefined
  /** What a binary frame says; without this, or when it says nothing, the frame is dropped. */
  readonly binary?: ((bytes: Uint8Array) => In | undefined) | undefined
  /** A text frame that is no `message`: ends all following with a ProtocolError (so by default), or is dropped. */
  readonly strangeFrames?: "fail" | "drop" | undefined
  /**
   * Called after each connect, before anything else is sent. `isFirst` is false when something may have been missed. Its
   * failure ends the connection.
   */
  readonly resume?:
    | ((
        send: (message: unknown) => Effect.Effect<void, ConnectorFailure>,
        isFirst: boolean
      ) => Effect.Effect<void, ConnectorFailure>)
    | undefined
  /** Given to those who follow its topic after each connect but the first: they may have missed something. */
  readonly reconnected?: In | undefined
  /** How long the handshake, and then `resume`, may take; 10 seconds by default. */
  readonly connectTimeout?: Duration.Duration | undefined
  /** See {@link ConnectionSettings}; 20 seconds by default. */
  readonly pingEvery?: Duration.Duration | undefined
  /** 16 MiB by default. */
  readonly maxFrameBytes?: number | undefined
  /** Messages that wait for a connection at most; 100 by default. */
  readonly maxOutbox?: number | undefined
  /** The wait before the second try to connect, 200 ms by default; it doubles, spread over its upper half. */
  readonly firstDelay?: Duration.Duration | undefined
  /** 10 seconds by default. */
  readonly longestDelay?: Duration.Duration | undefined
  /** Who follows a topic is failed when there was no connection for so long; 1 minute by default. */
  readonly patience?: Duration.Duration | undefined
}

export interface FollowOptions {
  /** Messages that wait to be taken at most; 1000 by default. */
  readonly maxUnread?: number | undefined
  /** When there are more: following ends with a ProtocolError (so by default), or the oldest are forgotten. */
  readonly whenFull?: "fail" | "forget" | undefined
}

/** Messages of a topic from now on, one `take` after the other. It fails for good when no more can come. */
export interface Following<In> {
  readonly take: Effect.Effect<In, ConnectorFailure>
}

export interface WebSocketService<In> {
  /** Waits until there is a connection, at most until the next try to connect has failed: with that failure. */
  readonly ready: Effect.Effect<void, ConnectorFailure>
  /**
   * Sends a message as JSON; while there is no connection it waits in the outbox. ServiceUnavailable when that is full,
   * or when the connection breaks at this very moment and nobody knows whether the message went out.
   */
  readonly send: (message: unknown) => Effect.Effect<void, ConnectorFailure>
  /** Follows a topic for as long as the scope. */
  readonly follow: (topic: string, options?: FollowOptions) => Effect.Effect<Following<In>, never, Scope.Scope>
  /** Sends a message and waits for the first one of a topic. */
  readonly ask: (topic: string, message: unknown) => Effect.Effect<In, ConnectorFailure>
}

interface Follower<In> {
  readonly queue: Queue.Queue<In, ConnectorFailure>
  readonly mayForget: boolean
}

const unavailable = (message: string) => new ConnectorFailure({ kind: "ServiceUnavailable", message })

/** Connects, and stays connected, for as long as the scope. It does not wait for the first connection. */
export const make = Effect.fnUntraced(function* <In>(
  settings: WebSocketSettings<In>
): Effect.fn.Return<WebSocketService<In>, never, Scope.Scope> {
  const {
    connectTimeout = Duration.seconds(10),
    firstDelay = Duration.millis(200),
    longestDelay = Duration.seconds(10),
    maxFrameBytes = 16 * 1024 * 1024,
    maxOutbox = 100,
    name,
    patience = Duration.minutes(1),
    pingEvery = Duration.seconds(20),
    resume = () => Effect.void,
    strangeFrames = "fail",
    topicOf
  } = settings
  const decode = Schema.decodeUnknownResult(Schema.fromJsonString(settings.message))

  const followers = new Map<string, Set<Follower<In>>>()
  const outbox: Array<string> = []
  let connection: Connection | undefined
  let nextTry = Deferred.makeUnsafe<void, ConnectorFailure>()

  const failAll = (failure: ConnectorFailure) => {
    for (const { queue } of [...followers.values()].flatMap((some) => [...some])) {
      Queue.failCauseUnsafe(queue, Cause.fail(failure))
    }
  }

  const deliver = (message: In | undefined) => {
    const topic = message === undefined ? undefined : topicOf(message)
    if (message === undefined || topic === undefined) return
    for (const { mayForget, queue } of followers.get(topic) ?? []) {
      if (Queue.offerUnsafe(queue, message) || mayForget) continue
      const failure = new ConnectorFailure({ kind: "ProtocolError", message: `${name} says more than can be read` })
      Queue.failCauseUnsafe(queue, Cause.fail(failure))
    }
  }

  const onFrame = (data: Buffer, isBinary: boolean) => {
    if (isBinary) return deliver(settings.binary?.(data))
    const decoded = decode(data.toString())
    if (Result.isSuccess(decoded)) return deliver(decoded.success)
    if (strangeFrames === "drop") return
    const words = String(decoded.failure.message).slice(0, 300)
    failAll(new ConnectorFailure({ kind: "ProtocolError", message: `${name} said something unexpected: ${words}` }))
  }

  let isFirst = true
  let failures = 0
  let lostAt = yield* Clock.currentTimeMillis

  /** One connection until it ends; fails with why it did. */
  const session = Effect.gen(function* () {
    const fresh = yield* open({ ...settings, connectTimeout, maxFrameBytes, pingEvery }, onFrame)
    const ended = Effect.flatMap(fresh.closed, Effect.fail)
    const begin = Effect.gen(function* () {
      yield* resume((message) => fresh.send(JSON.stringify(message)), isFirst)
      for (let next = outbox[0]; next !== undefined; next = outbox[0]) {
        yield* fresh.send(next)
        outbox.shift()
      }
      // Nothing runs between the last look into the outbox and this, so no message is overtaken.
      connection = fresh
      if (!isFirst) deliver(settings.reconnected)
      isFirst = false
      failures = 0
      yield* Deferred.succeed(nextTry, undefined)
    })
    const late = () => Effect.fail(unavailable(`${name} did not resume within ${Duration.format(connectTimeout)}`))
    yield* Effect.raceFirst(Effect.timeoutOrElse(begin, { duration: connectTimeout, orElse: late }), ended)
    return yield* ended
  }).pipe(Effect.scoped)

  const lost = Effect.fnUntraced(function* (failure: ConnectorFailure) {
    const now = yield* Clock.currentTimeMillis
    if (connection !== undefined) {
      connection = undefined
      lostAt = now
      nextTry = Deferred.makeUnsafe()
    } else {
      const waiting = nextTry
      nextTry = Deferred.makeUnsafe()
      yield* Deferred.fail(waiting, failure)
    }
    // A peer that breaks the protocol will do so again.
    if (failure.kind === "ProtocolError" || now - lostAt >= Duration.toMillis(patience)) failAll(failure)
    yield* Effect.logDebug(`${failure.message}; connecting again`)
    const most = Math.min(
      Duration.toMillis(firstDelay) * 2 ** Math.min(failures++, 30),
      Duration.toMillis(longestDelay)
    )
    yield* Effect.sleep(Duration.millis(most * (0.5 + (yield* Random.next) / 2)))
  })

  yield* Effect.forkScoped(Effect.forever(Effect.catch(session, lost)))

  const follow = Effect.fnUntraced(function* (topic: string, options: FollowOptions = {}) {
    const { maxUnread = 1_000, whenFull = "fail" } = options
    const mayForget = whenFull === "forget"
    const queue = yield* mayForget
      ? Queue.sliding<In, ConnectorFailure>(maxUnread)
      : Queue.dropping<In, ConnectorFailure>(maxUnread)
    const follower = { queue, mayForget }
    const join = Effect.sync(() => {
      const some = followers.get(topic)
      if (some === undefined) followers.set(topic, new Set([follower]))
      else some.add(follower)
    })
    const leave = Effect.sync(() => {
      const some = followers.get(topic)
      some?.delete(follower)
      if (some?.size === 0) followers.delete(topic)
    })
    yield* Effect.acquireRelease(join, () => Effect.andThen(leave, Queue.shutdown(queue)))
    return { take: Queue.take(queue) }
  })

  const send = (message: unknown) =>
    Effect.suspend(() => {
      const text = JSON.stringify(message)
      if (connection?.isOpen() === true) return connection.send(text)
      if (outbox.length >= maxOutbox) return Effect.fail(unavailable(`${name} is away, and too much waits for it`))
      outbox.push(text)
      return Effect.void
    })

  return {
    ready: Effect.suspend(() => (connection === undefined ? Deferred.await(nextTry) : Effect.void)),
    send,
    follow,
    ask: (topic, message) =>
      Effect.scoped(Effect.flatMap(follow(topic), (following) => Effect.andThen(send(message), following.take)))
  }
})
