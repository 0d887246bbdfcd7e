/** Workers inside the server's own process: what makes a fresh broker run a job. */
import * as MemoryQuotaBudget from "@muster/core/connector/internal/MemoryQuotaBudget"
import * as MetricSources from "@muster/core/diagnosis/MetricSources"
import * as WorkerAgent from "@muster/core/worker/WorkerAgent"
import { RegistryAccess } from "@muster/core/worker/RegistryAccess"
import { WorkerId } from "@muster/core/worker/Worker"
import { Effect, Layer, Logger, Metric } from "effect"
import type { Duration } from "effect"
import * as Instance from "./Instance.ts"
import type { LoadedMapping } from "./MappingSource.ts"
import * as WorkerConnectors from "./WorkerConnectors.ts"

/** What they are when nobody says it: they need no service. */
export const usualType = "simulation"

export interface EmbeddedMachine {
  readonly machineId: string
  readonly region: string
  readonly workers: number
  /** The worker type of the mapping that they are of. */
  readonly workerType: string
  readonly beatInterval: Duration.Duration
  /** The longest result of a job, in characters of JSON. */
  readonly maxResultLength: number
  readonly mapping: LoadedMapping
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** The ids of a machine's workers. Source: document 000. */
export const workerIds = ({
  machineId,
  workers,
  workerType
}: Pick<EmbeddedMachine, "machineId" | "workers" | "workerType">): ReadonlyArray<WorkerId> =>
  Array.from({ length: workers }, (_, index) => WorkerId.make(`${machineId}-worker-${workerType}-${index}`))

/** Fails with what is wrong with their settings, without starting them. */
export const check = ({
  environment,
  mapping,
  workerType
}: Pick<EmbeddedMachine, "environment" | "mapping" | "workerType">) =>
  WorkerConnectors.acquire(mapping, workerType, environment).pipe(
    Effect.asVoid,
    Effect.scoped,
    // Nothing is asked of anybody yet, and what is said of their services is said again by those that start.
    Effect.provide([MemoryQuotaBudget.layer, Logger.layer([])])
  )

/** What their connectors count; a worker of its own sends that to a collector. */
const counts = Effect.map(
  Metric.MetricRegistry,
  (registry) => new Map([...registry].filter(([, { id }]) => /^muster_(connector|openai)_/.test(id)))
)

/** Runs them for as long as the layer, on the stores of this process. */
export const layer = (machine: EmbeddedMachine) =>
  Layer.effectDiscard(
    Effect.andThen(
      MetricSources.contribute(counts),
      Effect.forEach(workerIds(machine), (id, index) =>
        Effect.gen(function* () {
          const offering = yield* WorkerConnectors.acquire(machine.mapping, machine.workerType, machine.environment)
          const agent = WorkerAgent.run({
            registration: {
              id,
              region: machine.region,
              capacity: 1,
              metadata: {
                machine_id: machine.machineId,
                worker_type: machine.workerType,
                process_name: `redis-worker-${machine.workerType}-${index}`
              },
              instance_id: Instance.make()
            },
            offering,
            beatInterval: machine.beatInterval,
            isGone: Instance.isGone,
            maxResultLength: machine.maxResultLength
          })
          yield* Effect.forkScoped(Effect.catchCause(agent, (cause) => Effect.logError(`worker ${id} ended`, cause)))
        })
      )
    )
  ).pipe(Layer.provide(RegistryAccess.layerLocal))
