/**
 * The matching rule, written once. Stores never evaluate it: they keep its outcome. Source: design, section 5.
 */
import type { Capabilities } from "../worker/Worker.ts"
import type { JobRequest } from "./Job.ts"
import type { LabelCondition, Requirements } from "./Requirements.ts"

/** Everything of a job that the rule reads. */
export type JobFacts = Pick<JobRequest, "service_required" | "requirements" | "customer_id" | "workflow_id">

/**
 * A clause that does not hold, with both sides, so that a waiting job can be explained. `clause` is where it stands:
 * `hardware.gpu_memory_gb`, `labels.tier`; `customers` and `workflow_id` are the worker's own conditions.
 */
export interface UnmetClause {
  readonly clause: string
  readonly required: unknown
  readonly offered: unknown
}

type LabelValue = NonNullable<Capabilities["labels"]>[string]

const valuesOf = (offered: LabelValue | undefined): ReadonlyArray<unknown> =>
  offered === undefined ? [] : Array.isArray(offered) ? offered : [offered]

/** Whether a label condition holds for what the worker says under that label, nothing included. */
const holds = (condition: LabelCondition, offered: LabelValue | undefined): boolean => {
  const values = valuesOf(offered)
  if (typeof condition !== "object") return values.includes(condition)
  if (Array.isArray(condition)) return offered !== undefined && condition.every((value) => values.includes(value))
  if ("not" in condition) return !values.includes(condition.not)
  const {
    gt = -Infinity,
    gte = -Infinity,
    lt = Infinity,
    lte = Infinity
  } = condition as Exclude<typeof condition, { readonly not: unknown } | ReadonlyArray<unknown>>
  return values.some((value) => typeof value === "number" && value >= gte && value > gt && value <= lte && value < lt)
}

const own = <Value>(record: Readonly<Record<string, Value>> | undefined, key: string): Value | undefined =>
  record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined

/** Amounts offered count in whole numbers, rounded down, as they do in a capability signature. */
const unmetHardware = (
  required: NonNullable<Requirements["hardware"]>,
  offered: Capabilities["hardware"]
): ReadonlyArray<UnmetClause> =>
  (["gpu_count", "gpu_memory_gb", "cpu_cores", "ram_gb"] as const).flatMap((resource) => {
    const least = required[resource]
    const has = offered?.[resource]
    return least === undefined || Math.floor(has ?? 0) >= least
      ? []
      : [{ clause: `hardware.${resource}`, required: least, offered: has ?? null }]
  })

const unmetLabels = (
  clause: "labels" | "exclude",
  conditions: Readonly<Record<string, LabelCondition>>,
  labels: Capabilities["labels"]
): ReadonlyArray<UnmetClause> =>
  Object.entries(conditions).flatMap(([name, condition]) => {
    const offered = own(labels, name)
    return holds(condition, offered) === (clause === "labels")
      ? []
      : [{ clause: `${clause}.${name}`, required: condition, offered: offered ?? null }]
  })

/** The worker's own conditions on whose jobs it takes. */
const unmetByWorker = (
  { customer_id, workflow_id }: Pick<JobFacts, "customer_id" | "workflow_id">,
  { customers, workflow_id: pinned }: Pick<Capabilities, "customers" | "workflow_id">
): ReadonlyArray<UnmetClause> => {
  const { allow = [], deny = [] } = customers ?? {}
  const denied = customer_id !== null && deny.includes(customer_id)
  const left = allow.length > 0 && (customer_id === null || !allow.includes(customer_id))
  return [
    ...(denied ? [{ clause: "customers.deny", required: customer_id, offered: deny }] : []),
    ...(left ? [{ clause: "customers.allow", required: customer_id, offered: allow }] : []),
    ...(pinned !== undefined && pinned !== workflow_id
      ? [{ clause: "workflow_id", required: workflow_id, offered: pinned }]
      : [])
  ]
}

/** The clauses of `job` that a worker with these capabilities does not meet; empty means it may run the job. */
export const unmetClauses = (job: JobFacts, capabilities: Capabilities): ReadonlyArray<UnmetClause> => {
  const { customer_isolation, exclude = {}, hardware = {}, labels = {}, models = [] } = job.requirements
  const missing = models.filter((model) => capabilities.models?.includes(model) !== true)
  const isolation = capabilities.customers?.isolation ?? null
  return [
    ...(capabilities.job_types.includes(job.service_required)
      ? []
      : [{ clause: "service_required", required: job.service_required, offered: capabilities.job_types }]),
    ...unmetHardware(hardware, capabilities.hardware),
    ...(missing.length === 0 ? [] : [{ clause: "models", required: missing, offered: capabilities.models ?? [] }]),
    ...unmetLabels("labels", labels, capabilities.labels),
    ...unmetLabels("exclude", exclude, capabilities.labels),
    ...(customer_isolation === "strict" && isolation !== "strict"
      ? [{ clause: "customer_isolation", required: "strict", offered: isolation }]
      : []),
    ...unmetByWorker(job, capabilities)
  ]
}

/** Whether nothing is unmet. */
export const matches = (job: JobFacts, capabilities: Capabilities): boolean =>
  capabilities.job_types.includes(job.service_required) && unmetClauses(job, capabilities).length === 0
