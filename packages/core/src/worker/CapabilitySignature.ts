/**
 * Capability signatures: all workers with equal capabilities share one, and a store settles the outcome of matching
 * once for all of them.
 *
 * The id of a machine tells otherwise equal workers apart, and hardly any job asks for it: so it is kept beside the
 * signature, and becomes part of it only while some requirement class names that machine. A requirement that names
 * others says the same of this machine as of none.
 */
import { canonical } from "../Json.ts"
import { type Capabilities, inWholeNumbers } from "./Worker.ts"

const machineLabel = "machine_id"

const sorted = <Value extends string | number | boolean>(values: ReadonlyArray<Value>): ReadonlyArray<Value> =>
  [...new Set(values)].toSorted((a, b) => (`${typeof a} ${a}` < `${typeof b} ${b}` ? -1 : 1))

/** Capabilities in the one form that equal ones share. */
export const normalCapabilities = (capabilities: Capabilities): Capabilities => {
  const { customers, hardware, job_types, labels, models, workflow_id } = capabilities
  const { allow = [], deny = [], isolation } = customers ?? {}
  const whole = inWholeNumbers(hardware ?? {})
  const labelled = Object.entries(labels ?? {}).map(([name, value]) => [
    name,
    Array.isArray(value) ? sorted(value as ReadonlyArray<string | number | boolean>) : value
  ])
  const restricts = {
    ...(isolation === "strict" ? { isolation } : {}),
    ...(allow.length === 0 ? {} : { allow: sorted(allow) }),
    ...(deny.length === 0 ? {} : { deny: sorted(deny) })
  }
  return {
    job_types: sorted(job_types),
    ...(Object.keys(whole).length === 0 ? {} : { hardware: whole }),
    ...(models === undefined || models.length === 0 ? {} : { models: sorted(models) }),
    ...(labelled.length === 0 ? {} : { labels: Object.fromEntries(labelled) }),
    ...(Object.keys(restricts).length === 0 ? {} : { customers: restricts }),
    ...(workflow_id === undefined ? {} : { workflow_id })
  }
}

export interface Signature {
  /** The canonical text of the capabilities, without the machine. */
  readonly text: string
  /** The machine the worker says it is on; empty when it says none, or more than one. */
  readonly machine: string
}

/** The signature of these capabilities. */
export const signatureOf = (capabilities: Capabilities): Signature => {
  const { [machineLabel]: machine, ...others } = capabilities.labels ?? {}
  return typeof machine === "string" && machine !== ""
    ? { text: canonical(normalCapabilities({ ...capabilities, labels: others })), machine }
    : { text: canonical(normalCapabilities(capabilities)), machine: "" }
}

/** The capabilities of a signature that is told apart by its machine. */
export const onMachine = (capabilities: Capabilities, machine: string): Capabilities =>
  machine === "" ? capabilities : { ...capabilities, labels: { ...capabilities.labels, [machineLabel]: machine } }

/** The customers and workflows that these capabilities name. */
export const namesIn = ({ customers, workflow_id }: Capabilities) => ({
  customers: [...new Set([...(customers?.allow ?? []), ...(customers?.deny ?? [])])],
  workflows: workflow_id === undefined ? [] : [workflow_id]
})
