/** What both sides have found, put together: a line each, and who looked. */
import { type Check, inOrder } from "@muster/core/diagnosis/Diagnosis"
import type * as Finding from "@muster/core/diagnosis/Finding"
import type { Colour, Style } from "../../terminal/Style.ts"
import * as Text from "../../terminal/Text.ts"

/** This command, from where it runs, or the server. */
export type Side = "here" | "server"

export interface Line extends Finding.Finding {
  readonly by: ReadonlyArray<Side>
}

/** Each side has a file of its own: that both are well says of none which one it is. */
const own: ReadonlySet<string> = new Set(["mapping"])

/** What both sides say of one thing: one line when they agree, in the words of the server, which has watched longer. */
export const merge = (here: Finding.Finding | undefined, server: Finding.Finding | undefined): ReadonlyArray<Line> => {
  if (here === undefined) return server === undefined ? [] : [{ ...server, by: ["server"] }]
  if (server === undefined) return [{ ...here, by: ["here"] }]
  return here.verdict === server.verdict && (here.detail === server.detail || !own.has(here.name))
    ? [{ ...server, by: ["here", "server"] }]
    : [
        { ...here, by: ["here"] },
        { ...server, by: ["server"] }
      ]
}

/** The names of what is looked at, in the order in which they are told. */
export const namesOf = (
  checks: ReadonlyArray<Pick<Check, "name">>,
  findings: ReadonlyArray<Finding.Finding>
): ReadonlyArray<string> => {
  const names = new Set([...checks, ...findings].map(({ name }) => name))
  return inOrder([...names].map((name) => ({ name }))).map(({ name }) => name)
}

const colours: Record<Finding.Verdict, Colour> = { ok: "green", warning: "yellow", error: "red" }

const verdictWidth = "warning".length
const nameWidth = "postgres.connections".length

/** A finding for people; what to do stands below it. Lines are not cut: the end of a command matters. */
export const show = ({ by, detail, fix, name, verdict }: Line, style: Style): string => {
  const looked = by.length > 1 ? "" : style(` (${by.join()})`, "dim")
  const head = `${style(verdict.padEnd(verdictWidth), colours[verdict])}  ${Text.padEnd(Text.visible(name), nameWidth)}  `
  const indent = " ".repeat(verdictWidth + nameWidth + 4)
  const first = `${head}${Text.visible(detail)}${looked}`
  return fix === null ? first : `${first}\n${indent}${style("fix:", "bold")} ${Text.visible(fix)}`
}

const count = (lines: ReadonlyArray<Line>, verdict: Finding.Verdict, one: string): ReadonlyArray<string> => {
  const found = lines.filter((line) => line.verdict === verdict).length
  return found === 0 ? [] : [`${found} ${found === 1 ? one : `${one}s`}`]
}

export const summary = (lines: ReadonlyArray<Line>): string => {
  const bad = [...count(lines, "error", "error"), ...count(lines, "warning", "warning")]
  return bad.length === 0 ? "all is well" : bad.join(", ")
}
