/** The mapping of this process, as it was read: for whoever tells others where a job type leads. */
import { Context } from "effect"
import type { Finding } from "./Finding.ts"
import type { ServiceMapping } from "./ServiceMapping.ts"

export interface KnownMapping {
  /** Where it was read from. */
  readonly file: string
  readonly mapping: ServiceMapping
  /** What is wrong with it and stops nothing. */
  readonly findings: ReadonlyArray<Finding>
}

/** Null: this process has none, as a server that was put together from the library. */
export const KnownMapping = Context.Reference<KnownMapping | null>("@muster/core/mapping/KnownMapping", {
  defaultValue: () => null
})
