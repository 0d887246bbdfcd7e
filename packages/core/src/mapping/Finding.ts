/** One thing that is wrong with a mapping, and how to say it. */
import { Schema } from "effect"
import { type Path, pathText } from "../SchemaIssues.ts"

export const Finding = Schema.Struct({
  /** An error stops the process that finds it; a warning is said. */
  severity: Schema.Literals(["error", "warning"]),
  /** Where it stands in the file: `workers.openai.services[0]`; empty for the file as a whole. */
  path: Schema.String,
  message: Schema.String
})
export type Finding = typeof Finding.Type

export const error = (path: Path, message: string): Finding => ({
  severity: "error",
  path: pathText(path),
  message
})

export const warning = (path: Path, message: string): Finding => ({
  severity: "warning",
  path: pathText(path),
  message
})

/** The whole of a finding on one line. */
export const sentence = ({ message, path }: Finding): string => (path === "" ? message : `${path}: ${message}`)
