/**
 * Files that a prompt reads: fetched from where the job names them, given to the server, and their names there put into
 * the graph wherever a value of a node is the name of the input.
 */
import { AssetStore } from "@muster/core/connector/AssetStore"
import { AssetFileName } from "@muster/core/connector/Asset"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { RemoteFiles } from "@muster/core/connector/RemoteFiles"
import { Effect, Option, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import { detect } from "../assets/ContentType.ts"
import type { Workflow } from "./ComfyMessages.ts"
import type { ComfyServer } from "./ComfyServer.ts"

/** An http, https or `data:` URL, or an input that was uploaded to Muster before. */
export const Input = Schema.Union([
  Schema.String.check(Schema.isPattern(/^(https?:|data:)/, { expected: "an http, https or data URL" })),
  Schema.Struct({ asset: AssetFileName })
])
export type Input = typeof Input.Type

export const Inputs = Schema.Record(Schema.NonEmptyString.check(Schema.isMaxLength(255)), Input).check(
  Schema.isMaxProperties(100, { expected: "at most 100 inputs" })
)
export type Inputs = typeof Inputs.Type

const invalid = (message: string) => new ConnectorFailure({ kind: "InvalidPayload", message })

/** Inputs that stand nowhere in the graph: as a rule a slip of the pen. */
export const unused = (workflow: Workflow, inputs: Inputs): ReadonlyArray<string> => {
  const values = new Set(Object.values(workflow).flatMap((node) => Object.values(node.inputs)))
  return Object.keys(inputs).filter((name) => !values.has(name))
}

const replaced = (workflow: Workflow, names: ReadonlyMap<unknown, string>): Workflow =>
  Object.fromEntries(
    Object.entries(workflow).map(([id, node]) => [
      id,
      {
        ...node,
        inputs: Object.fromEntries(Object.entries(node.inputs).map(([key, value]) => [key, names.get(value) ?? value]))
      }
    ])
  )

const open = Effect.fnUntraced(function* (name: string, input: Input, maxBytes: number) {
  if (typeof input === "string") return yield* Effect.flatMap(RemoteFiles, (files) => files.open(input, { maxBytes }))
  const store = yield* AssetStore
  const asset = yield* Effect.mapError(
    store.openInput(input.asset),
    (error) => new ConnectorFailure({ kind: "AssetFailed", message: error.message })
  )
  if (Option.isNone(asset)) return yield* invalid(`input ${name}: there is no asset ${input.asset}`)
  const { content, content_type, size } = asset.value
  return {
    content_type,
    size,
    content: Stream.mapError(content, (error) => new ConnectorFailure({ kind: "AssetFailed", message: error.message }))
  }
})

/** Reads an input whole: an upload needs its size first, and its name is made of its hash. */
const read = Effect.fnUntraced(function* (name: string, input: Input, maxBytes: number) {
  const { content, content_type, size = 0 } = yield* open(name, input, maxBytes)
  const tooLarge = invalid(`input ${name} is larger than ${maxBytes} bytes`)
  if (size > maxBytes) return yield* tooLarge
  const parts: Array<Uint8Array> = []
  let total = 0
  yield* Stream.runForEach(content, (bytes) => {
    parts.push(bytes)
    total += bytes.length
    return total > maxBytes ? Effect.fail(tooLarge) : Effect.void
  })
  if (total === 0) return yield* invalid(`input ${name} is empty`)
  const bytes = Buffer.concat(parts)
  return { bytes, type: yield* detect(bytes.subarray(0, 4_100), "file", content_type) }
})

/**
 * Uploads the inputs, one after the other, each at most `maxBytes` long, and gives the graph with their names. An input
 * has the same name each time, so nothing piles up at the server.
 */
export const place = Effect.fnUntraced(function* (
  server: ComfyServer,
  workflow: Workflow,
  inputs: Inputs,
  maxBytes: number
) {
  const names = new Map<unknown, string>()
  for (const [name, input] of Object.entries(inputs)) {
    const { bytes, type } = yield* read(name, input, maxBytes)
    const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 32)
    names.set(name, yield* server.upload(`muster-${hash}.${type.extension}`, bytes, type.content_type))
  }
  return names.size === 0 ? workflow : replaced(workflow, names)
})
