/** What a web UI has: the memory of its GPU, its models, its samplers. */
import type { Offer } from "@muster/core/connector/Connector"
import type { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { modelName } from "@muster/core/worker/Worker"
import { Effect, Option, Schema } from "effect"
import { nominalGigabytes } from "../GpuMemory.ts"
import type { WebUi } from "./WebUi.ts"

const mostModels = 10_000
/** A label holds no more values. */
const mostLabelValues = 100

const isModelName = Schema.is(modelName)

/** Asks for it all. A model is known by its name and by its title, which carries its hash. */
export const read = Effect.fnUntraced(function* (webUi: WebUi): Effect.fn.Return<Offer, ConnectorFailure> {
  const models = yield* webUi.models
  const samplers = (yield* webUi.samplers).map(({ name }) => name.slice(0, 256))
  const memory = yield* webUi.gpuMemory
  const names = models.flatMap(({ model_name, title }) => [model_name, title]).filter(isModelName)
  return {
    hardware: Option.match(memory, {
      onNone: () => ({}),
      onSome: (bytes) => ({ gpu_count: 1, gpu_memory_gb: nominalGigabytes(bytes) })
    }),
    models: [...new Set(names)].toSorted().slice(0, mostModels),
    labels: samplers.length === 0 || samplers.length > mostLabelValues ? {} : { samplers: samplers.toSorted() }
  }
})
