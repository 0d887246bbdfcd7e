/**
 * Requirement classes: all jobs of which the matching rule reads the same facts. A store settles once which kinds of
 * workers match a class, and never looks at a single job for it.
 *
 * The customer and the workflow of a job belong to its class only while some known worker names that very customer or
 * workflow; otherwise every workflow would be a class of its own. Source: broker rule 8.
 */
import { Schema } from "effect"
import { canonical } from "../Json.ts"
import type { JobFacts } from "./Matching.ts"
import { type LabelCondition, Requirements } from "./Requirements.ts"

const distinct = <Value>(values: ReadonlyArray<Value>): ReadonlyArray<Value> =>
  [...new Set(values)].toSorted((a, b) => {
    const [left, right] = [`${typeof a} ${String(a)}`, `${typeof b} ${String(b)}`]
    return left < right ? -1 : left > right ? 1 : 0
  })

const normalCondition = (condition: LabelCondition): LabelCondition => {
  if (!Array.isArray(condition)) return condition
  const values = distinct(condition as ReadonlyArray<Extract<LabelCondition, string | number | boolean>>)
  // One value alone and a list of that value ask for the same.
  return values.length === 1 && values[0] !== undefined ? values[0] : values
}

const normalConditions = (conditions: Readonly<Record<string, LabelCondition>> = {}) =>
  Object.fromEntries(Object.entries(conditions).map(([name, condition]) => [name, normalCondition(condition)]))

/** The requirements in the one form that equal needs share: nothing empty, no order, nothing that asks for nothing. */
export const normalRequirements = (requirements: Requirements): Requirements => {
  const { customer_isolation, exclude, hardware = {}, labels, models = [] } = requirements
  const all = {
    // At least none is what everybody has.
    hardware: Object.fromEntries(Object.entries(hardware).filter(([, least]) => least > 0)),
    models: distinct(models),
    labels: normalConditions(labels),
    exclude: normalConditions(exclude),
    customer_isolation: customer_isolation === "strict" ? customer_isolation : ""
  }
  return Object.fromEntries(Object.entries(all).filter(([, clause]) => Object.keys(clause).length > 0)) as Requirements
}

const isEmpty = (record: Requirements): boolean => Object.keys(record).length === 0

/** The canonical text of normal requirements; empty when they ask for nothing. */
export const requirementsText = (requirements: Requirements): string => {
  // Most jobs ask for nothing.
  if (isEmpty(requirements)) return ""
  const normal = normalRequirements(requirements)
  return isEmpty(normal) ? "" : canonical(normal)
}

const decodeRequirements = Schema.decodeSync(Schema.fromJsonString(Requirements), { onExcessProperty: "error" })

/** What such a text says. Throws for one that is none. */
export const parseRequirements = (text: string): Requirements => (text === "" ? {} : decodeRequirements(text))

const named = (condition: LabelCondition | undefined): ReadonlyArray<string> => {
  const values =
    typeof condition !== "object"
      ? [condition]
      : Array.isArray(condition)
        ? condition
        : "not" in condition
          ? [condition.not]
          : []
  return values.filter((value) => typeof value === "string")
}

/**
 * The machines that requirements name. To all other machines they say the same, which is why a machine's id is part of
 * its workers' signature only while some class names it.
 */
export const machinesNamed = ({ exclude, labels }: Requirements): ReadonlyArray<string> =>
  distinct([...named(labels?.["machine_id"]), ...named(exclude?.["machine_id"])])

/** The facts of a class. */
export const factsOf = (options: {
  readonly service_required: string
  readonly requirements: string
  readonly customer_id: string | null
  readonly workflow_id: string | null
}): JobFacts => ({ ...options, requirements: parseRequirements(options.requirements) })

/** A text that two jobs share exactly when the matching rule reads the same of both. No name holds a space. */
export const textOf = ({ customer_id, requirements, service_required, workflow_id }: JobFacts): string =>
  [service_required, customer_id ?? "", workflow_id ?? "", requirementsText(requirements)].join(" ")
