/** What a prompt made, kept as assets: files by /view, long texts as they are; short ones stand in the result. */
import type { Asset, AssetType } from "@muster/core/connector/Asset"
import { AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Effect, Option, Schema, type Scope, Stream } from "effect"
import * as Saving from "../assets/Saving.ts"
import { ServerFile, type Workflow } from "./ComfyMessages.ts"
import type { ComfyServer } from "./ComfyServer.ts"
import type { Outputs } from "./PromptWatch.ts"

/** Files of one prompt at most; a batch of frames is large. */
const mostFiles = 10_000
/** Texts of one prompt at most. */
const mostTexts = 1_000
/** A longer text becomes an asset, in characters. */
const longestText = 10_000

/** A file or a text of a node, by the name under which the node has it, such as `images`. */
export interface Output {
  readonly node_id: string
  readonly class_type?: string | undefined
  readonly name: string
  /** The file name of its asset. */
  readonly asset?: string
  readonly text?: string
  /** The file at the server, when it was not kept. */
  readonly file?: ServerFile
}

export interface Saved {
  readonly outputs: ReadonlyArray<Output>
  readonly assets: ReadonlyArray<Asset>
  /** Files and texts beyond what is taken from one prompt. */
  readonly left_out: number
}

interface Found {
  readonly node_id: string
  readonly name: string
  readonly value: ServerFile | string
}

const asFile = Schema.decodeUnknownOption(ServerFile)

const isText = ({ value }: Found) => typeof value === "string"
const isTemporary = ({ value }: Found) => typeof value !== "string" && value.type === "temp"

const find = (outputs: Outputs): ReadonlyArray<Found> =>
  Object.entries(outputs).flatMap(([node_id, output]) =>
    Object.entries(output).flatMap(([name, values]) =>
      (Array.isArray(values) ? values : []).flatMap((value): ReadonlyArray<Found> => {
        if (typeof value === "string") return [{ node_id, name, value }]
        const file = Option.getOrUndefined(asFile(value))
        return file === undefined ? [] : [{ node_id, name, value: file }]
      })
    )
  )

/** The prompt is done, but the server has lost a file of it. */
export class FileLost extends Schema.TaggedError<FileLost>("@muster/connectors/comfyui/PromptOutputs/FileLost")(
  "FileLost",
  { filename: Schema.String }
) {
  override get message() {
    return `ComfyUI no longer has ${this.filename.slice(0, 100)}`
  }
}

/** What nodes call their outputs, and what that is when the bytes do not say. */
const types: Readonly<Record<string, AssetType>> = {
  images: "image",
  gifs: "video",
  video: "video",
  videos: "video",
  audio: "audio",
  text: "text",
  string: "text"
}

const tooLarge = new ConnectorFailure({
  kind: "InvalidPayload",
  message: `ComfyUI made a file of more than ${Saving.largestFile} bytes`
})

/** Fetching and keeping are tried again together, as what broke off has to be fetched anew. The prompt is not. */
const saveFile = Effect.fnUntraced(
  function* (
    server: ComfyServer,
    job: Pick<ConnectorJob, "id" | "attempt">,
    name: string,
    file: ServerFile
  ): Effect.fn.Return<Asset, ConnectorFailure | FileLost, AssetStore | Scope.Scope> {
    const store = yield* AssetStore
    const opened = yield* server.view(file)
    if (Option.isNone(opened)) return yield* new FileLost({ filename: file.filename })
    const { content, content_type } = opened.value
    let size = 0
    const bounded = Stream.mapEffect(content, (bytes) => {
      size += bytes.length
      return size > Saving.largestFile ? Effect.fail(tooLarge) : Effect.succeed(bytes)
    })
    const kept = Stream.mapError(bounded, (failure) => new AssetFailed({ detail: failure.message, cause: failure }))
    return yield* store
      .save({ job, type: types[name] ?? "file", content: kept, content_type })
      .pipe(
        Effect.mapError((error) =>
          error.cause === tooLarge ? tooLarge : new ConnectorFailure({ kind: "AssetFailed", message: error.message })
        )
      )
  },
  Effect.scoped,
  Effect.retry({ times: 2, while: (failure) => failure._tag === "ConnectorFailure" && failure.kind === "AssetFailed" })
)

/**
 * Keeps what a prompt made. Temporary files, which previews are, are kept when there are no others, or when `temporary`
 * says so. With `save` false nothing is kept, and the result names the files at the server.
 */
export const save = Effect.fnUntraced(function* (options: {
  readonly server: ComfyServer
  readonly job: Pick<ConnectorJob, "id" | "attempt">
  readonly workflow: Workflow
  readonly outputs: Outputs
  readonly save: boolean
  readonly temporary: boolean | undefined
  readonly report: (done: number, of: number) => Effect.Effect<void>
}): Effect.fn.Return<Saved, ConnectorFailure | FileLost, AssetStore> {
  const { job, server, workflow } = options
  const all = find(options.outputs)
  const allTexts = all.filter(isText)
  const texts = allTexts.slice(0, mostTexts)
  const lasting = all.filter((one) => !isText(one) && !isTemporary(one))
  const withTemporary = options.temporary ?? lasting.length === 0
  const allFiles = withTemporary ? all.filter((one) => !isText(one)) : lasting
  const files = allFiles.slice(0, mostFiles)
  const left_out = allTexts.length - texts.length + (allFiles.length - files.length)
  const assets: Array<Asset> = []

  const keep = Effect.fnUntraced(function* ({ name, node_id, value }: Found) {
    const class_type = workflow[node_id]?.class_type
    const of = { node_id, ...(class_type === undefined ? {} : { class_type }), name }
    if (typeof value === "string") {
      if (value.length <= longestText) return { ...of, text: value }
      if (!options.save) return { ...of, text: `${value.slice(0, longestText)}…` }
      const asset = yield* Saving.saveBytes(job, "text", Buffer.from(value))
      assets.push(asset)
      return { ...of, asset: asset.file_name }
    }
    if (!options.save) return { ...of, file: value }
    yield* options.report(assets.length, files.length)
    const asset = yield* saveFile(server, job, name, value)
    assets.push(asset)
    return { ...of, asset: asset.file_name }
  })

  return { outputs: yield* Effect.forEach([...files, ...texts], keep), assets, left_out }
})
