/** Every connector that comes along, by its name. A new connector is one file and one line here. */
import type { Connector } from "@muster/core/connector/Connector"
import * as A1111WebSocketConnector from "./A1111WebSocketConnector.ts"
import * as ComfyUIRemoteConnector from "./ComfyUIRemoteConnector.ts"
import * as ComfyUIWebSocketConnector from "./ComfyUIWebSocketConnector.ts"
import * as LimitedServiceConnector from "./LimitedServiceConnector.ts"
import * as OpenAIConnector from "./OpenAIConnector.ts"
import * as OpenAIImg2ImgConnector from "./OpenAIImg2ImgConnector.ts"
import * as OpenAIResponsesConnector from "./OpenAIResponsesConnector.ts"
import * as OpenAIText2ImgConnector from "./OpenAIText2ImgConnector.ts"
import * as OpenAITextConnector from "./OpenAITextConnector.ts"
import * as OpenAITextSimpleConnector from "./OpenAITextSimpleConnector.ts"
import * as ReplicateConnector from "./ReplicateConnector.ts"
import * as RunPodConnector from "./RunPodConnector.ts"
import * as SimulationConnector from "./SimulationConnector.ts"
import * as SimulationHttpConnector from "./SimulationHttpConnector.ts"
import * as SimulationWebsocketConnector from "./SimulationWebsocketConnector.ts"

export interface Registered {
  readonly connector: Connector
  /** Other names that the documents give it. */
  readonly aliases: ReadonlyArray<string>
}

const line = (connector: Connector, ...aliases: ReadonlyArray<string>): Registered => ({ connector, aliases })

export const connectors: ReadonlyArray<Registered> = [
  line(SimulationConnector.connector),
  line(SimulationHttpConnector.connector),
  line(SimulationWebsocketConnector.connector),
  line(LimitedServiceConnector.connector),
  line(A1111WebSocketConnector.connector),
  line(ComfyUIWebSocketConnector.connector),
  line(ComfyUIRemoteConnector.connector),
  line(OpenAIConnector.connector),
  line(OpenAITextConnector.connector),
  line(OpenAITextSimpleConnector.connector),
  line(OpenAIText2ImgConnector.connector, "OpenAIImageConnector"),
  line(OpenAIImg2ImgConnector.connector),
  line(OpenAIResponsesConnector.connector),
  line(ReplicateConnector.connector),
  line(RunPodConnector.connector)
]

export const connectorOf = (name: string): Connector | undefined =>
  connectors.find(({ aliases, connector }) => connector.name === name || aliases.includes(name))?.connector
