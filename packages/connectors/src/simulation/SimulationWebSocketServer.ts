/**
 * The simulated service over a WebSocket. Clients start work under an id of their choice and are told of every step of
 * it, on the socket on which they started it or asked for it again (`resume`): work goes on without a socket.
 */
import { Duration, Effect, FiberMap, FiberSet, Queue, Result, Schema, type Scope, Stream } from "effect"
import { HttpServerError } from "effect/http"
import { once } from "node:events"
import { createServer, type Server } from "node:http"
import { type WebSocket, WebSocketServer } from "ws"
import { type Address, urlOf } from "./Address.ts"
import * as SimulatedWork from "./SimulatedWork.ts"
import { FromClient, type FromService, type Work } from "./WorkMessages.ts"

/** A longer message ends the connection. */
const mostBytes = 16 * 1024
const mostSockets = 1_000
/** Messages of one socket that wait to be read. */
const mostUnread = 1_000
/** A client that reads so much too slowly is cut off, in bytes. */
const mostUnsent = 4 * 1024 * 1024

export interface SimulationWebSocketServer {
  readonly url: string
  readonly server: Server
  readonly work: SimulatedWork.SimulatedWork
}

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(FromClient), {
  onExcessProperty: "error",
  errors: "all"
})

const send = (socket: WebSocket, message: FromService) =>
  Effect.sync(() => {
    if (socket.bufferedAmount > mostUnsent) return socket.terminate()
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message))
  })

/** One client, until its socket closes. */
const serve = (work: SimulatedWork.SimulatedWork, cuts: Map<string, { times: number; step: number }>) =>
  Effect.fnUntraced(function* (socket: WebSocket) {
    const inbox = yield* Queue.dropping<string>(mostUnread)
    socket.on("message", (data: Buffer) => {
      if (!Queue.offerUnsafe(inbox, data.toString())) socket.terminate()
    })
    socket.on("close", () => Queue.shutdownUnsafe(inbox))
    // An error is followed by the close.
    socket.on("error", () => undefined)
    const following = yield* FiberMap.make<string>()

    /** Whether this is a step after which the socket is to be cut, and has not been. */
    const isToBeCut = ({ id, status, step }: Work) => {
      const cut = cuts.get(id) ?? { times: 0, step: 0 }
      if (status !== "running" || step <= cut.step || cut.times >= (work.requestOf(id)?.drop ?? 0)) return false
      cuts.set(id, { times: cut.times + 1, step })
      if (cuts.size > 10_000) cuts.clear()
      return true
    }

    const tell = Effect.fnUntraced(function* (said: Work) {
      yield* Effect.sleep(Duration.millis(work.requestOf(said.id)?.late_ms ?? 0))
      if (isToBeCut(said)) return socket.terminate()
      yield* send(socket, { type: "work", id: said.id, work: said })
    })

    const follow = (id: string) => {
      const changes = work.watch(id)
      return changes === undefined
        ? send(socket, { type: "unknown", id })
        : Effect.asVoid(FiberMap.run(following, id, Stream.runForEach(changes, tell)))
    }

    const handle = (text: string): Effect.Effect<void> => {
      const decoded = decode(text)
      if (Result.isFailure(decoded)) return send(socket, { type: "refused", message: decoded.failure.message })
      const message = decoded.success
      const { id } = message
      switch (message.type) {
        case "start":
          return work.submit(id, message.request).pipe(
            Effect.flatMap(() => follow(id)),
            Effect.catchTag("Full", () => send(socket, { type: "full", id }))
          )
        case "resume":
          return follow(id)
        case "cancel":
          return Effect.flatMap(work.cancel(id), (cancelled) =>
            cancelled === undefined ? send(socket, { type: "unknown", id }) : Effect.void
          )
        case "ping":
          return send(socket, { type: "pong", id })
      }
    }

    yield* Stream.runForEach(Stream.fromQueue(inbox), handle)
  }, Effect.scoped)

const listen = ({ host, port }: Address) =>
  Effect.gen(function* () {
    const server = createServer((_, response) => void response.writeHead(426, { connection: "close" }).end())
    yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () => once(server.listen(port, host), "listening"),
        catch: (cause) => new HttpServerError.ServeError({ cause })
      }),
      () =>
        Effect.promise(async () => {
          server.closeAllConnections()
          server.close()
          await once(server, "close")
        })
    )
    return server
  })

/** Serves for as long as the scope, which ends every connection. */
export const make = Effect.fnUntraced(function* (
  address: Address,
  settings?: SimulatedWork.WorkSettings
): Effect.fn.Return<SimulationWebSocketServer, HttpServerError.ServeError, Scope.Scope> {
  const work = yield* SimulatedWork.make(settings)
  const server = yield* listen(address)
  const run = yield* FiberSet.makeRuntime()
  const serveOne = serve(work, new Map())
  const sockets = yield* Effect.acquireRelease(
    Effect.sync(() => new WebSocketServer({ server, maxPayload: mostBytes, perMessageDeflate: false })),
    (sockets) =>
      Effect.sync(() => {
        for (const socket of sockets.clients) socket.terminate()
        sockets.close()
      })
  )
  sockets.on("connection", (socket) => {
    if (sockets.clients.size > mostSockets) return socket.close(1013, "too many connections")
    run(serveOne(socket))
  })
  return { url: urlOf("ws", address, server), server, work }
})
