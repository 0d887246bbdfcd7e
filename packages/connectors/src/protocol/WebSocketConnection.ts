/** One connection of a WebSocket, from its handshake to its end. `WebSocketService` makes one after the other of them. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Deferred, Duration, Effect, Redacted, type Scope } from "effect"
import { WebSocket } from "ws"
import * as HttpFailure from "./HttpFailure.ts"

export interface ConnectionSettings {
  /** How the service is called in messages. */
  readonly name: string
  /** `ws:` or `wss:`. */
  readonly url: string
  /** Sent with the handshake, such as credentials. */
  readonly headers?: Readonly<Record<string, Redacted.Redacted>> | undefined
  /** Certificates in PEM that are trusted instead of the usual ones. */
  readonly ca?: string | undefined
  /** How long the handshake may take. */
  readonly connectTimeout: Duration.Duration
  /** A peer from which nothing came between two pings, not even an answer to the first, is dead. */
  readonly pingEvery: Duration.Duration
  /** A longer frame ends the connection. */
  readonly maxFrameBytes: number
}

export interface Connection {
  readonly isOpen: () => boolean
  /** Done when the message is handed to the system, which does not say that it arrives. */
  readonly send: (message: string) => Effect.Effect<void, ConnectorFailure>
  /** Waits for the end, and says why it came. */
  readonly closed: Effect.Effect<ConnectorFailure>
}

/** How long a peer is given to agree that the connection is over. */
const closeWithin = Duration.seconds(1)

const unavailable = (message: string) => new ConnectorFailure({ kind: "ServiceUnavailable", message })

/** What the answer to a handshake means that is no agreement to it. */
const refusal = (name: string, status: number): ConnectorFailure => {
  const failure = HttpFailure.ofStatus(name, status, "it takes no WebSocket here")
  return failure.kind === "InvalidPayload"
    ? new ConnectorFailure({ kind: "ProtocolError", message: failure.message })
    : failure
}

const codeOf = (error: Error): string => ("code" in error && typeof error.code === "string" ? error.code : "")

const failureOf = (name: string, error: Error): ConnectorFailure =>
  codeOf(error).startsWith("WS_ERR_")
    ? new ConnectorFailure({ kind: "ProtocolError", message: `${name} broke the protocol: ${error.message}` })
    : HttpFailure.ofTransport(name, error)

const afterClose = (name: string, code: number): ConnectorFailure =>
  code === 1009
    ? new ConnectorFailure({ kind: "ProtocolError", message: `${name} found a message too long` })
    : unavailable(`${name} closed the connection (${code})`)

/** Says goodbye, and hangs up when that is not answered. */
const hangUp = (socket: WebSocket): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (socket.readyState === WebSocket.CLOSED) return resume(Effect.void)
    const late = setTimeout(() => socket.terminate(), Duration.toMillis(closeWithin))
    socket.once("close", () => {
      clearTimeout(late)
      resume(Effect.void)
    })
    socket.close(1000)
  })

/** Connects for as long as the scope. Frames are given on in the order in which they come. */
export const open = Effect.fnUntraced(function* (
  settings: ConnectionSettings,
  onFrame: (data: Buffer, isBinary: boolean) => void
): Effect.fn.Return<Connection, ConnectorFailure, Scope.Scope> {
  const { connectTimeout, name, pingEvery } = settings
  const end = yield* Deferred.make<ConnectorFailure>()
  const headers = Object.entries(settings.headers ?? {}).map(([key, value]) => [key, Redacted.value(value)])

  const socket = yield* Effect.acquireRelease(
    Effect.try({
      try: () =>
        new WebSocket(settings.url, {
          headers: Object.fromEntries(headers),
          maxPayload: settings.maxFrameBytes,
          perMessageDeflate: false,
          ...(settings.ca === undefined ? {} : { ca: settings.ca })
        }),
      catch: () => new ConnectorFailure({ kind: "ProtocolError", message: `${name}: the URL is not valid` })
    }),
    hangUp
  )

  const over = (failure: ConnectorFailure) => Deferred.doneUnsafe(end, Effect.succeed(failure))
  let isAlive = true
  socket.on("message", (data: Buffer, isBinary: boolean) => {
    isAlive = true
    onFrame(data, isBinary)
  })
  socket.on("pong", () => (isAlive = true))
  socket.on("ping", () => (isAlive = true))
  socket.on("error", (error) => over(failureOf(name, error)))
  socket.on("unexpected-response", (request, response) => {
    over(refusal(name, response.statusCode ?? 0))
    request.destroy()
  })
  socket.on("close", (code) => over(afterClose(name, code)))

  const opened = Effect.callback<void>((resume) => {
    socket.once("open", () => resume(Effect.void))
  })
  yield* Effect.raceFirst(opened, Effect.flatMap(Deferred.await(end), Effect.fail)).pipe(
    Effect.timeoutOrElse({
      duration: connectTimeout,
      orElse: () => {
        socket.terminate()
        return Effect.fail(unavailable(`${name} did not agree to connect within ${Duration.format(connectTimeout)}`))
      }
    })
  )

  const ping = Effect.suspend(() => {
    if (!isAlive) {
      over(unavailable(`${name} is silent: it answered no ping for ${Duration.format(pingEvery)}`))
      socket.terminate()
      return Effect.never
    }
    isAlive = false
    if (socket.readyState === WebSocket.OPEN) socket.ping()
    return Effect.sleep(pingEvery)
  })
  yield* Effect.forkScoped(Effect.forever(ping))

  return {
    isOpen: () => socket.readyState === WebSocket.OPEN,
    send: (message) =>
      Effect.callback((resume) => {
        socket.send(message, (error) =>
          resume(error === undefined || error === null ? Effect.void : Effect.fail(failureOf(name, error)))
        )
      }),
    closed: Deferred.await(end)
  }
})
