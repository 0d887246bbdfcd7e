/** What workers say of their connectors, as it is kept in json. */
import { ConnectorReport } from "@muster/core/connector/ConnectorReport"
import { Schema } from "effect"

export const StoredConnectors = Schema.Array(
  Schema.Struct({ ...ConnectorReport.fields, since: Schema.DateTimeUtcFromString })
)

const encode = Schema.encodeSync(StoredConnectors)

export const toJson = (connectors: ReadonlyArray<ConnectorReport>): string => JSON.stringify(encode(connectors))
