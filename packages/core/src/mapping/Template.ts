/**
 * Variables in configuration: `${NAME}` is required, `${NAME:-default}` is not. Anywhere in a string, expanded once:
 * what a variable holds is taken as it is. Source: documents 002 and 003.
 */
import { Result } from "effect"

const variable = /\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g

/** The text with its variables filled in, or the names of those that are required and missing. */
export const expand = (
  template: string,
  environment: Readonly<Record<string, string | undefined>>
): Result.Result<string, ReadonlyArray<string>> => {
  const missing: Array<string> = []
  const text = template.replace(variable, (_match, name: string, fallback: string | undefined) => {
    const value = environment[name] || fallback
    if (value === undefined) missing.push(name)
    return value ?? ""
  })
  return missing.length === 0 ? Result.succeed(text) : Result.fail(missing)
}

/** Whether a text has what looks like a variable and is none: one that is not closed, or stands inside another. */
export const isMalformed = (template: string): boolean =>
  template
    .replace(variable, (_match, _name, fallback: string | undefined) => (fallback?.includes("${") ? "${" : ""))
    .includes("${")

/** Expands every template of a record; fails with all missing names at once. */
export const expandAll = (
  templates: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string | undefined>>
): Result.Result<Readonly<Record<string, string>>, ReadonlyArray<string>> => {
  const expanded = Object.entries(templates).map(([name, template]) => [name, expand(template, environment)] as const)
  const missing = expanded.flatMap(([, result]) => (Result.isFailure(result) ? result.failure : []))
  return missing.length > 0
    ? Result.fail([...new Set(missing)])
    : Result.succeed(
        Object.fromEntries(
          expanded.flatMap(([name, result]) => (Result.isSuccess(result) ? [[name, result.success]] : []))
        )
      )
}
