/** A real server on a free loopback port, and a caller that sends exactly what it is told to. */
import { createServer, request as httpRequest, type OutgoingHttpHeaders } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import * as EventFeed from "@muster/core/event/EventFeed"
import * as ArchiverState from "@muster/core/job/ArchiverState"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import type { Ports } from "@muster/core/Ports"
import * as MemoryWebhookStore from "@muster/core/webhook/internal/MemoryWebhookStore"
import { TargetRefused, WebhookTarget } from "@muster/core/webhook/WebhookTarget"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { MassLossBrake } from "@muster/core/worker/MassLossBrake"
import * as HttpServer from "@muster/http-server/HttpServer"
import { HttpSettings } from "@muster/http-server/HttpSettings"
import * as UnreadableRequests from "@muster/http-server/UnreadableRequests"
import { Context, Effect, Layer } from "effect"
import { HttpServer as Listening } from "effect/http"

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly text: string
  /** The body as JSON. */
  readonly json: any
}

export interface Sending {
  /** On top of what the body asks for; undefined leaves a header out. */
  readonly headers?: OutgoingHttpHeaders
  /** Sent as JSON, unless `raw` is given. */
  readonly body?: unknown
  /** Sent as it stands; several parts go out chunked, with no content-length. */
  readonly raw?: string | Uint8Array | ReadonlyArray<string | Uint8Array>
}

const json = { "content-type": "application/json" }

const send = (port: number, method: string, path: string, sending: Sending): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const { body, raw = body === undefined ? undefined : JSON.stringify(body) } = sending
    const parts = raw === undefined ? [] : typeof raw === "string" || raw instanceof Uint8Array ? [raw] : raw
    const length = parts.length === 1 && parts[0] !== undefined ? { "content-length": Buffer.byteLength(parts[0]) } : {}
    const chunked = parts.length > 1 ? { "transfer-encoding": "chunked" } : {}
    const all = { ...(raw === undefined ? {} : json), ...length, ...chunked, ...sending.headers }
    const headers = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
    let answered = false
    const outgoing = httpRequest({ host: "127.0.0.1", port, method, path, headers, agent: false }, (incoming) => {
      answered = true
      const chunks: Array<Buffer> = []
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk))
      incoming.on("error", reject)
      incoming.on("end", () => {
        const text = Buffer.concat(chunks).toString()
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          text,
          get json() {
            return JSON.parse(text)
          }
        })
      })
    })
    // A server that refuses a large body may close before all of it is sent; its answer is what counts.
    outgoing.on("error", (error) => (answered ? undefined : reject(error)))
    for (const part of parts) outgoing.write(part)
    outgoing.end()
  })

export class TestServer extends Context.Service<
  TestServer,
  {
    readonly port: number
    readonly url: string
    readonly send: (method: string, path: string, sending?: Sending) => Effect.Effect<Answer>
  }
>()("@muster/http-server/test/TestServer") {}

/** Nothing is sent: a receiver answers what the path of its URL says, and the host `private` is refused. */
const webhookTarget = Layer.succeed(WebhookTarget, {
  check: (url) => (new URL(url).hostname === "private" ? new TargetRefused({ detail: "is private" }) : Effect.void),
  post: ({ url }) => Effect.succeed({ status: Number(new URL(url).pathname.slice(1)), retryAfter: null })
})

export const stores: Layer.Layer<Ports> = Layer.mergeAll(
  MemoryRegistry.layer,
  EventFeed.layer.pipe(Layer.provideMerge(Layer.merge(MemoryJobQueue.layer, JobArchive.layerNone))),
  MassLossBrake.layer,
  ArchiverState.layer,
  MemoryWebhookStore.layer,
  webhookTarget
)

/** The server with these stores, which a test reaches too, and these settings. */
export const serverOn = <E>(ports: Layer.Layer<Ports, E>, settings: Partial<HttpSettings> = {}) =>
  Layer.effect(
    TestServer,
    Effect.gen(function* () {
      const { address } = yield* Listening.HttpServer
      if (!("port" in address)) return yield* Effect.die(new Error("not a TCP port"))
      const { port } = address
      return TestServer.of({
        port,
        url: `http://127.0.0.1:${port}`,
        send: (method, path, sending = {}) => Effect.promise(() => send(port, method, path, sending))
      })
    })
  ).pipe(
    Layer.provideMerge(HttpServer.layer),
    Layer.provideMerge(
      NodeHttpServer.layer(() => UnreadableRequests.answered(createServer()), { port: 0, host: "127.0.0.1" })
    ),
    Layer.provideMerge(ports),
    Layer.provide(
      Layer.effect(
        HttpSettings,
        Effect.map(HttpSettings, (defaults) => ({ ...defaults, ...settings }))
      )
    )
  )

export const server = (settings: Partial<HttpSettings> = {}) => serverOn(stores, settings)

/** Sends a request to the server of the test. */
export const ask = (method: string, path: string, sending: Sending = {}) =>
  Effect.flatMap(TestServer, (server) => server.send(method, path, sending))

export const registration = (id: string, over: Record<string, unknown> = {}) => ({
  id,
  region: "eu",
  capacity: 2,
  capabilities: { job_types: ["simulation"] },
  ...over
})

/** Registers a worker that accepts `simulation`. */
export const register = (id: string, over: Record<string, unknown> = {}) =>
  ask("POST", "/workers", { body: registration(id, over) })

/** Submits a job and gives its id. */
export const submit = (over: Record<string, unknown> = {}) =>
  Effect.map(
    ask("POST", "/jobs", { body: { service_required: "simulation", ...over } }),
    ({ json }) => json.job.id as string
  )
