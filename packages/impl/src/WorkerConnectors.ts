/** From the name of a worker type to connectors that are up: what CONNECTORS means to a worker. */
import { connectors as registry } from "@muster/connectors/Registry"
import { type WorkerType, workerTypes } from "@muster/connectors/WorkerTypes"
import type { RunningConnector } from "@muster/core/connector/Connector"
import { expandAll } from "@muster/core/mapping/Template"
import type { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Capabilities } from "@muster/core/worker/Worker"
import { InvalidConfiguration } from "@muster/core/worker/WorkerErrors"
import { Effect, Result, type Scope } from "effect"

type Environment = Readonly<Record<string, string | undefined>>

const findWorkerType = (name: string): Effect.Effect<WorkerType, InvalidConfiguration> => {
  const found = workerTypes.find((workerType) => workerType.name === name)
  const known = workerTypes.map((workerType) => workerType.name).join(", ")
  return found === undefined
    ? Effect.fail(
        new InvalidConfiguration({ path: "CONNECTORS", detail: `${name} is no worker type; known: ${known}` })
      )
    : Effect.succeed(found)
}

const acquireConnector = Effect.fnUntraced(function* (name: string, environment: Environment) {
  const connector = registry.find((candidate) => candidate.name === name)
  if (connector === undefined) {
    return yield* new InvalidConfiguration({ path: "CONNECTORS", detail: `there is no connector ${name}` })
  }
  const variables = expandAll(connector.variables, environment)
  if (Result.isFailure(variables)) {
    return yield* new InvalidConfiguration({ path: name, detail: `needs ${variables.failure.join(", ")}` })
  }
  return yield* connector.acquire(variables.success)
})

/** A worker type whose connectors are up. */
export interface WorkerConnectors {
  /** Job type → the connector that runs it. */
  readonly connectors: ReadonlyMap<string, RunningConnector>
  /** What the worker says of itself. */
  readonly capabilities: Capabilities
}

/**
 * Brings up the connectors of a worker type for as long as the scope. A connector that serves several job types is
 * brought up once.
 */
export const acquire = Effect.fnUntraced(function* (
  workerTypeName: string,
  environment: Environment
): Effect.fn.Return<WorkerConnectors, InvalidConfiguration | ConnectorFailure, Scope.Scope> {
  const workerType = yield* findWorkerType(workerTypeName)
  const names = [...new Set(Object.values(workerType.connectors))]
  const running = new Map(
    yield* Effect.forEach(names, (name) => Effect.map(acquireConnector(name, environment), (up) => [name, up] as const))
  )
  const connectors = new Map(
    Object.entries(workerType.connectors).flatMap(([jobType, name]): Array<[string, RunningConnector]> => {
      const connector = running.get(name)
      return connector === undefined ? [] : [[jobType, connector]]
    })
  )
  return { connectors, capabilities: { job_types: [...connectors.keys()], labels: { connectors: names } } }
})
