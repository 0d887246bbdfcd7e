/** The service mapping of this process: the file the operator names, or the one that comes along, checked whole. */
import { connectorOf, connectors } from "@muster/connectors/Registry"
import type { Finding } from "@muster/core/mapping/Finding"
import * as Findings from "@muster/core/mapping/Finding"
import * as MappingCheck from "@muster/core/mapping/MappingCheck"
import * as MappingFile from "@muster/core/mapping/MappingFile"
import * as MappingVariables from "@muster/core/mapping/MappingVariables"
import type { ServiceMapping } from "@muster/core/mapping/ServiceMapping"
import { Effect, Schema } from "effect"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"

/** The mapping that comes along, in which every connector is reached by some job type. */
export const shipped = fileURLToPath(new URL("../../../service-mapping.json", import.meta.url))

/** The names of the connectors that come along. */
export const builtIn: ReadonlySet<string> = new Set(
  connectors.flatMap(({ aliases, connector }) => [connector.name, ...aliases])
)

/** A mapping cannot be used; each problem says where it stands. */
export class MappingUnusable extends Schema.TaggedError<MappingUnusable>("@muster/impl/MappingSource/MappingUnusable")(
  "MappingUnusable",
  { file: Schema.String, problems: Schema.Array(Schema.String) }
) {
  override get message() {
    return this.problems.join("\n")
  }
}

export interface CheckedMapping {
  readonly file: string
  readonly mapping: ServiceMapping | null
  readonly findings: ReadonlyArray<Finding>
}

const reasonOf = (error: unknown): string => {
  const code = error instanceof Error && "code" in error ? error.code : undefined
  if (code === "ENOENT") return "there is no such file"
  if (code === "EISDIR") return "it is a folder"
  return code === "EACCES" ? "it may not be read" : "it cannot be read"
}

/** Reads a mapping and says everything that is wrong with it. */
export const check = Effect.fn("MappingSource.check")(function* (
  file: string
): Effect.fn.Return<CheckedMapping, MappingUnusable> {
  const text = yield* Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (error) => new MappingUnusable({ file, problems: [`${file}: ${reasonOf(error)}`] })
  })
  const read = MappingFile.parse(text)
  return { file, mapping: read.mapping, findings: MappingCheck.check(read, builtIn) }
})

/**
 * The mapping for worker types that this process runs: warnings are logged; errors, and variables that are missing, fail
 * with all of them.
 */
export const load = Effect.fn("MappingSource.load")(function* (
  file: string,
  workerTypes: ReadonlyArray<string>,
  environment: Readonly<Record<string, string | undefined>>
): Effect.fn.Return<ServiceMapping, MappingUnusable> {
  const { findings, mapping } = yield* check(file)
  const errors = findings.filter(({ severity }) => severity === "error")
  if (mapping === null || errors.length > 0) {
    return yield* new MappingUnusable({ file, problems: errors.map((found) => `${file}: ${Findings.sentence(found)}`) })
  }
  for (const found of findings) yield* Effect.logWarning(`${file}: ${Findings.sentence(found)}`)
  const variablesOf = (name: string) => connectorOf(name)?.variables
  const missing = workerTypes.flatMap((type) => MappingVariables.missing(mapping, type, variablesOf, environment))
  if (missing.length > 0) {
    const problems = [...new Set(missing.map((found) => `${found.message} (${file}: ${found.path})`))]
    return yield* new MappingUnusable({ file, problems })
  }
  return mapping
})
