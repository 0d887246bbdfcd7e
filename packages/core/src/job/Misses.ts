/** What a worker misses for a job, in words, and the names that may have been meant instead. */
import { didYouMean } from "../DidYouMean.ts"
import type { WorkerGroup } from "../worker/WorkerGroup.ts"
import type { JobFacts, UnmetClause } from "./Matching.ts"
import { unhealthyClause } from "./NearMisses.ts"

export const quoted = (value: unknown): string => JSON.stringify(value)

/** Some of many, in one line. */
export const listed = (values: ReadonlyArray<string>, most = 5): string =>
  values.length <= most ? values.join(", ") : `${values.slice(0, most).join(", ")} and ${values.length - most} more`

const valuesOf = (offered: unknown): ReadonlyArray<unknown> =>
  Array.isArray(offered) ? offered : offered === null || offered === undefined ? [] : [offered]

const listedValues = (offered: unknown): string => listed(valuesOf(offered).map(quoted))

const rounded = (amount: number): string => String(Math.round(amount * 1_000) / 1_000)

const amounts: Readonly<Record<string, readonly [one: string, many: string]>> = {
  "hardware.gpu_count": ["GPU", "GPUs"],
  "hardware.gpu_memory_gb": ["GB of GPU memory", "GB of GPU memory"],
  "hardware.cpu_cores": ["CPU core", "CPU cores"],
  "hardware.ram_gb": ["GB of RAM", "GB of RAM"]
}

const operators: Readonly<Record<string, string>> = { gte: ">=", gt: ">", lte: "<=", lt: "<" }

/** What a label must be. */
const wantedOf = (condition: unknown): string => {
  if (Array.isArray(condition)) return `all of ${listedValues(condition)}`
  if (typeof condition !== "object" || condition === null) return quoted(condition)
  if ("not" in condition) return `anything but ${quoted(condition.not)}`
  return Object.entries(condition)
    .map(([bound, value]) => `${operators[bound] ?? bound} ${String(value)}`)
    .join(" and ")
}

/** What a worker misses, as the rest of a sentence about it. */
export const missOf = ({ clause, offered, required }: UnmetClause): string => {
  const amount = amounts[clause]
  if (amount !== undefined) {
    const has = typeof offered === "number" ? offered : 0
    const short = Number(required) - has
    const [one, many] = amount
    return `misses ${rounded(short)} ${short === 1 ? one : many} (it has ${rounded(has)}, the job asks for ${String(required)})`
  }
  const [kind, ...rest] = clause.split(".")
  const name = rest.join(".")
  switch (kind) {
    case unhealthyClause:
      return `accepts ${quoted(required)}, but its connector for it is unhealthy`
    case "service_required":
      return valuesOf(offered).length === 0
        ? "accepts no job type"
        : `does not accept ${quoted(required)} (it accepts ${listedValues(offered)})`
    case "models":
      return `does not hold ${valuesOf(required).length === 1 ? "model" : "models"} ${listedValues(required)}`
    case "labels":
      return offered === null
        ? `has no label ${name} (the job asks for ${wantedOf(required)})`
        : `has label ${name} ${listedValues(offered)} (the job asks for ${wantedOf(required)})`
    case "exclude":
      return `has label ${name} ${listedValues(offered)}, which the job excludes`
    case "customer_isolation":
      return "does not keep customers apart strictly"
    case "customers":
      return name === "deny"
        ? `refuses jobs of customer ${quoted(required)}`
        : `takes jobs of ${valuesOf(offered).length === 1 ? "customer" : "customers"} ${listedValues(offered)} only (${
            required === null ? "the job names no customer" : `the job is of ${quoted(required)}`
          })`
    case "workflow_id":
      return `takes jobs of workflow ${quoted(offered)} only`
    default:
      return `does not meet ${clause}`
  }
}

/** A label that holds names of a machine's inside, and what one calls them. */
const internalLabels = { worker_type: "worker type", connectors: "connector" } as const

/** The first group whose workers use this name inside: it is none of a job type. */
export const internalUse = (
  name: string,
  groups: ReadonlyArray<WorkerGroup>
): { readonly group: WorkerGroup; readonly called: string } | undefined => {
  for (const [label, called] of Object.entries(internalLabels)) {
    const group = groups.find(
      ({ capabilities }) => capabilities.job_types.length > 0 && valuesOf(capabilities.labels?.[label]).includes(name)
    )
    if (group !== undefined) return { group, called }
  }
  return undefined
}

/** Job types that may have been meant, each with a group that accepts it. */
export const typesMeant = (
  type: string,
  groups: ReadonlyArray<WorkerGroup>
): ReadonlyArray<{ readonly type: string; readonly group: WorkerGroup }> => {
  const known = new Map<string, WorkerGroup>()
  for (const group of groups) {
    for (const accepted of group.capabilities.job_types) if (!known.has(accepted)) known.set(accepted, group)
  }
  return didYouMean(type, known.keys()).flatMap((meant) => {
    const group = known.get(meant)
    return group === undefined ? [] : [{ type: meant, group }]
  })
}

const meantText = (meant: ReadonlyArray<string>): string =>
  meant.length === 0 ? "" : `; did you mean ${meant.map(quoted).join(" or ")}?`

/** Names of the requirements that no worker has at all, each with what may have been meant. */
export const namesNobodyHas = (
  { customer_id, requirements }: JobFacts,
  groups: ReadonlyArray<WorkerGroup>
): ReadonlyArray<string> => {
  const all = groups.map(({ capabilities }) => capabilities)
  const models = new Set(all.flatMap(({ models = [] }) => models))
  const labels = new Map<string, Set<unknown>>()
  for (const { labels: own = {} } of all) {
    for (const [name, value] of Object.entries(own)) {
      const values = labels.get(name) ?? new Set()
      for (const one of valuesOf(value)) values.add(one)
      labels.set(name, values)
    }
  }
  const allowed = new Set(all.flatMap(({ customers }) => customers?.allow ?? []))
  const texts = (values: Iterable<unknown>) => [...values].filter((value) => typeof value === "string")
  return [
    ...(requirements.models ?? [])
      .filter((model) => !models.has(model))
      .map((model) => `no worker holds model ${quoted(model)}${meantText(didYouMean(model, models))}`),
    ...Object.entries(requirements.labels ?? {}).flatMap(([name, condition]) => {
      if (typeof condition === "object" && !Array.isArray(condition) && "not" in condition) return []
      const values = labels.get(name)
      if (values === undefined) return [`no worker has a label ${name}${meantText(didYouMean(name, labels.keys()))}`]
      return valuesOf(condition)
        .filter((value) => typeof value === "string" && !values.has(value))
        .map(
          (value) =>
            `no worker has label ${name} ${quoted(value)}${meantText(didYouMean(String(value), texts(values)))}`
        )
    }),
    ...(customer_id === null || allowed.has(customer_id)
      ? []
      : didYouMean(customer_id, allowed)
          .slice(0, 1)
          .map((meant) => `no worker names customer ${quoted(customer_id)}${meantText([meant])}`))
  ]
}
