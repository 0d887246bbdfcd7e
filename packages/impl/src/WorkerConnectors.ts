/** From the name of a worker type to connectors under supervision: what CONNECTORS means to a worker. */
import type { Connector, ConnectorServices } from "@muster/core/connector/Connector"
import * as Offering from "@muster/core/connector/runtime/Offering"
import * as SupervisedConnector from "@muster/core/connector/runtime/SupervisedConnector"
import { meant } from "@muster/core/DidYouMean"
import { routesOf, serviceOf } from "@muster/core/mapping/Routing"
import type { ServiceMapping } from "@muster/core/mapping/ServiceMapping"
import { expandAll } from "@muster/core/mapping/Template"
import { InvalidConfiguration } from "@muster/core/worker/WorkerErrors"
import { Effect, Result, type Scope } from "effect"
import type { LoadedMapping } from "./MappingSource.ts"

type Environment = Readonly<Record<string, string | undefined>>

const wrong = (path: string, detail: string) => new InvalidConfiguration({ path, detail })

/** The job types of a worker type by the service that runs them. */
const servicesOf = (mapping: ServiceMapping, workerType: string): ReadonlyMap<string, ReadonlyArray<string>> => {
  const services = new Map<string, Array<string>>()
  for (const { job_type, service } of routesOf(mapping, workerType)) {
    if (service === null) continue
    services.set(service, [...(services.get(service) ?? []), job_type])
  }
  return services
}

/** The variables of the connector, filled in; what the service says of itself goes before them. */
const settingsOf = Effect.fnUntraced(function* (
  { connectorOf, mapping }: LoadedMapping,
  service: string,
  environment: Environment
): Effect.fn.Return<
  { readonly connector: Connector; readonly settings: Readonly<Record<string, string>> },
  InvalidConfiguration
> {
  const entry = serviceOf(mapping, service)
  const connector = entry === undefined ? undefined : connectorOf(entry.connector)
  if (entry === undefined || connector === undefined) {
    return yield* wrong(`services.${service}`, `there is no connector ${entry?.connector ?? "of it"}`)
  }
  const config = Object.fromEntries(
    Object.entries(entry.api_config ?? {}).map(([name, value]) => [name, String(value)])
  )
  const filled = expandAll({ ...connector.variables, ...config }, environment)
  if (Result.isFailure(filled)) return yield* wrong(connector.name, `needs ${filled.failure.join(", ")}`)
  return { connector, settings: filled.success }
})

/**
 * Brings up the connectors of a worker type for as long as the scope, each service once, and supervises them. Fails only
 * for what no waiting heals: an unknown worker type, settings that are missing or wrong.
 */
export const acquire = Effect.fnUntraced(function* (
  loaded: LoadedMapping,
  workerType: string,
  environment: Environment
): Effect.fn.Return<Offering.Offering, InvalidConfiguration, Scope.Scope | ConnectorServices> {
  const { mapping } = loaded
  if (!Object.hasOwn(mapping.workers, workerType)) {
    const known = Object.keys(mapping.workers)
    const guess = meant(workerType, known)
    return yield* wrong(
      "CONNECTORS",
      `there is no worker type ${workerType}${guess === "" ? ";" : guess} known: ${known.join(", ")}`
    )
  }
  const services = [...servicesOf(mapping, workerType)]
  const prepared = yield* Effect.forEach(services, ([service, job_types]) =>
    Effect.map(settingsOf(loaded, service, environment), (found) => ({ ...found, job_types }))
  )
  const names = [...new Set(prepared.map(({ connector }) => connector.name))]
  const { connectors, offering } = Offering.supervised({ labels: { connectors: names } })
  const supervised = yield* Effect.forEach(
    prepared,
    (options) => SupervisedConnector.make({ ...options, changed: offering.changed }),
    { concurrency: "unbounded" }
  )
  connectors.push(...supervised)
  offering.changed()
  return offering
})
