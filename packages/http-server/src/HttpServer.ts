/**
 * The HTTP server of Muster, short of the socket it listens on: whoever runs it brings an `HttpServer` and the stores.
 * Provide the stores outside of these layers, so that all of the process shares them.
 */
import * as BrokerChecks from "@muster/core/diagnosis/BrokerChecks"
import * as BrokerMetrics from "@muster/core/diagnosis/BrokerMetrics"
import * as Overview from "@muster/core/diagnosis/Overview"
import type { Ports } from "@muster/core/Ports"
import { ByteSize, Effect, type FileSystem, Layer, type Path, References, Tracer } from "effect"
import {
  type Etag,
  HttpIncomingMessage,
  type HttpPlatform,
  HttpRouter,
  type HttpServer,
  HttpServerRequest
} from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import * as Authorization from "./Authorization.ts"
import { Api } from "./contract/Api.ts"
import * as Fallback from "./Fallback.ts"
import { HttpSettings } from "./HttpSettings.ts"
import * as LocalOrigin from "./LocalOrigin.ts"
import { answer } from "./ProblemAnswer.ts"
import * as OpenRequests from "./OpenRequests.ts"
import * as RefuseUnasked from "./RefuseUnasked.ts"
import * as RequestMetrics from "./RequestMetrics.ts"
import * as RequestBody from "./RequestBody.ts"
import * as AssetRoutes from "./routes/AssetRoutes.ts"
import * as DocumentRoutes from "./routes/DocumentRoutes.ts"
import * as EventRoutes from "./routes/EventRoutes.ts"
import * as JobRoutes from "./routes/JobRoutes.ts"
import * as MappingRoutes from "./routes/MappingRoutes.ts"
import * as QueueRoutes from "./routes/QueueRoutes.ts"
import * as SystemRoutes from "./routes/SystemRoutes.ts"
import * as WebhookRoutes from "./routes/WebhookRoutes.ts"
import * as WorkerRoutes from "./routes/WorkerRoutes.ts"
import * as WrongMethods from "./routes/WrongMethods.ts"

/** What stands between every request and its route. */
const door = HttpRouter.middleware(
  Effect.gen(function* () {
    const settings = yield* HttpSettings
    const counted = yield* RequestMetrics.make
    const isLocal = LocalOrigin.check(settings)
    const isAuthorized = Authorization.check(settings)
    const isReadable = RequestBody.check(settings)
    const answerFailures = Fallback.answerFailures(settings)
    return (route: Parameters<typeof answerFailures>[0]) =>
      counted(
        answerFailures(
          Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
            const problem = isLocal(request) ?? isAuthorized(request) ?? isReadable(request)
            return problem === undefined ? route : answer(problem)
          })
        )
      )
  }),
  { global: true }
)

/** The bound for bodies that do not say how long they are. */
const bodyLimit = Layer.effect(
  HttpIncomingMessage.MaxBodySize,
  Effect.map(HttpSettings, ({ maxBodyBytes }) => ByteSize.bytes(maxBodyBytes))
)

/** A span costs about as much as the rest of a heartbeat, so none is made while nobody collects them. */
const spans = Layer.effect(
  References.TracerEnabled,
  Effect.map(Tracer.Tracer, (tracer) => tracer !== Tracer.nativeTracer)
)

/** The stores, and what every HTTP server of a platform brings along. */
type Needs = Ports | Etag.Generator | FileSystem.FileSystem | HttpPlatform.HttpPlatform | Path.Path

/** Every route of the contract, `/openapi.json` and `/docs`. */
const everyRoute = Layer.mergeAll(
  HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }),
  DocumentRoutes.layer,
  WrongMethods.layer,
  door,
  // What this server says of itself.
  BrokerChecks.layer,
  BrokerMetrics.layer
).pipe(
  Layer.provide([
    WorkerRoutes.layer,
    JobRoutes.layer,
    AssetRoutes.layer,
    QueueRoutes.layer,
    EventRoutes.layer,
    WebhookRoutes.layer,
    MappingRoutes.layer,
    SystemRoutes.layer
  ]),
  Layer.provide([RefuseUnasked.layer, bodyLimit, spans, Overview.layer])
)

/** The same for a router of one's own. See `routerConfig`. */
export const routes: Layer.Layer<never, never, HttpRouter.HttpRouter | Needs> = Layer.provide(
  everyRoute,
  OpenRequests.layer
)

/**
 * Ids are judged by their schema, not by how much of a URL the router looks at; a path means one thing only. Node
 * reads URLs of at most 16 KiB.
 */
export const routerConfig = { caseSensitive: true, ignoreDuplicateSlashes: false, maxParamLength: 16 * 1024 }

const serving = HttpRouter.serve(everyRoute, { routerConfig, disableLogger: true, disableListenLog: true })

/**
 * Serves the routes. Requests are not logged one by one: failures are, where they happen. Requests that stay open are
 * ended before the server stops to listen, so that it need not wait for them.
 */
export const layer: Layer.Layer<never, never, HttpServer.HttpServer | Needs> = OpenRequests.endAtStop.pipe(
  Layer.provideMerge(serving),
  Layer.provide(OpenRequests.layer)
)
