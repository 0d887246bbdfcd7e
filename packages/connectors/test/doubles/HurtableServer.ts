/** An HTTP server for doubles: it can be hurt in the ways of the connector suite, and counts its connections. */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import type { Hurt } from "../ConnectorSuite.ts"

export interface HurtableServer {
  readonly url: string
  readonly server: Server
  readonly isHurt: () => boolean
  readonly sockets: () => number
  readonly hurt: (how: Hurt) => Effect.Effect<void>
}

export type Answer = (request: IncomingMessage, response: ServerResponse, body: string, raw: Buffer) => void

export const json = (response: ServerResponse, status: number, body: unknown) =>
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))

const read = async (request: IncomingMessage) => {
  const parts: Array<Buffer> = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

/** Serves on a free port of loopback for as long as the scope. */
export const hurtableServer = (answer: Answer): Effect.Effect<HurtableServer, never, Scope.Scope> =>
  Effect.gen(function* () {
    let hurt: Hurt | undefined
    const sockets = new Set<Socket>()
    const server = createServer((request, response) => {
      if (hurt === "hanging") return
      if (hurt === "failing") return void json(response, 500, { error: "out of order" })
      if (hurt === "unauthorized") return void json(response, 401, { error: "who are you?" })
      if (hurt === "html")
        return void response.writeHead(200, { "content-type": "text/html" }).end("<html>hello</html>")
      void read(request).then(
        (body) => answer(request, response, body.toString(), body),
        () => undefined
      )
    })
    // A WebSocket is asked for in a request, too.
    server.on("upgrade", (_, socket) => {
      if (hurt === undefined) return
      if (hurt === "hanging") return void socket.on("end", () => socket.destroy()).resume()
      const said = hurt === "failing" ? "500 Out Of Order" : hurt === "html" ? "200 OK" : "401 Unauthorized"
      socket.end(`HTTP/1.1 ${said}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
    })
    server.on("connection", (socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
      () =>
        Effect.promise(async () => {
          server.closeAllConnections()
          for (const socket of sockets) socket.destroy()
          if (!server.listening) return
          server.close()
          await once(server, "close")
        })
    )
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      server,
      isHurt: () => hurt !== undefined,
      sockets: () => sockets.size,
      hurt: (how) =>
        Effect.promise(async () => {
          hurt = how
          if (how !== "down") return
          server.close()
          server.closeAllConnections()
          for (const socket of sockets) socket.destroy()
          await once(server, "close")
        })
    }
  })
