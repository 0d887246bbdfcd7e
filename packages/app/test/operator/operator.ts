/** A real server in memory, and the real command run against it. */
import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import * as EventFeed from "@muster/core/event/EventFeed"
import * as ArchiverState from "@muster/core/job/ArchiverState"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import type { Ports } from "@muster/core/Ports"
import * as MemoryWebhookStore from "@muster/core/webhook/internal/MemoryWebhookStore"
import * as MemoryRegistry from "@muster/core/worker/internal/MemoryRegistry"
import { WebhookSettings } from "@muster/core/webhook/WebhookSettings"
import { MassLossBrake } from "@muster/core/worker/MassLossBrake"
import * as HttpWebhookTarget from "@muster/impl/HttpWebhookTarget"
import * as HttpServer from "@muster/http-server/HttpServer"
import { HttpSettings } from "@muster/http-server/HttpSettings"
import { Context, Deferred, Effect, Layer, Redacted, type Scope } from "effect"
import { HttpServer as Server } from "effect/http"
import { NetAddress } from "effect/net"
import { spawn } from "node:child_process"
import { createServer } from "node:http"
import { join } from "node:path"

const bin = join(import.meta.dirname, "../../bin/muster.js")

export const token = "operator-test-token"

/** Receivers of webhooks are on this host. */
const loopbackToo = Layer.effect(
  WebhookSettings,
  Effect.map(WebhookSettings, (defaults) => ({ ...defaults, allowPrivate: ["127.0.0.0/8"] }))
)

const stores: Layer.Layer<Ports> = Layer.mergeAll(
  MemoryRegistry.layer,
  EventFeed.layer.pipe(Layer.provideMerge(Layer.merge(MemoryJobQueue.layer, JobArchive.layerNone))),
  MassLossBrake.layer,
  ArchiverState.layer,
  MemoryWebhookStore.layer,
  HttpWebhookTarget.layer.pipe(Layer.provide(loopbackToo))
)

/** Where the server listens. */
export class ServerUrl extends Context.Service<ServerUrl, string>()("@muster/app/test/operator/ServerUrl") {}

const url = Layer.effect(
  ServerUrl,
  Effect.gen(function* () {
    const { address } = yield* Server.HttpServer
    return `http://127.0.0.1:${NetAddress.isInetAddress(address) ? address.port : 0}`
  })
)

/** A server on a free port that demands the token, and the stores it stands on. */
export const server: Layer.Layer<ServerUrl | Ports> = url.pipe(
  Layer.provideMerge(HttpServer.layer),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provide(
    Layer.succeed(HttpSettings, { token: Redacted.make(token), maxBodyBytes: 1024 * 1024, maxAssetBytes: 1024 * 1024 })
  ),
  Layer.provideMerge(stores),
  Layer.orDie
)

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

interface Options {
  readonly env?: Record<string, string>
  readonly input?: string
}

export interface Running {
  readonly ended: Effect.Effect<Ended>
  /** What it has written so far. */
  readonly stdout: Effect.Effect<string>
  readonly stderr: Effect.Effect<string>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Stops reading standard output, as `head` does. */
  readonly stopReading: Effect.Effect<void>
}

/** Starts `muster`; it is killed with the scope. */
export const start = Effect.fnUntraced(function* (args: ReadonlyArray<string>, { env = {}, input = "" }: Options = {}) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [bin, ...args], { env: { PATH: process.env["PATH"], ...env }, stdio: "pipe" })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const ended = yield* Deferred.make<Ended>()
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text) => (stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text))
  child.on("close", (code) => Deferred.doneUnsafe(ended, Effect.succeed({ code, stdout, stderr })))
  child.stdin.on("error", () => {}).end(input)
  const running: Running = {
    ended: Effect.timeout(Deferred.await(ended), "60 seconds").pipe(Effect.orDie),
    stdout: Effect.sync(() => stdout),
    stderr: Effect.sync(() => stderr),
    signal: (signal) => Effect.sync(() => child.kill(signal)),
    stopReading: Effect.sync(() => child.stdout.destroy())
  }
  return running
})

/** Runs `muster` to its end. */
export const muster = (args: ReadonlyArray<string>, options: Options = {}) =>
  Effect.scoped(Effect.flatMap(start(args, options), ({ ended }) => ended))

/** The environment of commands for the server. */
export const environment = Effect.map(ServerUrl, (url) => ({ MUSTER_URL: url, MUSTER_TOKEN: token }))

/** Runs `muster` against the server. */
export const operate = Effect.fnUntraced(function* (args: ReadonlyArray<string>, options: Options = {}) {
  return yield* muster(args, { ...options, env: { ...(yield* environment), ...options.env } })
})

/** Asks the server itself. */
export const ask = Effect.fnUntraced(function* (path: string) {
  const url = yield* ServerUrl
  return yield* Effect.promise(async (): Promise<unknown> => {
    const answer = await fetch(url + path, { headers: { authorization: `Bearer ${token}` } })
    return answer.json()
  })
})

/** A field of a JSON text. */
export const field = (json: string, ...path: ReadonlyArray<string>): unknown =>
  path.reduce<any>((value, key) => value?.[key], JSON.parse(json))

/** No control character but the line break. */
export const assertHarmless = (text: string) => assert.notMatch(text.replaceAll("\n", ""), /[\p{Cc}\u202e]/u)

/** A test with a server of its own, on real time. */
export const live = <E>(name: string, test: Effect.Effect<void, E, ServerUrl | Ports | Scope.Scope>) =>
  it.live(name, () => Effect.provide(test, server))
