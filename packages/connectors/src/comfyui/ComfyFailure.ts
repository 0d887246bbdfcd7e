/** What ComfyUI says when it refuses a prompt or fails in one, in a few words and with the kind that it is. */
import { ConnectorFailure, type FailureKind } from "@muster/core/connector/ConnectorFailure"
import { Option, Schema } from "effect"
import type { ExecutionError } from "./ComfyMessages.ts"

const longestPart = 200
const mostErrors = 3

const short = (text: string): string => {
  const plain = text.replace(/\s+/g, " ").trim()
  return plain.length > longestPart ? `${plain.slice(0, longestPart)}…` : plain
}

const NodeErrors = Schema.Record(
  Schema.String,
  Schema.Struct({
    class_type: Schema.optionalKey(Schema.String),
    errors: Schema.Array(
      Schema.Struct({
        type: Schema.optionalKey(Schema.String),
        message: Schema.String,
        details: Schema.optionalKey(Schema.String),
        extra_info: Schema.optionalKey(
          Schema.Struct({
            input_name: Schema.optionalKey(Schema.String),
            linked_node: Schema.optionalKey(Schema.Unknown)
          })
        )
      })
    )
  })
)

/** What is wrong with one input of a node; `input` is missing where the fault is in the node as a whole. */
export interface NodeError {
  readonly node_id: string
  readonly class_type?: string
  readonly input?: string
  readonly message: string
}

/** The errors in `node_errors`, at most a hundred. */
export const nodeErrors = (said: unknown): ReadonlyArray<NodeError> =>
  Option.match(Schema.decodeUnknownOption(NodeErrors)(said), {
    onNone: () => [],
    onSome: (nodes) =>
      Object.entries(nodes)
        .flatMap(([node_id, { class_type, errors }]) =>
          errors.map(({ details = "", extra_info: { input_name, linked_node } = {}, message }): NodeError => ({
            node_id,
            ...(class_type === undefined ? {} : { class_type }),
            // With a linked node the input is that of the node which wanted the link.
            ...(input_name === undefined || linked_node !== undefined ? {} : { input: input_name }),
            message: short(details === "" || details === input_name ? message : `${message} (${details})`)
          }))
        )
        .slice(0, 100)
  })

const shown = ({ class_type, input, message, node_id }: NodeError): string =>
  `node ${node_id}${class_type === undefined ? "" : ` (${short(class_type)})`}${
    input === undefined ? "" : `, input ${short(input)}`
  }: ${message}`

const Refusal = Schema.Struct({
  error: Schema.Union([
    Schema.String,
    Schema.Struct({ message: Schema.String, details: Schema.optionalKey(Schema.String) })
  ]),
  node_errors: Schema.optionalKey(Schema.Unknown)
})

/** An answer that was too long to be read as JSON: its beginning says enough. */
const cutOff = (text: string): string | undefined => {
  const [, message, node, detail] =
    /^\{"error": \{.*?"message": "([^"]*)".*?"node_errors": \{"([^"]*)".*?"message": "([^"]*)"/s.exec(text) ?? []
  if (message === undefined) return undefined
  const [, input] = /"input_name": "([^"]*)"/.exec(text) ?? []
  return `node ${node}${input === undefined ? "" : `, input ${input}`}: ${detail}`
}

/** What an answer with a bad status says, for HttpService. */
export const words = (body: unknown): string | undefined => {
  if (typeof body === "string") return cutOff(body) ?? body
  const refusal = Option.getOrUndefined(Schema.decodeUnknownOption(Refusal)(body))
  if (refusal === undefined) return undefined
  const { error, node_errors } = refusal
  const errors = nodeErrors(node_errors)
  if (errors.length > 0) {
    const more = errors.length > mostErrors ? `; and ${errors.length - mostErrors} more` : ""
    return `${errors.slice(0, mostErrors).map(shown).join("; ")}${more}`
  }
  if (typeof error === "string") return short(error)
  return short(
    error.details === undefined || error.details === "" ? error.message : `${error.message} ${error.details}`
  )
}

/** Which kind an exception of Python is; the first that matches. What is not here may pass: ProtocolError. */
const kinds: ReadonlyArray<readonly [RegExp, FailureKind]> = [
  [/OutOfMemory|out of memory|not enough memory|^MemoryError$/i, "ResourceExhausted"],
  [/UnidentifiedImageError|DecompressionBomb/, "InvalidPayload"],
  [/^(ValueError|TypeError|KeyError|IndexError|AttributeError|AssertionError|ZeroDivisionError)$/, "InvalidPayload"],
  [/FileNotFound|PermissionError|ConnectionError|TimeoutError|^OSError$|^IOError$/, "ServiceUnavailable"]
]

/** The failure of a prompt in which a node raised. */
export const ofExecution = (error: ExecutionError): ConnectorFailure => {
  const { exception_message = "no reason given", exception_type = "", node_id, node_type } = error
  const at = node_id === undefined ? "a node" : `node ${node_id}${node_type === undefined ? "" : ` (${node_type})`}`
  const plainType = exception_type.split(".").at(-1) ?? ""
  const [, kind] = kinds.find(([pattern]) => pattern.test(plainType)) ?? []
  const isMemory = kinds[0]?.[0].test(exception_message.slice(0, 2_000)) === true
  return new ConnectorFailure({
    kind: isMemory ? "ResourceExhausted" : (kind ?? "ProtocolError"),
    message: `${short(at)} failed: ${short(`${exception_type === "" ? "" : `${exception_type}: `}${exception_message}`)}`
  })
}

/** Somebody stopped the prompt at the server. */
export const interrupted = new ConnectorFailure({
  kind: "ServiceUnavailable",
  message: "the prompt was interrupted at ComfyUI"
})

/** Nobody knows it any more. */
export const gone = new ConnectorFailure({
  kind: "ServiceUnavailable",
  message: "the prompt is in neither queue nor history of ComfyUI: it was deleted, or ComfyUI was started again"
})
