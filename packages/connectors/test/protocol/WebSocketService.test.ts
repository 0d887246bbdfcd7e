import * as WebSocketService from "@muster/connectors/protocol/WebSocketService"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Redacted, Schema, Scope } from "effect"
import { once } from "node:events"
import { createServer as createPlainServer, type IncomingMessage, type Server } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo, Socket } from "node:net"
import { type WebSocket, WebSocketServer } from "ws"
import { eventually } from "../ConnectorSuite.ts"

/** Valid until 2126, for 127.0.0.1 and this test alone. */
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0/fGmYdbb2D91OkA
oEcPt5v3OXoaFv1BuTVKQHKcGAuhRANCAATND5E9kRtLpnXbEnKYRacbUEMa72HX
Phb554Ikx1gJDG7FRRvLW03buyBaP3ooNgkJKJD9NMOmB7Pn7vRZPCO2
-----END PRIVATE KEY-----
`
const certificate = `-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUdWxFKuad577L584UpBl0xErss/kwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjA0NTQzNVoYDzIxMjYxMDI5
MDQ1NDM1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATND5E9kRtLpnXbEnKYRacbUEMa72HXPhb554Ikx1gJDG7FRRvLW03b
uyBaP3ooNgkJKJD9NMOmB7Pn7vRZPCO2o28wbTAdBgNVHQ4EFgQU7eNSOi08DQwg
LECyQYzDyUU4eA4wHwYDVR0jBBgwFoAU7eNSOi08DQwgLECyQYzDyUU4eA4wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwCgYIKoZI
zj0EAwIDSQAwRgIhAPjqPQU8WOoS5NRsMadLrl+QYDivtsYgAunJXpNK57PTAiEA
jYdEmnLV4DDJaxRHZZNvGnC6c0G8Otj9mTOZfkKGd/0=
-----END CERTIFICATE-----
`

interface Peer {
  readonly url: string
  readonly clients: () => ReadonlyArray<WebSocket>
  /** Raw sockets that are open. */
  readonly sockets: () => ReadonlyArray<Socket>
  readonly heard: Array<string>
  readonly handshakes: Array<IncomingMessage>
  /** How many handshakes are answered by being hung up on. */
  refuse: number
}

interface PeerOptions {
  readonly tls?: boolean
  readonly token?: string
  readonly onMessage?: (client: WebSocket, message: string) => void
  /** Answers no pings. */
  readonly isSilent?: boolean
}

const peer = (options: PeerOptions = {}) =>
  Effect.gen(function* () {
    const server: Server = options.tls === true ? createTlsServer({ key, cert: certificate }) : createPlainServer()
    const sockets = new Set<Socket>()
    server.on(options.tls === true ? "secureConnection" : "connection", (socket: Socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
      socket.on("error", () => undefined)
    })
    const accepting = new WebSocketServer({ noServer: true, autoPong: options.isSilent !== true })
    const state: Peer = {
      url: "",
      clients: () => [...accepting.clients],
      sockets: () => [...sockets],
      heard: [],
      handshakes: [],
      refuse: 0
    }
    server.on("upgrade", (request, socket, head) => {
      state.handshakes.push(request)
      if (state.refuse > 0) {
        state.refuse--
        return void socket.destroy()
      }
      if (options.token !== undefined && request.headers.authorization !== `Bearer ${options.token}`) {
        return void socket.end("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
      }
      accepting.handleUpgrade(request, socket, head, (client) => {
        client.on("error", () => undefined)
        client.on("message", (data) => {
          state.heard.push(String(data))
          options.onMessage?.(client, String(data))
        })
      })
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
      () =>
        Effect.promise(async () => {
          for (const socket of sockets) socket.destroy()
          server.close()
          await once(server, "close")
        })
    )
    const { port } = server.address() as AddressInfo
    return Object.assign(state, { url: `${options.tls === true ? "wss" : "ws"}://127.0.0.1:${port}/socket` })
  })

const Message = Schema.Struct({ topic: Schema.String, text: Schema.String })
type Message = typeof Message.Type

const settings = (url: string, over: Partial<WebSocketService.WebSocketSettings<Message>> = {}) => ({
  name: "the service",
  url,
  message: Message as Schema.Codec<Message, unknown>,
  topicOf: ({ topic }: Message) => topic,
  connectTimeout: Duration.seconds(60),
  firstDelay: Duration.millis(5),
  longestDelay: Duration.millis(40),
  ...over
})

const say = (topic: string, text: string) => JSON.stringify({ topic, text })

const live = <A, E>(title: string, body: () => Effect.Effect<A, E, Scope.Scope>) =>
  it.live(title, () => Effect.scoped(body()))

describe("WebSocketService", () => {
  live("brings each message to those who follow its topic, and asks and answers", () =>
    Effect.gen(function* () {
      const service = yield* peer({
        onMessage: (client, message) => {
          const { id } = JSON.parse(message) as { id: string }
          client.send(say("nobody", "listens"))
          client.send(say(id, `answer to ${id}`))
        }
      })
      const socket = yield* WebSocketService.make(settings(service.url))
      const both = yield* Effect.all(
        ["a", "b"].map((id) => socket.ask(id, { id })),
        { concurrency: 2 }
      )
      assert.deepStrictEqual(
        both.map(({ text }) => text),
        ["answer to a", "answer to b"]
      )
    })
  )

  live("comes back after a drop, resumes before anything else, and sends what waited", () =>
    Effect.gen(function* () {
      const service = yield* peer()
      const resumed: Array<boolean> = []
      const socket = yield* WebSocketService.make(
        settings(service.url, {
          reconnected: { topic: "t", text: "back" },
          resume: (send, isFirst) =>
            Effect.andThen(
              send({ resume: resumed.length }),
              Effect.sync(() => void resumed.push(isFirst))
            )
        })
      )
      const following = yield* socket.follow("t")
      yield* eventually("it has resumed", () => service.heard.length === 1)
      service.refuse = 3
      for (const client of service.clients()) client.terminate()
      yield* eventually("it tries again", () => service.refuse < 3)
      yield* socket.send({ later: 1 })
      yield* socket.send({ later: 2 })
      assert.deepStrictEqual(yield* following.take, { topic: "t", text: "back" })
      yield* eventually("all is said", () => service.heard.length === 4)
      assert.deepStrictEqual(service.heard, ['{"resume":0}', '{"resume":1}', '{"later":1}', '{"later":2}'])
      assert.deepStrictEqual(resumed, [true, false])
    })
  )

  live("a connection that breaks inside a frame is followed by another one", () =>
    Effect.gen(function* () {
      const service = yield* peer()
      const socket = yield* WebSocketService.make(settings(service.url))
      const following = yield* socket.follow("t")
      yield* socket.ready
      yield* eventually("it is connected", () => service.clients().length === 1)
      // A text frame of 100 bytes, of which 12 come.
      service.sockets()[0]?.end(Buffer.concat([Buffer.from([0x81, 100]), Buffer.from('{"topic":"t"')]))
      yield* eventually("it connects again", () => service.handshakes.length === 2)
      yield* eventually("it is connected again", () => service.clients().length === 1)
      service.clients()[0]?.send(say("t", "whole"))
      assert.strictEqual((yield* following.take).text, "whole")
    })
  )

  live("a peer that answers no ping is dead", () =>
    Effect.gen(function* () {
      const service = yield* peer({ isSilent: true })
      const socket = yield* WebSocketService.make(settings(service.url, { pingEvery: Duration.millis(30) }))
      yield* socket.ready
      yield* eventually("it connects again", () => service.handshakes.length >= 3)
    })
  )

  live("a peer that answers pings stays", () =>
    Effect.gen(function* () {
      const service = yield* peer()
      const socket = yield* WebSocketService.make(settings(service.url, { pingEvery: Duration.seconds(1) }))
      yield* socket.ready
      const [client] = service.clients()
      let pings = 0
      client?.on("ping", () => pings++)
      yield* eventually("it is asked twice", () => pings > 1)
      assert.strictEqual(service.handshakes.length, 1)
    })
  )

  live("says that it is refused, or not let in, and never its credentials", () =>
    Effect.gen(function* () {
      const service = yield* peer({ token: "right" })
      const headers = { authorization: Redacted.make("Bearer very-secret") }
      const out = yield* WebSocketService.make(settings(service.url, { headers }))
      const failure = yield* Effect.flip(out.ready)
      assert.strictEqual(failure.kind, "Unauthorized")
      assert.notInclude(JSON.stringify(failure), "very-secret")
      const gone = yield* Effect.scoped(peer())
      const closed = yield* WebSocketService.make(settings(gone.url))
      assert.strictEqual((yield* Effect.flip(closed.ready)).kind, "ServiceUnavailable")
    })
  )

  live("TLS with credentials: only certificates that are trusted", () =>
    Effect.gen(function* () {
      const service = yield* peer({ tls: true, token: "right" })
      const headers = { authorization: Redacted.make("Bearer right") }
      const trusting = yield* WebSocketService.make(settings(service.url, { headers, ca: certificate }))
      yield* trusting.ready
      const careful = yield* WebSocketService.make(settings(service.url, { headers }))
      assert.strictEqual((yield* Effect.flip(careful.ready)).kind, "ServiceUnavailable")
    })
  )

  live("a service that speaks HTTP only breaks the protocol", () =>
    Effect.gen(function* () {
      const server = createPlainServer((_, response) => response.end("<html>"))
      yield* Effect.acquireRelease(
        Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
        () => Effect.sync(() => server.close())
      )
      const { port } = server.address() as AddressInfo
      const socket = yield* WebSocketService.make(settings(`ws://127.0.0.1:${port}/`))
      assert.strictEqual((yield* Effect.flip(socket.ready)).kind, "ProtocolError")
    })
  )

  live("a flood ends following, or forgets the oldest; others are not hurt", () =>
    Effect.gen(function* () {
      const service = yield* peer()
      const socket = yield* WebSocketService.make(settings(service.url))
      const failing = yield* socket.follow("flood", { maxUnread: 10 })
      const forgetting = yield* socket.follow("flood", { maxUnread: 10, whenFull: "forget" })
      const other = yield* socket.follow("other")
      yield* socket.ready
      const [client] = service.clients()
      for (let nth = 0; nth < 1_000; nth++) client?.send(say("flood", String(nth)))
      client?.send(say("other", "fine"))
      assert.strictEqual((yield* other.take).text, "fine")
      const kept = yield* Effect.forEach(Array.from({ length: 10 }), () => forgetting.take)
      assert.deepStrictEqual([kept[0]?.text, kept[9]?.text], ["990", "999"])
      const failure = yield* Effect.flip(Effect.forever(failing.take))
      assert.deepStrictEqual(
        [failure.kind, failure.message],
        ["ProtocolError", "the service says more than can be read"]
      )
    })
  )

  live("frames that are too large, and texts that are no message, end following", () =>
    Effect.gen(function* () {
      const service = yield* peer()
      const socket = yield* WebSocketService.make(settings(service.url, { maxFrameBytes: 1_000 }))
      const send = (frame: string | Buffer) =>
        Effect.gen(function* () {
          const following = yield* socket.follow("t")
          yield* socket.ready
          yield* eventually("it is connected", () => service.clients().length === 1)
          service.clients()[0]?.send(frame)
          return yield* Effect.flip(following.take)
        }).pipe(Effect.scoped)
      assert.strictEqual((yield* send("no JSON")).kind, "ProtocolError")
      assert.strictEqual((yield* send('{"topic":7}')).kind, "ProtocolError")
      assert.strictEqual((yield* send("x".repeat(2_000))).kind, "ProtocolError")
    })
  )

  live("binary frames are what the settings make of them, or nothing", () =>
    Effect.gen(function* () {
      const service = yield* peer()
      const binary = (bytes: Uint8Array): Message | undefined =>
        bytes[0] === 1 ? { topic: "t", text: `${bytes.length} bytes` } : undefined
      const socket = yield* WebSocketService.make(settings(service.url, { binary }))
      const following = yield* socket.follow("t")
      yield* socket.ready
      service.clients()[0]?.send(Buffer.from([2, 0]))
      service.clients()[0]?.send(Buffer.from([1, 0, 0]))
      assert.strictEqual((yield* following.take).text, "3 bytes")
    })
  )

  live("the outbox is bounded, and who follows is told when there is no connection for too long", () =>
    Effect.gen(function* () {
      const service = yield* peer({ token: "right" })
      const socket = yield* WebSocketService.make(
        settings(service.url, { maxOutbox: 2, patience: Duration.seconds(1) })
      )
      const following = yield* socket.follow("t")
      yield* socket.send({ nth: 1 })
      yield* socket.send({ nth: 2 })
      assert.strictEqual((yield* Effect.flip(socket.send({ nth: 3 }))).kind, "ServiceUnavailable")
      assert.strictEqual((yield* Effect.flip(following.take)).kind, "Unauthorized")
    })
  )

  it.live("leaves nothing open, connected or connecting", () =>
    Effect.gen(function* () {
      const service = yield* peer()
      const connected = yield* Scope.make()
      const socket = yield* Scope.provide(WebSocketService.make(settings(service.url)), connected)
      yield* socket.ready
      assert.strictEqual(service.sockets().length, 1)
      yield* Scope.close(connected, Exit.void)
      yield* eventually("it is closed", () => service.sockets().length === 0)

      const hanging = createPlainServer()
      const open = new Set<Socket>()
      hanging.on("upgrade", (_, one) => void one.on("end", () => one.destroy()).resume())
      hanging.on("connection", (one) => {
        open.add(one)
        one.on("close", () => open.delete(one))
      })
      yield* Effect.acquireRelease(
        Effect.promise(() => once(hanging.listen(0, "127.0.0.1"), "listening")),
        () => Effect.sync(() => hanging.close())
      )
      const connecting = yield* Scope.make()
      const { port } = hanging.address() as AddressInfo
      yield* Scope.provide(WebSocketService.make(settings(`ws://127.0.0.1:${port}/`)), connecting)
      yield* eventually("it connects", () => open.size === 1)
      const closing = yield* Effect.forkChild(Scope.close(connecting, Exit.void))
      yield* Effect.timeout(Fiber.join(closing), "30 seconds")
      yield* eventually("it hangs up", () => open.size === 0)
    }).pipe(Effect.scoped)
  )
})
