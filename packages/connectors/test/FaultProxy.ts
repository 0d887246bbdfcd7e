/** What networks do: a TCP proxy in front of a service, which delays, drops, repeats and cuts what goes through it. */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import { connect, createServer, type AddressInfo, type Socket } from "node:net"
import { setTimeout } from "node:timers/promises"

/** What goes wrong from now on; what is not named goes well. */
export interface Faults {
  /** Connections are cut as soon as they are made. */
  readonly refuses?: boolean
  /** Each piece takes so much longer, in both directions and in order, in milliseconds. */
  readonly delay_ms?: number
  /** So many answers are lost: what was asked arrives, and the connection is cut instead of an answer. */
  readonly lost_answers?: number
  /** So many connections are cut in the middle of what comes back, after so many bytes. */
  readonly cuts?: { readonly times: number; readonly after_bytes: number }
  /** What is sent arrives once more, on a connection of its own: a request that something on the way repeated. */
  readonly repeats_requests?: boolean
  /** What comes back comes twice, save for the first piece, which is the handshake of a WebSocket. */
  readonly repeats_answers?: boolean
}

export interface FaultProxy {
  readonly port: number
  readonly set: (faults: Faults) => void
  /** Cuts every connection that is open. */
  readonly cut: () => void
  /** Connections cut on purpose so far. */
  readonly harmed: () => number
}

/** Stands before a port of loopback for as long as the scope. */
export const make = (target: number): Effect.Effect<FaultProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    let faults: Faults = {}
    let lostAnswers = 0
    let cuts = 0
    let harmed = 0
    const sockets = new Set<Socket>()

    const known = (socket: Socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
      socket.on("error", () => socket.destroy())
      return socket
    }

    /** Writes in order, each piece after its delay. */
    const slowly = (socket: Socket) => {
      let last = Promise.resolve()
      const write = async (before: Promise<void>, bytes: Buffer) => {
        await before
        if (faults.delay_ms !== undefined) await setTimeout(faults.delay_ms)
        if (!socket.destroyed) socket.write(bytes)
      }
      return (bytes: Buffer) => {
        last = write(last, bytes)
      }
    }

    const proxied = (client: Socket) => {
      const harm = () => {
        harmed++
        client.destroy()
        service.destroy()
      }
      const service = known(connect(target, "127.0.0.1"))
      const toService = slowly(service)
      const toClient = slowly(client)
      let answered = 0

      client.on("data", (bytes: Buffer) => {
        if (faults.repeats_requests === true) known(connect(target, "127.0.0.1")).resume().end(bytes)
        toService(bytes)
      })
      service.on("data", (bytes: Buffer) => {
        const isFirst = answered === 0
        answered += bytes.length
        if (lostAnswers > 0) {
          lostAnswers--
          return harm()
        }
        const { after_bytes = 0 } = faults.cuts ?? {}
        if (cuts > 0 && answered > after_bytes) {
          cuts--
          // The other side gets the part before the cut.
          return void client.write(bytes.subarray(0, Math.max(0, bytes.length - (answered - after_bytes))), harm)
        }
        toClient(bytes)
        if (faults.repeats_answers === true && !isFirst) toClient(bytes)
      })
      client.on("close", () => service.destroy())
      service.on("close", () => client.destroy())
    }

    const server = createServer((client) => {
      known(client)
      if (faults.refuses !== true) return proxied(client)
      harmed++
      client.destroy()
    })
    const cut = () => {
      harmed += sockets.size
      for (const socket of sockets) socket.destroy()
    }
    yield* Effect.acquireRelease(
      Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
      () =>
        Effect.promise(async () => {
          server.close()
          for (const socket of sockets) socket.destroy()
          await once(server, "close")
        })
    )
    return {
      port: (server.address() as AddressInfo).port,
      set: (next) => {
        faults = next
        lostAnswers = next.lost_answers ?? 0
        cuts = next.cuts?.times ?? 0
      },
      cut,
      harmed: () => harmed
    }
  })
