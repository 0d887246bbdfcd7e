/**
 * By what a provider can know that it was asked the same before: the job and the request, whatever attempt it is.
 */
import { canonical } from "@muster/core/Json"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import { createHash } from "node:crypto"

export const make = (job: Pick<ConnectorJob, "id">, request: unknown): string =>
  `muster-${createHash("sha256")
    .update(`${job.id}\n${canonical(request)}`)
    .digest("hex")
    .slice(0, 40)}`
