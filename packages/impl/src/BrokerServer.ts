/**
 * A server of the broker: the routes on a socket, and the fibers that look after workers and jobs. Any number of them
 * may run on the same stores.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Relay from "@muster/core/event/Relay"
import * as Archiver from "@muster/core/job/Archiver"
import * as JobScheduler from "@muster/core/job/JobScheduler"
import type { Ports } from "@muster/core/Ports"
import * as WebhookDeliverer from "@muster/core/webhook/WebhookDeliverer"
import * as WorkerScheduler from "@muster/core/worker/WorkerScheduler"
import * as UnreadableRequests from "@muster/http-server/UnreadableRequests"
import { Layer } from "effect"
import { HttpServer, type HttpServerError } from "effect/http"
import { createServer } from "node:http"
import * as ProcessMetrics from "./ProcessMetrics.ts"
import * as WorkerLayers from "./WorkerLayers.ts"

export interface Address {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}

/** Workers beat every 15 s; a connection that outlives the pause spares them a new one each time. */
const keepAliveTimeout = 65_000

/** Listens with the layer, and gives the address it listens on. Provide the stores outside, so that all share them. */
export const layer = (address: Address): Layer.Layer<HttpServer.HttpServer, HttpServerError.ServeError, Ports> =>
  Layer.mergeAll(
    WorkerLayers.httpRoutes,
    WorkerScheduler.layer,
    JobScheduler.layer,
    Archiver.layer,
    Relay.layer,
    WebhookDeliverer.layer,
    ProcessMetrics.layer
  ).pipe(
    Layer.provideMerge(
      NodeHttpServer.layer(() => UnreadableRequests.answered(createServer({ keepAliveTimeout })), {
        ...address,
        gracefulShutdownTimeout: "1 second"
      })
    )
  )
