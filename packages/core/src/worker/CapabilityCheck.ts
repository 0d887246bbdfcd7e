/** What capabilities must not say although each part of them could stand alone: what is meant would be a guess. */
import { Effect } from "effect"
import type { Capabilities } from "./Worker.ts"
import { InvalidConfiguration } from "./WorkerErrors.ts"

const firstTwice = <Value>(values: ReadonlyArray<Value>): Value | undefined => {
  const seen = new Set<Value>()
  return values.find((value) => seen.size === seen.add(value).size)
}

/** Fails with the first thing that is wrong, and where it stands. */
export const check = ({
  customers = {},
  job_types,
  labels = {},
  models = []
}: Capabilities): Effect.Effect<void, InvalidConfiguration> => {
  const lists: ReadonlyArray<readonly [path: string, values: ReadonlyArray<string | number | boolean>]> = [
    ["job_types", job_types],
    ["models", models],
    ...Object.entries(labels).map(([name, value]) => [`labels.${name}`, [value].flat()] as const),
    ["customers.allow", customers.allow ?? []],
    ["customers.deny", customers.deny ?? []]
  ]
  for (const [path, values] of lists) {
    const twice = firstTwice(values)
    if (twice !== undefined) return invalid(path, `${twice} is named twice`)
  }
  const denied = new Set(customers.deny)
  const both = customers.allow?.find((customer) => denied.has(customer))
  return both === undefined ? Effect.void : invalid("customers", `${both} is both allowed and denied`)
}

const invalid = (path: string, detail: string) =>
  Effect.fail(new InvalidConfiguration({ path: `capabilities.${path}`, detail }))
