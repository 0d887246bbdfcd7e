/**
 * What ComfyUI says over HTTP and on its socket, as far as it is used, in the spellings of its builds since 2024. What is
 * not named here is dropped.
 */
import { Schema } from "effect"

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

/** A message on the socket, and what we tell ourselves about it. */
export type Message =
  | typeof Event.Type
  /** A picture of what is being made; its bytes are dropped. */
  | { readonly type: "preview" }
  /** The socket is there again: something may have been missed. */
  | { readonly type: "reconnected" }

/** The first four bytes of a binary frame that holds a preview: the plain one, and the one with metadata. */
const previews: ReadonlySet<number> = new Set([1, 4])

export const ofBinary = (bytes: Uint8Array): Message | undefined => {
  if (bytes.length < 4) return undefined
  return previews.has(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)) ? { type: "preview" } : undefined
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
