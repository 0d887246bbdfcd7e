/** One thing that is wrong with a mapping, and how to say it. */
import { Schema } from "effect"

export const Finding = Schema.Struct({
  /** An error stops the process that finds it; a warning is said. */
  severity: Schema.Literals(["error", "warning"]),
  /** Where it stands in the file: `workers.openai.services[0]`; empty for the file as a whole. */
  path: Schema.String,
  message: Schema.String
})
export type Finding = typeof Finding.Type

/** `workers.openai.services[0]`; a key that is no plain name is quoted. */
export const pathText = (path: ReadonlyArray<PropertyKey>): string =>
  path
    .map((key, at) => {
      if (typeof key === "number") return `[${key}]`
      const name = String(key).slice(0, 128)
      if (!/^[A-Za-z_$][\w$-]*$/.test(name)) return `[${JSON.stringify(name)}]`
      return at === 0 ? name : `.${name}`
    })
    .join("")

export const error = (path: ReadonlyArray<PropertyKey>, message: string): Finding => ({
  severity: "error",
  path: pathText(path),
  message
})

export const warning = (path: ReadonlyArray<PropertyKey>, message: string): Finding => ({
  severity: "warning",
  path: pathText(path),
  message
})

/** The whole of a finding on one line. */
export const sentence = ({ message, path }: Finding): string => (path === "" ? message : `${path}: ${message}`)
