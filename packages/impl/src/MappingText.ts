/** From the text of a mapping file to a mapping: where it is no JSON, and what it names twice. */
import * as Finding from "@muster/core/mapping/Finding"
import * as MappingFile from "@muster/core/mapping/MappingFile"
import { Result } from "effect"
import { type ParseErrorCode, printParseErrorCode, visit } from "jsonc-parser"

/** Larger files are no mappings; in characters. */
const longest = 4 * 1024 * 1024

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

/** The mapping in the text of a file. */
export const parse = (text: string): MappingFile.ReadMapping => {
  if (text.length > longest) return MappingFile.unreadable(`the file is larger than ${longest / 1024 / 1024} MB`)
  const json = text.replace(/^\uFEFF/, "")
  const wrong: Array<string> = []
  const twice: Array<Finding.Finding> = []
  const lines = new Map<string, number>()
  visit(
    json,
    {
      onError: (code, _offset, _length, line, character) => {
        wrong.push(`line ${line + 1}, column ${character + 1}: ${words(code)}`)
      },
      onObjectProperty: (name, _offset, _length, line, _character, at) => {
        const path = [...at(), name]
        const first = lines.get(JSON.stringify(path))
        if (first === undefined) lines.set(JSON.stringify(path), line + 1)
        else {
          const both = `stands there twice, in lines ${first} and ${line + 1}: only the last would count`
          twice.push(Finding.error(path, both))
        }
      }
    },
    { disallowComments: true }
  )
  const parsed = Result.try({ try: (): unknown => JSON.parse(json), catch: (error) => wrong[0] ?? String(error) })
  if (Result.isFailure(parsed)) return MappingFile.unreadable(`the file is not JSON: ${parsed.failure}`)
  const read = MappingFile.decode(parsed.success)
  return { ...read, findings: [...twice, ...read.findings] }
}
