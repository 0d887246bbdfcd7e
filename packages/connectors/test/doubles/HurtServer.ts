/** Hurts a server that exists, in the ways of the connector suite, and counts its connections. */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import type { IncomingMessage, Server } from "node:http"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import type { Hurt } from "../ConnectorSuite.ts"
import { json } from "./HurtableServer.ts"

export interface Hurting {
  readonly sockets: () => number
  readonly hurt: (how: Hurt) => Effect.Effect<void>
}

/**
 * Takes the place of what listens to the server now. Connections that are open when it is hurt are cut, and all of them
 * at the end of the scope.
 */
export const hurtServer = Effect.fnUntraced(function* (server: Server): Effect.fn.Return<Hurting, never, Scope.Scope> {
  let hurt: Hurt | undefined
  const sockets = new Set<Socket>()
  const onRequest = server.listeners("request")
  const onUpgrade = server.listeners("upgrade")
  server.removeAllListeners("request").removeAllListeners("upgrade")

  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  server.on("request", (request, response) => {
    switch (hurt) {
      case undefined:
        return onRequest.forEach((listener) => listener.call(server, request, response))
      case "hanging":
      case "down":
        return
      case "failing":
        return void json(response, 500, { error: "out of order" })
      case "unauthorized":
        return void json(response, 401, { error: "who are you?" })
      case "html":
        return void response.writeHead(200, { "content-type": "text/html" }).end("<html>hello</html>")
    }
  })
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (hurt === undefined) return onUpgrade.forEach((listener) => listener.call(server, request, socket, head))
    if (hurt === "hanging") return
    const said = hurt === "failing" ? "500 Out Of Order" : hurt === "html" ? "200 OK" : "401 Unauthorized"
    socket.end(`HTTP/1.1 ${said}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
  })

  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  yield* Effect.addFinalizer(() => Effect.sync(cut))

  return {
    sockets: () => sockets.size,
    hurt: (how: Hurt) =>
      Effect.promise(async () => {
        hurt = how
        if (how === "down") server.close()
        cut()
        if (how === "down") await once(server, "close")
      })
  }
})
