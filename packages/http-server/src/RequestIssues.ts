/** What a schema finds wrong with a request, in the words and paths of the one who sent it. */
import * as SchemaIssues from "@muster/core/SchemaIssues"
import type { Schema } from "effect"
import * as Problems from "./contract/Problems.ts"

const listed = 100

export const notJson = new Problems.InvalidRequest({
  detail: "the body is not valid JSON",
  errors: [{ path: "", message: "Expected valid JSON" }]
})

/** How the API builder says that a body is not JSON; it has no issue of its own for it. */
const isNotJson = ({ issue }: Schema.SchemaError): boolean =>
  issue._tag === "InvalidValue" && issue.annotations?.["message"] === "Expected a valid JSON body"

/** All issues of a request at once. */
export const toProblem = (error: Schema.SchemaError): Problems.InvalidRequest => {
  if (isNotJson(error)) return notJson
  const found = SchemaIssues.all(error.issue)
  return new Problems.InvalidRequest({
    detail: SchemaIssues.summary(found, "the body"),
    errors: found.slice(0, listed).map(({ message, path }) => ({ path: SchemaIssues.pathText(path), message }))
  })
}
