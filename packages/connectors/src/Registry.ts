/** Every connector by its name. A new connector is one file and one line here. */
import type { Connector } from "@muster/core/connector/Connector"
import * as SimulationConnector from "./SimulationConnector.ts"

export const connectors: ReadonlyArray<Connector> = [SimulationConnector.connector]
