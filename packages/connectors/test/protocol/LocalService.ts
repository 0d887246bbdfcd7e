/** A service on this machine that answers as a test wants, on a real socket. */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import { createServer, type RequestListener, type Server } from "node:http"
import type { AddressInfo } from "node:net"

export interface LocalService {
  readonly url: string
  readonly server: Server
}

/** Listens on a free port of loopback for as long as the scope; open connections are cut at its end. */
export const localService = (answer: RequestListener): Effect.Effect<LocalService, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer(answer).listen(0, "127.0.0.1")
      await once(server, "listening")
      return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
    }),
    ({ server }) =>
      Effect.promise(async () => {
        server.closeAllConnections()
        if (!server.listening) return
        server.close()
        await once(server, "close")
      })
  )
