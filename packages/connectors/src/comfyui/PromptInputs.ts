/**
 * Files that a prompt reads: fetched from where the job names them, given to the server, and their names there put into
 * the graph wherever a value of a node is the name of the input.
 */
import { Effect, Schema } from "effect"
import * as InputFile from "../assets/InputFile.ts"
import type { Workflow } from "./ComfyMessages.ts"
import type { ComfyServer } from "./ComfyServer.ts"

export const Inputs = Schema.Record(Schema.NonEmptyString.check(Schema.isMaxLength(255)), InputFile.Given).check(
  Schema.isMaxProperties(100, { expected: "at most 100 inputs" })
)
export type Inputs = typeof Inputs.Type

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
    const uploaded = Effect.flatMap(InputFile.read(`inputs.${name}`, input, maxBytes), server.upload)
    names.set(name, yield* Effect.scoped(uploaded))
  }
  return names.size === 0 ? workflow : replaced(workflow, names)
})
