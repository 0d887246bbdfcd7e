/** Every connector that comes along, by its name. A new connector is one file and one line here. */
import type { Connector } from "@muster/core/connector/Connector"
import * as ReplicateConnector from "./ReplicateConnector.ts"
import * as RunPodConnector from "./RunPodConnector.ts"
import * as SimulationConnector from "./SimulationConnector.ts"

export interface Registered {
  readonly connector: Connector
  /** Other names that the documents give it. */
  readonly aliases: ReadonlyArray<string>
}

const line = (connector: Connector, ...aliases: ReadonlyArray<string>): Registered => ({ connector, aliases })

export const connectors: ReadonlyArray<Registered> = [
  line(SimulationConnector.connector),
  line(ReplicateConnector.connector),
  line(RunPodConnector.connector)
]

export const connectorOf = (name: string): Connector | undefined =>
  connectors.find(({ aliases, connector }) => connector.name === name || aliases.includes(name))?.connector
