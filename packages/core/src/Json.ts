/**
 * JSON as users send it. A payload is opaque to the broker, yet it has to survive every later encoding, so nesting
 * is bounded at the door: encoders recurse, and a document 100,000 levels deep would take the process down.
 */
import { Schema } from "effect"

export const maxDepth = 256

const tooDeep = (root: unknown): boolean => {
  let level: Array<unknown> = [root]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) return true
    const next: Array<unknown> = []
    for (const value of level) {
      if (typeof value === "object" && value !== null) next.push(...Object.values(value))
    }
    level = next
  }
  return false
}

/** Any JSON value, nested at most {@link maxDepth} levels. */
export const Json = Schema.Unknown.check(
  Schema.makeFilter((value) => !tooDeep(value), { expected: `JSON nested at most ${maxDepth} levels deep` })
)

/** Any JSON object, nested at most {@link maxDepth} levels. */
export const JsonObject = Schema.Record(Schema.String, Schema.Unknown).check(
  Schema.makeFilter((value) => !tooDeep(value), { expected: `JSON nested at most ${maxDepth} levels deep` })
)

/**
 * The canonical text of a JSON value: keys sorted at every level, no spaces. Two values have the same text exactly
 * when they are equal as JSON, which is how a repeated submit is recognised.
 */
export const canonical = (value: unknown): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  if ("toJSON" in value && typeof value.toJSON === "function") return canonical(value.toJSON())
  const record = value as Readonly<Record<string, unknown>>
  let members = ""
  for (const key of Object.keys(record).toSorted()) {
    if (record[key] === undefined) continue
    members += `${members === "" ? "" : ","}${JSON.stringify(key)}:${canonical(record[key])}`
  }
  return `{${members}}`
}
