/**
 * What ComfyUI says over HTTP and on its socket, as far as it is used, in the spellings of its builds since 2024. What is
 * not named here is dropped.
 */
import { largestPreview } from "@muster/core/connector/AssetStore"
import { Option, Schema } from "effect"

/** A graph in API format: node id → what it is and its inputs. */
export const Workflow = Schema.Record(
  Schema.String,
  Schema.StructWithRest(
    Schema.Struct({ class_type: Schema.NonEmptyString, inputs: Schema.Record(Schema.String, Schema.Unknown) }),
    [Schema.Record(Schema.String, Schema.Unknown)]
  )
)
export type Workflow = typeof Workflow.Type

/** Values of an output by their kind, such as `images`; what is a file among them is a {@link ServerFile}. */
export const NodeOutput = Schema.Record(Schema.String, Schema.Unknown)
export type NodeOutput = typeof NodeOutput.Type

export const ServerFile = Schema.Struct({
  filename: Schema.NonEmptyString,
  subfolder: Schema.optionalKey(Schema.String),
  type: Schema.optionalKey(Schema.String)
})
export type ServerFile = typeof ServerFile.Type

export const ExecutionError = Schema.Struct({
  node_id: Schema.optionalKey(Schema.String),
  node_type: Schema.optionalKey(Schema.String),
  exception_message: Schema.optionalKey(Schema.String),
  exception_type: Schema.optionalKey(Schema.String)
})
export type ExecutionError = typeof ExecutionError.Type

const prompt_id = Schema.String
const node = Schema.String

const Running = Schema.Struct({ value: Schema.Finite, max: Schema.Finite, state: Schema.String })

/** Text frames. The last member takes everything else: extensions send what they like. */
export const Event = Schema.Union([
  Schema.Struct({ type: Schema.Literal("execution_start"), data: Schema.Struct({ prompt_id }) }),
  Schema.Struct({
    type: Schema.Literal("execution_cached"),
    data: Schema.Struct({ prompt_id, nodes: Schema.Array(node) })
  }),
  Schema.Struct({
    type: Schema.Literal("executing"),
    // Without a prompt_id it only greets a socket that comes back.
    data: Schema.Struct({ prompt_id, node: Schema.NullOr(node) })
  }),
  Schema.Struct({
    type: Schema.Literal("progress_state"),
    data: Schema.Struct({ prompt_id, nodes: Schema.Record(Schema.String, Running) })
  }),
  Schema.Struct({
    type: Schema.Literal("progress"),
    data: Schema.Struct({ prompt_id, node: Schema.NullOr(node), value: Schema.Finite, max: Schema.Finite })
  }),
  Schema.Struct({
    type: Schema.Literal("executed"),
    data: Schema.Struct({ prompt_id, node, output: Schema.NullOr(NodeOutput) })
  }),
  Schema.Struct({ type: Schema.Literal("execution_success"), data: Schema.Struct({ prompt_id }) }),
  Schema.Struct({
    type: Schema.Literal("execution_error"),
    data: Schema.Struct({ prompt_id, ...ExecutionError.fields })
  }),
  Schema.Struct({ type: Schema.Literal("execution_interrupted"), data: Schema.Struct({ prompt_id }) }),
  Schema.Struct({ type: Schema.String })
])

/** A picture of what is being made. */
export interface Preview {
  readonly type: "preview"
  /** What it is of, where that was said. */
  readonly prompt_id: string | undefined
  /** Gone when it is large, or when a newer one has come. */
  picture: Uint8Array | undefined
}

/** A message on the socket, and what we tell ourselves about it. */
export type Message =
  | typeof Event.Type
  | Preview
  /** The socket is there again: something may have been missed. */
  | { readonly type: "reconnected" }

/** What we are, said first on a socket: previews come with their prompt then, from builds since July 2025. */
export const features = { type: "feature_flags", data: { supports_preview_metadata: true } }

const PreviewMetadata = Schema.fromJsonString(Schema.Struct({ prompt_id: Schema.optionalKey(Schema.String) }))
const decodeMetadata = Schema.decodeUnknownOption(PreviewMetadata)

/** In bytes. */
const longestMetadata = 10_000

/**
 * A binary frame begins with its type: 1 is a preview, after four bytes that say what kind of picture it is; 4 is one
 * after the length of its metadata and that metadata as JSON.
 */
const previewIn = (bytes: Uint8Array): Preview | undefined => {
  if (bytes.length < 8) return undefined
  const frame = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const preview = (prompt_id: string | undefined, picture: Uint8Array): Preview => ({
    type: "preview",
    prompt_id,
    picture: picture.length > largestPreview ? undefined : picture
  })
  const [type, length] = [frame.getUint32(0), frame.getUint32(4)]
  if (type === 1) return preview(undefined, bytes.subarray(8))
  if (type !== 4 || length > Math.min(longestMetadata, bytes.length - 8)) return undefined
  const metadata = decodeMetadata(new TextDecoder().decode(bytes.subarray(8, 8 + length)))
  return Option.isNone(metadata) ? undefined : preview(metadata.value.prompt_id, bytes.subarray(8 + length))
}

/** Reads the binary frames of a socket. It holds one picture, however late its messages are taken. */
export const binaryReader = () => {
  let newest: Preview | undefined
  return (bytes: Uint8Array): Message | undefined => {
    const preview = previewIn(bytes)
    if (preview === undefined) return undefined
    if (newest !== undefined) newest.picture = undefined
    newest = preview
    return preview
  }
}

/** What POST /prompt answers when it took the prompt; outputs it found invalid are left out of the run. */
export const Accepted = Schema.Struct({
  prompt_id: Schema.String,
  node_errors: Schema.optionalKey(Schema.Unknown)
})

const ExtraData = Schema.Struct({ client_id: Schema.optionalKey(Schema.NullOr(Schema.String)) })
/** `[number, prompt_id, graph, extra_data, outputs]`; more may follow. */
const Entry = Schema.TupleWithRest(Schema.Tuple([Schema.Unknown, Schema.String, Schema.Unknown, ExtraData]), [
  Schema.Unknown
])
export type Entry = typeof Entry.Type

export const Queue = Schema.Struct({ queue_running: Schema.Array(Entry), queue_pending: Schema.Array(Entry) })
export type Queue = typeof Queue.Type

const Past = Schema.Struct({
  prompt: Entry,
  outputs: Schema.Record(Schema.String, NodeOutput),
  status: Schema.optionalKey(
    Schema.NullOr(
      Schema.Struct({
        status_str: Schema.String,
        messages: Schema.Array(Schema.TupleWithRest(Schema.Tuple([Schema.String]), [Schema.Unknown]))
      })
    )
  )
})
export type Past = typeof Past.Type

export const History = Schema.Record(Schema.String, Past)

export const Uploaded = Schema.Struct({ name: Schema.NonEmptyString, subfolder: Schema.optionalKey(Schema.String) })

export const Remaining = Schema.Struct({ exec_info: Schema.Struct({ queue_remaining: Schema.Int }) })

export const SystemStats = Schema.Struct({
  system: Schema.Struct({
    comfyui_version: Schema.optionalKey(Schema.String),
    ram_total: Schema.optionalKey(Schema.Finite)
  }),
  devices: Schema.Array(Schema.Struct({ name: Schema.String, type: Schema.String, vram_total: Schema.Finite }))
})

export const NodeTypes = Schema.Record(
  Schema.String,
  Schema.Struct({
    python_module: Schema.optionalKey(Schema.String),
    input: Schema.optionalKey(Schema.Unknown)
  })
)
