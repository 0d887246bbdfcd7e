/** What a schema finds wrong with a request, in the words and paths of the one who sent it. */
import { type Schema, SchemaIssue } from "effect"
import * as Problems from "./contract/Problems.ts"

const listed = 100
const longestKey = 100

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  // Where any name is a key, the schema says itself what is wrong with one.
  leafHook: (issue) =>
    issue._tag === "UnexpectedKey" && issue.ast.annotations?.["messageUnexpectedKey"] === undefined
      ? "Unknown field"
      : SchemaIssue.defaultLeafHook(issue)
})

type Path = ReadonlyArray<PropertyKey | { readonly key: PropertyKey }>

/** `capabilities.job_types[0]`; a key that is no plain name is quoted. */
const printPath = (path: Path): string =>
  path
    .map((segment) => (typeof segment === "object" ? segment.key : segment))
    .map((key, at) => {
      const name = String(key).slice(0, longestKey)
      if (typeof key === "number") return `[${key}]`
      if (!/^[A-Za-z_$][\w$-]*$/.test(name)) return `[${JSON.stringify(name)}]`
      return at === 0 ? name : `.${name}`
    })
    .join("")

const say = (detail: string, errors: ReadonlyArray<Problems.RequestIssue>) =>
  new Problems.InvalidRequest({ detail, errors })

const about = ({ message, path }: Problems.RequestIssue): string =>
  path === "" ? `the body: ${message}` : `${path}: ${message}`

/** One sentence that stands for all of it in a log line or on a terminal. */
const summary = (errors: ReadonlyArray<Problems.RequestIssue>): string => {
  const [first, second] = errors
  if (first === undefined) return "the request is not what this route takes"
  if (second === undefined) return about(first)
  return `${about(first)}; ${about(second)}${errors.length > 2 ? `; and ${errors.length - 2} more` : ""}`
}

export const notJson = say("the body is not valid JSON", [{ path: "", message: "Expected valid JSON" }])

/** How the API builder says that a body is not JSON; it has no issue of its own for it. */
const isNotJson = ({ issue }: Schema.SchemaError): boolean =>
  issue._tag === "InvalidValue" && issue.annotations?.["message"] === "Expected a valid JSON body"

/** All issues of a request at once. */
export const toProblem = (error: Schema.SchemaError): Problems.InvalidRequest => {
  if (isNotJson(error)) return notJson
  const seen = new Set<string>()
  const errors: Array<Problems.RequestIssue> = []
  for (const { message, path = [] } of format(error.issue).issues) {
    const found = { path: printPath(path), message }
    const key = about(found)
    if (seen.has(key)) continue
    seen.add(key)
    if (errors.length < listed) errors.push(found)
  }
  return say(summary(errors), errors)
}
