/** What a worker says of one of its connectors. */
import { Schema } from "effect"
import { Name } from "../Identifier.ts"

/**
 * `idle` and `active` ones take jobs. `starting`: not ready yet; `error`: its service cannot take jobs, or it could not
 * be started and is tried again; `offline`: it was stopped.
 */
export const ConnectorStatus = Schema.Literals(["starting", "idle", "active", "error", "offline"])
export type ConnectorStatus = typeof ConnectorStatus.Type

export const ConnectorReport = Schema.Struct({
  name: Name,
  status: ConnectorStatus,
  /** Since when it does, or does not, take jobs. */
  since: Schema.DateTimeUtc,
  /** Why it does not. */
  reason: Schema.NullOr(Schema.String.check(Schema.isMaxLength(1_000))),
  job_types: Schema.Array(Name)
})
export type ConnectorReport = typeof ConnectorReport.Type

export const takesJobs = ({ status }: Pick<ConnectorReport, "status">): boolean =>
  status === "idle" || status === "active"
