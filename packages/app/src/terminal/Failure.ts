/** How a failure is told: in words for people, as problem JSON (RFC 9457) for programs. Both on standard error. */
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
import type { Style } from "./Style.ts"
import * as Text from "./Text.ts"

/** A failure without the HTTP status that only an answer of the server has. */
export interface Problem {
  readonly type: string
  readonly code: string
  readonly detail: string
}

/** The problem of a failure that did not come from the server. */
export const problem = (code: string, detail: string): Problem => ({ type: `urn:muster:problem:${code}`, code, detail })

const isProblem = (error: unknown): error is Problem =>
  Predicate.hasProperty(error, "type") &&
  Predicate.hasProperty(error, "code") &&
  Predicate.hasProperty(error, "detail") &&
  Predicate.isString(error.code) &&
  Predicate.isString(error.detail)

const isTagged = (error: unknown): error is Error & { readonly _tag: string } =>
  error instanceof Error && "_tag" in error && Predicate.isString(error._tag)

/** Every failure as a problem: an answer of the server with all its members, anything else with its tag and message. */
export const toProblem = (error: unknown): Problem => {
  if (isProblem(error)) return { ...error }
  if (isTagged(error)) return problem(error._tag, error.message)
  return problem("Unexpected", error instanceof Error ? error.message : String(error))
}

/** What else to say to people, who may not know what an answer asks of them. */
const hints: Record<string, string> = {
  Unauthenticated: "set MUSTER_TOKEN to the token of the server"
}

/** What is wrong with a request, one by one; the detail of an answer has room for two. */
const issuesOf = (error: unknown): ReadonlyArray<string> => {
  if (!Predicate.hasProperty(error, "errors") || !Array.isArray(error.errors) || error.errors.length < 3) return []
  return error.errors.flatMap((issue: unknown) =>
    Predicate.hasProperty(issue, "path") && Predicate.hasProperty(issue, "message")
      ? [`${String(issue.path)}: ${String(issue.message)}`]
      : []
  )
}

/** Lines under one label; what they hold may come from elsewhere. */
export const label = (lines: ReadonlyArray<string>, style: Style): string =>
  lines
    .filter((line) => line.trim() !== "")
    .map((line, index) => (index === 0 ? style("error: ", "red") : "       ") + Text.visible(line))
    .join("\n")

/** A failure in words; a defect with where it happened, because only its author can do something about it. */
export const describe = (cause: Cause.Cause<unknown>, style: Style): string => {
  const error = Cause.squash(cause)
  const { code, detail } = toProblem(error)
  const known = isProblem(error) || (isTagged(error) && !Cause.hasDies(cause))
  const hint = hints[code]
  const lines = known
    ? [...detail.split("\n"), ...issuesOf(error), ...(hint === undefined ? [] : [hint])]
    : Cause.pretty(cause).split("\n")
  return label(lines, style)
}

/** Whether a failure is still to be told. */
export const isUntold = (cause: Cause.Cause<unknown>): boolean =>
  !Cause.hasInterruptsOnly(cause) && Runtime.getErrorReported(Cause.squash(cause))
