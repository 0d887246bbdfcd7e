/** JSON as a person wrote it: where it is none, and what it says twice, of which only the last would count. */
import { Result } from "effect"
import { type ParseErrorCode, printParseErrorCode, visit } from "jsonc-parser"
import type { Path } from "../SchemaIssues.ts"

export interface NamedTwice {
  readonly path: Path
  /** Of the first and of the next, counted from 1. */
  readonly lines: readonly [first: number, next: number]
}

export interface Parsed {
  readonly value: unknown
  readonly twice: ReadonlyArray<NamedTwice>
}

const words = (code: ParseErrorCode): string => {
  const name = printParseErrorCode(code)
  switch (name) {
    case "InvalidCommentToken":
      return "JSON has no comments"
    case "PropertyNameExpected":
      return "a name in double quotes expected; no comma stands before a closing brace"
    default:
      return name.replace(/\B[A-Z]/g, (letter) => ` ${letter}`).toLowerCase()
  }
}

/** The value in a text, or the first place where the text is no JSON, in words. */
export const parse = (text: string): Result.Result<Parsed, string> => {
  const wrong: Array<string> = []
  const twice: Array<NamedTwice> = []
  const first = new Map<string, number>()
  visit(
    text,
    {
      onError: (code, _offset, _length, line, character) => {
        wrong.push(`line ${line + 1}, column ${character + 1}: ${words(code)}`)
      },
      onObjectProperty: (name, _offset, _length, line, _character, at) => {
        const path = [...at(), name]
        const key = JSON.stringify(path)
        const before = first.get(key)
        if (before === undefined) first.set(key, line + 1)
        else twice.push({ path, lines: [before, line + 1] })
      }
    },
    { disallowComments: true }
  )
  return Result.try({
    try: () => ({ value: JSON.parse(text) as unknown, twice }),
    catch: (error) => wrong[0] ?? String(error)
  })
}
