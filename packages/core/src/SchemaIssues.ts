/** What a schema finds wrong with a value, in words and paths for the one who wrote the value. */
import { Array, type Schema, SchemaIssue } from "effect"

export type Path = ReadonlyArray<PropertyKey>

export interface Found {
  /** From the whole value inwards; empty for the value itself. */
  readonly path: Path
  readonly message: string
}

/** The message about a field that the schema does not have. */
export const unknownField = "Unknown field"

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  // Where any name is a key, the schema says itself what is wrong with one.
  leafHook: (issue) =>
    issue._tag === "UnexpectedKey" && issue.ast.annotations?.["messageUnexpectedKey"] === undefined
      ? unknownField
      : SchemaIssue.defaultLeafHook(issue)
})

const longestKey = 128

/** `workers.openai.services[0]`; a key that is no plain name is quoted, and a very long one is cut. */
export const pathText = (path: Path): string =>
  path
    .map((key, at) => {
      if (typeof key === "number") return `[${key}]`
      const name = String(key).slice(0, longestKey)
      if (!/^[A-Za-z_$][\w$-]*$/.test(name)) return `[${JSON.stringify(name)}]`
      return at === 0 ? name : `.${name}`
    })
    .join("")

/** Whether the keys are those of the schema, so that what is wrong inside is worth telling. */
const hasTheKeys = (issue: SchemaIssue.Issue): boolean => {
  switch (issue._tag) {
    case "MissingKey":
    case "UnexpectedKey":
      return false
    case "Pointer":
    case "Filter":
      return hasTheKeys(issue.issue)
    case "Composite":
      return issue.issues.every(hasTheKeys)
    default:
      return true
  }
}

/** What is wrong with those members of a union whose keys the value has: one of them was meant. */
export const ofTheFormsMeant = ({ issues }: SchemaIssue.AnyOf): ReadonlyArray<SchemaIssue.Issue> =>
  issues.filter(hasTheKeys)

/** A union says what is wrong with each of its members; this says it of those that can have been meant. */
const asMeant = (issue: SchemaIssue.Issue): SchemaIssue.Issue => {
  switch (issue._tag) {
    case "Pointer":
      return new SchemaIssue.Pointer(issue.path, asMeant(issue.issue))
    case "Encoding":
      return new SchemaIssue.Encoding(issue.ast, asMeant(issue.issue))
    case "Composite":
      return new SchemaIssue.Composite(issue.ast, Array.map(issue.issues, asMeant))
    case "AnyOf": {
      const meant = ofTheFormsMeant(issue)
      return new SchemaIssue.AnyOf(issue.ast, (meant.length === 0 ? issue.issues : meant).map(asMeant))
    }
    default:
      return issue
  }
}

/** Everything that is wrong, each thing once. */
export const all = (issue: SchemaIssue.Issue): ReadonlyArray<Found> => {
  const seen = new Map<string, Found>()
  for (const { message, path = [] } of format(asMeant(issue)).issues) {
    const keys = path.map((segment) => (typeof segment === "object" ? segment.key : segment))
    seen.set(`${pathText(keys)}: ${message}`, { path: keys, message })
  }
  return [...seen.values()]
}

/** One thing that is wrong; `whole` is what the value itself is called. */
export const sentence = ({ message, path }: Found, whole: string): string =>
  `${path.length === 0 ? whole : pathText(path)}: ${message}`

/** One line that stands for everything that is wrong; `whole` is what the value itself is called. */
export const summary = (found: ReadonlyArray<Found>, whole: string): string => {
  const told = found.slice(0, 2).map((each) => sentence(each, whole))
  const more = found.length - told.length
  return [...told, ...(more > 0 ? [`and ${more} more`] : [])].join("; ")
}

/** One line for an error of a decode. */
export const describe = ({ issue }: Schema.SchemaError, whole: string): string => summary(all(issue), whole)
