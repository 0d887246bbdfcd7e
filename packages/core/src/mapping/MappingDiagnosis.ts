/** What `muster doctor` says of a mapping, on either side. */
import * as Diagnosis from "../diagnosis/Finding.ts"
import { type Finding, sentence } from "./Finding.ts"
import type { ServiceMapping } from "./ServiceMapping.ts"

/** Findings told in full; `muster mapping check` tells all. */
const mostTold = 3

const plural = (count: number, one: string): string => `${count} ${one}${count === 1 ? "" : "s"}`

/** How many worker types and services there are, in words. */
export const contents = ({ services, workers }: ServiceMapping): string =>
  `${plural(Object.keys(workers).length, "worker type")}, ${plural(Object.keys(services).length, "service")}`

export const ofMapping = (
  file: string,
  mapping: ServiceMapping | null,
  findings: ReadonlyArray<Finding>
): Diagnosis.Found => {
  const [first] = findings
  if (first === undefined) return Diagnosis.ok(`${file}: ${mapping === null ? "empty" : contents(mapping)}`)
  const errors = findings.filter(({ severity }) => severity === "error")
  const worst = errors.length > 0 ? errors : findings
  const more = worst.length > mostTold ? `; and ${worst.length - mostTold} more` : ""
  const detail = `${file}: ${worst.slice(0, mostTold).map(sentence).join("; ")}${more}`
  const fix = `correct the file; all of it: muster mapping check ${file}`
  return errors.length > 0 ? Diagnosis.error(detail, fix) : Diagnosis.warning(detail, fix)
}
