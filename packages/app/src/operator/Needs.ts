/**
 * What a job needs of its worker, from the flags of `muster job submit`: the comfortable ones and `--requirements`, put
 * together. The contract checks the outcome; this knows which flag said what.
 */
import type { LabelCondition } from "@muster/core/job/Requirements"
import { Effect, Result } from "effect"
import * as Configuration from "../Configuration.ts"
import * as LabelText from "./LabelText.ts"

/** The flags; what is undefined was not given. */
export interface Flags {
  /** Requirements in JSON, decoded. */
  readonly requirements?: unknown
  readonly gpuMemory?: number | undefined
  readonly gpus?: number | undefined
  readonly cpuCores?: number | undefined
  readonly ram?: number | undefined
  readonly models?: ReadonlyArray<string> | undefined
  readonly labels?: ReadonlyArray<string> | undefined
  readonly exclude?: ReadonlyArray<string> | undefined
  readonly isolation?: string | undefined
}

export interface Needs {
  /** Undefined when no flag says anything. */
  readonly requirements: unknown
  /** The flag that said what stands at a path within the requirements. */
  readonly flagOf: (path: ReadonlyArray<string>) => string
}

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const amounts = [
  ["--gpus", "gpus", "gpu_count"],
  ["--gpu-memory", "gpuMemory", "gpu_memory_gb"],
  ["--cpu-cores", "cpuCores", "cpu_cores"],
  ["--ram", "ram", "ram_gb"]
] as const

/** The conditions of one repeatable flag; bounds of one range may come one by one. */
const conditionsOf = (flag: string, texts: ReadonlyArray<string>, problems: Array<string>) => {
  const conditions = new Map<string, LabelCondition>()
  for (const text of texts) {
    const parsed = LabelText.parse(text)
    if (Result.isFailure(parsed)) {
      problems.push(`${flag} ${parsed.failure}`)
      continue
    }
    const { condition, name } = parsed.success
    const before = conditions.get(name)
    if (before === undefined) conditions.set(name, condition)
    else if (
      LabelText.isRange(before) &&
      LabelText.isRange(condition) &&
      Object.keys(condition).every((bound) => !(bound in before))
    ) {
      conditions.set(name, { ...before, ...condition })
    } else problems.push(`${flag} ${name}: given twice; ${name}=a,b asks for both`)
  }
  return conditions
}

/** One thing that a flag says: where it belongs, and which flag it was. */
interface Said {
  readonly flag: string
  readonly clause: string
  /** The key within the clause; undefined where the clause has none. */
  readonly key?: string
  readonly value: unknown
}

const collect = (flags: Flags, problems: Array<string>): ReadonlyArray<Said> => {
  const conditions = (flag: string, clause: string, texts: ReadonlyArray<string> = []) =>
    [...conditionsOf(flag, texts, problems)].map(([key, value]) => ({ flag: `${flag} ${key}`, clause, key, value }))
  return [
    ...amounts.flatMap(([flag, name, key]) =>
      flags[name] === undefined ? [] : [{ flag, clause: "hardware", key, value: flags[name] }]
    ),
    ...(flags.models === undefined ? [] : [{ flag: "--model", clause: "models", value: flags.models }]),
    ...conditions("--label", "labels", flags.labels),
    ...conditions("--exclude", "exclude", flags.exclude),
    ...(flags.isolation === undefined
      ? []
      : [{ flag: "--isolation", clause: "customer_isolation", value: flags.isolation }])
  ]
}

const own = (record: Json, key: string): unknown => (Object.hasOwn(record, key) ? record[key] : undefined)

/** Adds what one flag says to the requirements; gives the path that says otherwise already, if one does. */
const add = (requirements: Record<string, unknown>, { clause, key, value }: Said): string | undefined => {
  const before = own(requirements, clause)
  if (before === undefined) requirements[clause] = key === undefined ? value : { [key]: value }
  else if (Array.isArray(before) && Array.isArray(value)) requirements[clause] = [...before, ...value]
  else if (key === undefined || !isObject(before)) return clause
  else if (Object.hasOwn(before, key)) return `${clause}.${key}`
  else requirements[clause] = { ...before, [key]: value }
  return undefined
}

/** Puts the flags together. What two of them say differently is wrong use; all of it is told at once. */
export const fromFlags = Effect.fn("Needs.fromFlags")(function* (flags: Flags) {
  const problems: Array<string> = []
  const said = collect(flags, problems)
  const flagOf: Needs["flagOf"] = (path) => {
    const [clause, key] = path
    const one = said.find((it) => it.clause === clause && (it.key === undefined || it.key === key))
    return one?.flag ?? ["--requirements", ...path].join(".")
  }
  let requirements = flags.requirements
  if (said.length > 0) {
    if (requirements !== undefined && !isObject(requirements)) problems.push("--requirements: expected an object")
    const together: Record<string, unknown> = isObject(requirements) ? { ...requirements } : {}
    for (const one of said) {
      const taken = add(together, one)
      if (taken !== undefined) problems.push(`${one.flag}: --requirements says ${taken} already`)
    }
    requirements = together
  }
  if (problems.length > 0) return yield* new Configuration.WrongUse({ problems })
  return { requirements, flagOf } satisfies Needs
})
