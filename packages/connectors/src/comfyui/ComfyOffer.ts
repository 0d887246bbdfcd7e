/** What a ComfyUI has: memory of its GPUs, models, node types. */
import type { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Offer } from "@muster/core/connector/Connector"
import { modelName } from "@muster/core/worker/Worker"
import { Effect, Option, Schema } from "effect"
import { nominalGigabytes } from "../GpuMemory.ts"
import { NodeTypes, SystemStats } from "./ComfyMessages.ts"
import type { ComfyServer } from "./ComfyServer.ts"

const mostModels = 10_000
const mostFolders = 50
/** A label holds no more values. */
const mostLabelValues = 100
/** Folders of models that hold none. */
const noModels: ReadonlySet<string> = new Set(["configs", "custom_nodes"])

const isModelName = Schema.is(modelName)

/** `sdxl/base.safetensors` is known as that and as `base`. */
const namesOf = (file: string): ReadonlyArray<string> => {
  const stem = file
    .split(/[/\\]/)
    .at(-1)
    ?.replace(/\.[A-Za-z0-9]{1,12}$/, "")
  return [file, ...(stem === undefined ? [] : [stem])].filter(isModelName)
}

/** Loaders whose inputs list models, for builds that cannot be asked for them. */
const loaders = [
  ["CheckpointLoaderSimple", "ckpt_name"],
  ["UNETLoader", "unet_name"],
  ["LoraLoader", "lora_name"],
  ["VAELoader", "vae_name"]
] as const

/** The choices of an input: the first of its description, when that is a list. */
const choices = (input: unknown, name: string): ReadonlyArray<string> => {
  const Described = Schema.Struct({
    required: Schema.Record(Schema.String, Schema.TupleWithRest(Schema.Tuple([Schema.Unknown]), [Schema.Unknown]))
  })
  const [first] = Option.getOrUndefined(Schema.decodeUnknownOption(Described)(input))?.required[name] ?? []
  return Array.isArray(first) ? first.filter((choice) => typeof choice === "string") : []
}

const modelFiles = Effect.fnUntraced(function* (server: ComfyServer) {
  const names = Schema.Array(Schema.String)
  const folders = yield* server.info("/models", names)
  if (Option.isSome(folders)) {
    const listed = yield* Effect.forEach(
      folders.value.filter((folder) => !noModels.has(folder)).slice(0, mostFolders),
      (folder) => server.info(`/models/${encodeURIComponent(folder)}`, names),
      { concurrency: 4 }
    )
    return listed.flatMap(Option.getOrElse((): ReadonlyArray<string> => []))
  }
  const described = yield* Effect.forEach(loaders, ([loader, input]) =>
    Effect.map(
      server.info(`/object_info/${loader}`, NodeTypes),
      Option.match({ onNone: () => [], onSome: (types) => choices(types[loader]?.input, input) })
    )
  )
  return described.flat()
})

const values = (name: string, all: Iterable<string>) => {
  const some = [...new Set(all)].filter((value) => value.length <= 256).toSorted()
  return some.length === 0 || some.length > mostLabelValues ? {} : { [name]: some }
}

/** The packages that extensions come in, such as `custom_nodes.ComfyUI-Impact-Pack`. */
const packageOf = (module: string | undefined): ReadonlyArray<string> =>
  module?.startsWith("custom_nodes.") === true ? [module.slice("custom_nodes.".length)] : []

/** Asks for it all; node types become labels as long as there are at most a hundred values. */
export const read = Effect.fnUntraced(function* (server: ComfyServer): Effect.fn.Return<Offer, ConnectorFailure> {
  const stats = yield* server.info("/system_stats", SystemStats)
  const files = yield* modelFiles(server)
  // A list that is too long to be read, or is written otherwise, costs only the labels.
  const types = yield* Effect.orElseSucceed(
    Effect.map(
      server.info("/object_info", NodeTypes),
      Option.getOrElse((): typeof NodeTypes.Type => ({}))
    ),
    (): typeof NodeTypes.Type => ({})
  )

  const { devices, system } = Option.getOrElse(stats, () => ({
    devices: [],
    system: {} as { comfyui_version?: string }
  }))
  const gpus = devices.filter(({ type }) => type !== "cpu")
  const models = [...new Set(files.flatMap(namesOf))].toSorted().slice(0, mostModels)
  return {
    hardware:
      gpus.length === 0
        ? {}
        : {
            gpu_count: gpus.length,
            gpu_memory_gb: Math.min(...gpus.map(({ vram_total }) => nominalGigabytes(vram_total)))
          },
    models,
    labels: {
      ...(system.comfyui_version === undefined ? {} : { comfyui_version: system.comfyui_version.slice(0, 256) }),
      ...values("node_types", Object.keys(types)),
      ...values(
        "custom_nodes",
        Object.values(types).flatMap(({ python_module }) => packageOf(python_module))
      )
    }
  }
})
