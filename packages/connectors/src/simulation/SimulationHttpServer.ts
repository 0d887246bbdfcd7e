/**
 * The simulated service over HTTP: work is submitted under an id of the client's choice, asked about, and cancelled.
 *
 * - `GET /health`
 * - `PUT /jobs/:id` submits; the same id again finds the work that is there
 * - `GET /jobs/:id` tells how it is, `DELETE /jobs/:id` cancels it
 * - `POST /run` is all of it in one: the answer comes when the work is done, and nothing stops it before
 */
import { NodeHttpServer } from "@effect/platform-node"
import * as SchemaIssues from "@muster/core/SchemaIssues"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { ByteSize, Duration, Effect, Layer, Schema, type Scope, Stream } from "effect"
import {
  HttpIncomingMessage,
  HttpRouter,
  type HttpServerError,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { createServer, type Server } from "node:http"
import { randomUUID } from "node:crypto"
import { type Address, urlOf } from "./Address.ts"
import * as SimulatedWork from "./SimulatedWork.ts"
import { type Work, WorkId, WorkRequest } from "./WorkMessages.ts"

/** Settings of work hold no more. */
const mostBytes = 16 * 1024

export interface SimulationHttpServer {
  readonly url: string
  readonly server: Server
  readonly work: SimulatedWork.SimulatedWork
}

const problem = (status: number, error: string, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.jsonUnsafe({ error }, { status, headers })

const tell = (work: Work | undefined, status = 200) =>
  work === undefined ? problem(404, "there is no such work") : HttpServerResponse.jsonUnsafe(work, { status })

const full = (error: SimulatedWork.Full) => Effect.succeed(problem(429, error.message, { "retry-after": "1" }))

const unreadable = () => Effect.succeed(problem(400, `a body is JSON of at most ${mostBytes} bytes`))

const unacceptable = (error: Schema.SchemaError) =>
  Effect.succeed(problem(400, SchemaIssues.describe(error, "the body")))

const readRequest = HttpServerRequest.schemaBodyJson(WorkRequest, { onExcessProperty: "error", errors: "all" })

const idOf = Effect.map(HttpRouter.schemaPathParams(Schema.Struct({ id: WorkId })), ({ id }) => id)

/** Ends the connection in the middle of everything. */
const cut = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
  NodeHttpServerRequest.toIncomingMessage(request).socket.destroy()
  return Effect.never
})

/** What became of work, as the answer of `/run`. */
const outcome = (work: Work | undefined) => {
  if (work?.status === "completed") return HttpServerResponse.jsonUnsafe(work.result)
  return problem(500, work?.error?.message ?? "the work was stopped")
}

const routesOf = (work: SimulatedWork.SimulatedWork) => {
  /** Questions that were cut, by work; forgotten with it. */
  const cuts = new Map<string, number>()
  const late = (id: string) => Effect.sleep(Duration.millis(work.requestOf(id)?.late_ms ?? 0))

  const misbehave = Effect.fnUntraced(function* (id: string) {
    const { drop = 0 } = work.requestOf(id) ?? {}
    const before = cuts.get(id) ?? 0
    if (before < drop) {
      cuts.set(id, before + 1)
      if (cuts.size > 10_000) cuts.clear()
      return yield* cut
    }
    yield* late(id)
  })

  return HttpRouter.addAll([
    HttpRouter.route(
      "GET",
      "/health",
      Effect.sync(() => HttpServerResponse.jsonUnsafe({ status: "ok", running: work.running() }))
    ),

    HttpRouter.route(
      "PUT",
      "/jobs/:id",
      Effect.gen(function* () {
        const id = yield* idOf
        const taken = yield* work.submit(id, yield* readRequest)
        yield* late(id)
        return tell(taken, 202)
      }).pipe(Effect.catchTags({ Full: full, HttpServerError: unreadable, SchemaError: unacceptable }))
    ),

    HttpRouter.route(
      "GET",
      "/jobs/:id",
      Effect.gen(function* () {
        const id = yield* idOf
        yield* misbehave(id)
        return tell(yield* work.look(id))
      }).pipe(Effect.catchTags({ SchemaError: unacceptable }))
    ),

    HttpRouter.route(
      "DELETE",
      "/jobs/:id",
      Effect.gen(function* () {
        const id = yield* idOf
        cuts.delete(id)
        return tell(yield* work.cancel(id))
      }).pipe(Effect.catchTags({ SchemaError: unacceptable }))
    ),

    HttpRouter.route(
      "POST",
      "/run",
      Effect.gen(function* () {
        const id = randomUUID()
        yield* work.submit(id, yield* readRequest)
        const last = yield* Stream.runLast(work.watch(id) ?? Stream.empty)
        yield* misbehave(id)
        return outcome(last._tag === "Some" ? last.value : undefined)
      }).pipe(Effect.catchTags({ Full: full, HttpServerError: unreadable, SchemaError: unacceptable }))
    )
  ])
}

/** Serves for as long as the scope, which ends every connection. */
export const make = Effect.fnUntraced(function* (
  address: Address,
  settings?: SimulatedWork.WorkSettings
): Effect.fn.Return<SimulationHttpServer, HttpServerError.ServeError, Scope.Scope> {
  const work = yield* SimulatedWork.make(settings)
  const server = createServer()
  const serving = HttpRouter.serve(routesOf(work), {
    disableLogger: true,
    disableListenLog: true,
    routerConfig: { maxParamLength: 2_000 }
  }).pipe(
    Layer.provide(NodeHttpServer.layer(() => server, { ...address, gracefulShutdownTimeout: "1 second" })),
    Layer.provide(Layer.succeed(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(mostBytes)))
  )
  yield* Layer.build(serving)
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  return { url: urlOf("http", address, server), server, work }
})
