/** What `muster mapping` does: it reads the file itself and asks no server. */
import { type Finding, sentence } from "@muster/core/mapping/Finding"
import { contents } from "@muster/core/mapping/MappingDiagnosis"
import * as RouteExplanation from "@muster/core/mapping/RouteExplanation"
import * as MappingSource from "@muster/impl/MappingSource"
import { Effect, Runtime, Schema } from "effect"
import * as Configuration from "../Configuration.ts"
import { environment } from "../Environment.ts"
import * as Output from "../terminal/Output.ts"
import type { Colour, Style } from "../terminal/Style.ts"
import * as Text from "../terminal/Text.ts"

/** Something is wrong; it is told already. */
export class MappingWrong extends Schema.TaggedError<MappingWrong>("@muster/app/operator/Mapping/MappingWrong")(
  "MappingWrong",
  {}
) {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
}

const read = Effect.fnUntraced(function* (file: string | undefined) {
  const { mappingFile } = yield* Configuration.read(environment, { MUSTER_MAPPING: file })
  return yield* MappingSource.check(mappingFile)
})

const colours: Record<Finding["severity"], Colour> = { error: "red", warning: "yellow" }
const severityWidth = "warning".length

const line = (finding: Finding, style: Style): string =>
  `${style(finding.severity.padEnd(severityWidth), colours[finding.severity])}  ${Text.visible(sentence(finding))}`

const count = (findings: ReadonlyArray<Finding>, severity: Finding["severity"]): ReadonlyArray<string> => {
  const found = findings.filter((finding) => finding.severity === severity).length
  return found === 0 ? [] : [`${found} ${severity}${found === 1 ? "" : "s"}`]
}

/** `muster mapping check` */
export const check = Effect.fn("Mapping.check")(function* (flags: {
  readonly file: string | undefined
  readonly json: boolean
}) {
  const { file, findings, mapping } = yield* read(flags.file)
  const isWell = mapping !== null && findings.every(({ severity }) => severity !== "error")
  if (flags.json) yield* Output.printJson({ file, ok: isWell, findings })
  else {
    const { style } = yield* Output.canvas
    for (const finding of findings) yield* Output.print(line(finding, style))
    const counts = [...count(findings, "error"), ...count(findings, "warning")].join(", ") || "all is well"
    const what = mapping === null ? "" : ` (${contents(mapping)})`
    yield* Output.print(`${findings.length === 0 ? "" : "\n"}${Text.visible(file)}: ${counts}${what}`)
  }
  if (!isWell) return yield* new MappingWrong()
})

const steps = (route: RouteExplanation.RouteSteps, style: Style): string => {
  const way = [`worker type ${route.worker}`, route.service, route.connector].filter((step) => step !== null)
  const end = route.broken === null ? "" : ` ${style(`✗ ${Text.visible(route.broken)}`, "red")}`
  return `${Text.visible(way.join(" → "))}${end}  ${style(Text.visible(route.path), "dim")}`
}

/** `muster mapping explain` */
export const explain = Effect.fn("Mapping.explain")(function* (flags: {
  readonly job_type: string
  readonly file: string | undefined
  readonly json: boolean
}) {
  const { file, findings, mapping } = yield* read(flags.file)
  if (mapping === null) {
    return yield* new MappingSource.MappingUnusable({
      file,
      problems: findings.map((found) => `${file}: ${sentence(found)}`)
    })
  }
  const told = RouteExplanation.explain(mapping, flags.job_type, MappingSource.connectorNames(mapping))
  if (flags.json) yield* Output.printJson(told)
  else {
    const { style } = yield* Output.canvas
    for (const route of told.routes) yield* Output.print(steps(route, style))
    for (const hint of told.hints) yield* Output.print(Text.visible(hint))
    const errors = count(findings, "error")
    if (errors.length > 0) yield* Output.note(`${file} has ${errors.join()}: muster mapping check ${file}`)
  }
  if (!told.routes.some(({ broken }) => broken === null)) return yield* new MappingWrong()
})
