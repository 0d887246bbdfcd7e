/**
 * A worker as a process of its own: it registers and beats over HTTP, claims from the queue in Redis, and never opens
 * the registry's store.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as JobScheduler from "@muster/core/job/JobScheduler"
import type { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerAgent from "@muster/core/worker/WorkerAgent"
import { type Duration, Effect, Layer, type Redacted } from "effect"
import * as AssetCheck from "./AssetCheck.ts"
import * as ConnectorLayers from "./ConnectorLayers.ts"
import * as HttpRegistry from "./HttpRegistry.ts"
import * as Instance from "./Instance.ts"
import * as MappingSource from "./MappingSource.ts"
import * as MetricsExport from "./MetricsExport.ts"
import * as WorkerConnectors from "./WorkerConnectors.ts"
import * as WorkerLayers from "./WorkerLayers.ts"

export interface WorkerProcessOptions extends ConnectorLayers.ConnectorSettings {
  readonly workerId: WorkerId
  /** The worker type that CONNECTORS names. */
  readonly workerType: string
  /** The file of the service mapping. */
  readonly mappingFile: string
  readonly url: string
  readonly token: Redacted.Redacted | undefined
  readonly redisUrl: Redacted.Redacted
  readonly region: string
  readonly capacity: number
  readonly machineId: string | undefined
  readonly beatInterval: Duration.Duration
  /** The longest result of a job, in characters of JSON. */
  readonly maxResultLength: number
  readonly environment: Readonly<Record<string, string | undefined>>
}

const running = Effect.fnUntraced(function* (options: WorkerProcessOptions, mapping: MappingSource.LoadedMapping) {
  const { environment, workerType } = options
  yield* AssetCheck.beforeWork(options)
  const offering = yield* WorkerConnectors.acquire(mapping, workerType, environment)
  yield* JobScheduler.startStandby
  return yield* WorkerAgent.run({
    registration: {
      id: options.workerId,
      region: options.region,
      capacity: options.capacity,
      metadata: {
        worker_type: workerType,
        ...(options.machineId === undefined ? {} : { machine_id: options.machineId })
      },
      instance_id: Instance.make()
    },
    offering,
    beatInterval: options.beatInterval,
    isGone: Instance.isGone,
    maxResultLength: options.maxResultLength
  })
}, Effect.scoped)

/** Runs the worker until it is interrupted. Fails when it is configured wrongly or a twin of it lives. */
export const workerProcess = Effect.fnUntraced(function* (options: WorkerProcessOptions) {
  // What is wrong with the mapping is said before anything is connected to.
  const mapping = yield* MappingSource.load(options.mappingFile, [options.workerType], options.environment)
  return yield* Effect.provide(
    running(options, mapping),
    Layer.mergeAll(
      ConnectorLayers.layer(options),
      MetricsExport.layer(options),
      WorkerLayers.redisQueue(options.redisUrl),
      HttpRegistry.layer(options).pipe(Layer.provide(NodeHttpClient.layerUndici))
    )
  )
})
