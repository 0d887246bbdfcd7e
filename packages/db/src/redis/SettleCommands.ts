/** The functions of lua/functions/settle.lua, one typed command each. */
import { Schema } from "effect"
import { command } from "./RedisFunctions.ts"

/** The facts of a class: job type, text of its requirements, customer and workflow, empty where they do not count. */
const facts = [Schema.String, Schema.String, Schema.String, Schema.String] as const

const Word = <const Text extends string>(...words: ReadonlyArray<Text>) => Schema.Tuple([Schema.Literals(words)])

export const createSignature = command({
  name: "create_signature",
  args: (request: {
    readonly id: string
    readonly text: string
    readonly machine: string
    readonly names: ReadonlyArray<string>
  }) => [request.id, request.text, request.machine, ...request.names],
  reply: Schema.String
})

export const signatureStep = command({
  name: "signature_step",
  args: (signature: string) => [signature],
  reply: Schema.Union([
    Word("ready", "gone", "again"),
    Schema.TupleWithRest(Schema.Tuple([Schema.Literal("compare"), Schema.String, Schema.String]), [
      Schema.Tuple([Schema.String, ...facts])
    ])
  ])
})

export const signatureOutcome = command({
  name: "signature_outcome",
  args: (request: {
    readonly signature: string
    readonly from: string
    readonly upto: string
    readonly classes: ReadonlyArray<string>
  }) => [request.signature, request.from, request.upto, ...request.classes],
  reply: Word("ok")
})

export const signaturesAfter = command({
  name: "signatures_after",
  args: (after: number) => [String(after)],
  reply: Schema.Tuple([
    Schema.FiniteFromString,
    Schema.FiniteFromString,
    Schema.Array(Schema.Tuple([Schema.FiniteFromString, Schema.String, Schema.String]))
  ])
})

export const classStep = command({
  name: "class_step",
  args: (id: string) => [id],
  reply: Schema.Union([
    Word("ready", "gone"),
    Schema.Tuple([Schema.Literal("compare"), Schema.FiniteFromString, Schema.FiniteFromString, ...facts])
  ])
})

export const classOutcome = command({
  name: "class_outcome",
  args: (request: {
    readonly id: string
    readonly from: number
    readonly upto: number
    readonly machines: ReadonlyArray<string>
    readonly signatures: ReadonlyArray<number>
  }) => [
    request.id,
    String(request.from),
    String(request.upto),
    request.machines.join("\n"),
    ...request.signatures.map(String)
  ],
  reply: Word("ok")
})

export const audienceStep = command({
  name: "audience_step",
  args: (audience: string) => [audience],
  reply: Word("ready", "again")
})
