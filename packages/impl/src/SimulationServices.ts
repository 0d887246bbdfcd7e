/** The simulated services, for those who may not import connectors. */
import type { Address } from "@muster/connectors/simulation/Address"
import * as SimulationHttpServer from "@muster/connectors/simulation/SimulationHttpServer"
import * as SimulationWebSocketServer from "@muster/connectors/simulation/SimulationWebSocketServer"
import { Effect, type Scope } from "effect"
import type { HttpServerError } from "effect/http"

export type Protocol = "http" | "websocket"

/** Serves for as long as the scope, and gives the URL. */
export const serve = (
  protocol: Protocol,
  address: Address
): Effect.Effect<string, HttpServerError.ServeError, Scope.Scope> =>
  protocol === "http"
    ? Effect.map(SimulationHttpServer.make(address), ({ url }) => url)
    : Effect.map(SimulationWebSocketServer.make(address), ({ url }) => url)
