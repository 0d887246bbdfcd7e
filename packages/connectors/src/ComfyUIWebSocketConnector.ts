/**
 * Runs workflows on a stock ComfyUI on this machine: sends the graph, follows it over the socket, and keeps what it made.
 *
 * Payload: `{workflow, inputs?, save_assets?, save_temporary?}` with the graph in API format.
 */
import type { Connector } from "@muster/core/connector/Connector"
import { Effect, Schema } from "effect"
import * as ComfyJobs from "./comfyui/ComfyJobs.ts"
import * as ComfyVariables from "./comfyui/ComfyVariables.ts"
import * as Settings from "./Settings.ts"

const name = "ComfyUIWebSocketConnector"

const Variables = Schema.Struct({
  COMFYUI_HOST: Schema.String.check(
    Schema.isPattern(/^([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])$/, { expected: "a host name or an IP address" })
  ),
  COMFYUI_BASE_PORT: Settings.integer(1, 65_535),
  /** Instead of host and port, when it is not empty. */
  COMFYUI_URL: Schema.Union([Schema.Literal(""), Settings.httpUrl]),
  ...ComfyVariables.Variables.fields
})

export const connector: Connector = {
  name,
  variables: {
    COMFYUI_HOST: "${COMFYUI_HOST:-127.0.0.1}",
    COMFYUI_BASE_PORT: "${COMFYUI_BASE_PORT:-8188}",
    COMFYUI_URL: "${COMFYUI_URL:-}",
    ...ComfyVariables.variables
  },
  acquire: (settings) =>
    Effect.flatMap(Settings.decode(name, Variables, settings), (decoded) => {
      const { COMFYUI_BASE_PORT, COMFYUI_HOST, COMFYUI_URL } = decoded
      const url = COMFYUI_URL === "" ? `http://${COMFYUI_HOST}:${COMFYUI_BASE_PORT}` : COMFYUI_URL
      return ComfyJobs.make({ ...ComfyVariables.common(decoded), url, headers: {} })
    })
}
