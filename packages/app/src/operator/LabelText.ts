/**
 * A label condition as one text, the way people type and read it: `tier=gold`, `zone=a,b` (all of them), `zone!=c`,
 * `vram>=24`. What looks like a number or like true and false is one; in quotes everything is text: `version="1.10"`.
 */
import type { LabelCondition } from "@muster/core/job/Requirements"
import { Result } from "effect"

type Value = Extract<LabelCondition, string | number | boolean>
type Range = Exclude<LabelCondition, Value | ReadonlyArray<Value> | { readonly not: Value }>

export interface Label {
  readonly name: string
  readonly condition: LabelCondition
}

const operators = { ">=": "gte", ">": "gt", "<=": "lte", "<": "lt" } as const

export const isRange = (condition: LabelCondition): condition is Range =>
  typeof condition === "object" && !Array.isArray(condition) && !("not" in condition)

const numeric = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

const parseQuoted = (text: string): Result.Result<string, string> =>
  Result.try({ try: () => JSON.parse(text) as string, catch: () => `${text} is no text in quotes` })

const parseValue = (text: string): Result.Result<Value, string> => {
  if (text === "") return Result.fail(`there is no value; "" in quotes is the empty text`)
  if (text.startsWith('"')) return parseQuoted(text)
  if (text === "true" || text === "false") return Result.succeed(text === "true")
  return Result.succeed(numeric.test(text) && Number.isFinite(Number(text)) ? Number(text) : text)
}

/** At the commas that do not stand in quotes. */
const split = (text: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  for (const [all, part = ""] of text.matchAll(/("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)/g)) {
    parts.push(part)
    if (!all.endsWith(",")) break
  }
  return parts
}

const parseEqual = (text: string): Result.Result<LabelCondition, string> =>
  Result.map(Result.all(split(text).map(parseValue)), ([first = "", ...others]) =>
    others.length === 0 ? first : [first, ...others]
  )

const parseBound = (operator: keyof typeof operators, text: string): Result.Result<LabelCondition, string> =>
  Result.flatMap(parseValue(text), (bound) =>
    typeof bound === "number"
      ? Result.succeed({ [operators[operator]]: bound })
      : Result.fail(`${operator} needs a number, not ${text}`)
  )

/** What the text says, or what is wrong with it. */
export const parse = (text: string): Result.Result<Label, string> => {
  const [, name, operator, rest = ""] = /^([^=!<>]+)(=|!=|>=|<=|>|<)([^]*)$/.exec(text) ?? []
  if (name === undefined || operator === undefined) {
    return Result.fail(`${JSON.stringify(text)} is no condition such as tier=gold, zone=a,b, zone!=c or "vram>=24"`)
  }
  const condition =
    operator === "="
      ? parseEqual(rest)
      : operator === "!="
        ? Result.map(parseValue(rest), (not): LabelCondition => ({ not }))
        : parseBound(operator as keyof typeof operators, rest)
  return Result.mapError(
    Result.map(condition, (condition) => ({ name, condition })),
    (problem) => `${name}: ${problem}`
  )
}

const printValue = (value: Value): string => {
  if (typeof value !== "string") return String(value)
  const read = parseValue(value)
  return Result.isSuccess(read) && read.success === value && !value.includes(",") ? value : JSON.stringify(value)
}

/** The text that says it. A range of two bounds takes two: `vram>=24, vram<80`. */
export const print = (name: string, condition: LabelCondition): string => {
  if (typeof condition !== "object") return `${name}=${printValue(condition)}`
  if (Array.isArray(condition)) return `${name}=${condition.map(printValue).join(",")}`
  if ("not" in condition) return `${name}!=${printValue(condition.not)}`
  const bounds = condition as Range
  return Object.entries(operators)
    .flatMap(([operator, key]) => (bounds[key] === undefined ? [] : [`${name}${operator}${bounds[key]}`]))
    .join(", ")
}
