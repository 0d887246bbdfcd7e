/** The service mapping of this process: the file the operator names, or the one that comes along, checked whole. */
import { connectorOf, connectors } from "@muster/connectors/Registry"
import type { Connector } from "@muster/core/connector/Connector"
import type { Finding } from "@muster/core/mapping/Finding"
import type { KnownMapping } from "@muster/core/mapping/KnownMapping"
import * as Findings from "@muster/core/mapping/Finding"
import * as MappingCheck from "@muster/core/mapping/MappingCheck"
import * as MappingVariables from "@muster/core/mapping/MappingVariables"
import { serviceOf, servicesUsed } from "@muster/core/mapping/Routing"
import type { ServiceMapping } from "@muster/core/mapping/ServiceMapping"
import { Effect, Schema } from "effect"
import { access, readFile } from "node:fs/promises"
import * as MappingText from "./MappingText.ts"
import * as OwnConnector from "./OwnConnector.ts"

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

/** Modules that are not here. Only a worker that runs them needs them, and its start fails then. */
const absentModules = (file: string, mapping: ServiceMapping | null): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.map(
    Effect.forEach(Object.entries(mapping?.connectors ?? {}), ([name, { path }]) => {
      if (path === undefined || builtIn.has(name)) return Effect.succeed([])
      const at = OwnConnector.locate(file, path)
      return Effect.promise(() =>
        access(at).then(
          () => [],
          () => [Findings.warning(["connectors", name, "path"], `there is no file ${at}`)]
        )
      )
    }),
    (found) => found.flat()
  )

/** Reads a mapping and says everything that is wrong with it. */
export const check = Effect.fn("MappingSource.check")(function* (
  file: string
): Effect.fn.Return<CheckedMapping, MappingUnusable> {
  const text = yield* Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: (error) => new MappingUnusable({ file, problems: [`${file}: ${reasonOf(error)}`] })
  })
  const read = MappingText.parse(text)
  const absent = yield* absentModules(file, read.mapping)
  return { file, mapping: read.mapping, findings: [...MappingCheck.check(read, builtIn), ...absent] }
})

/** The names of all connectors that a mapping can name. */
export const connectorNames = ({ connectors = {} }: ServiceMapping): ReadonlySet<string> =>
  new Set([...builtIn, ...Object.keys(connectors).filter((name) => connectors[name]?.path !== undefined)])

/** A mapping without errors, and the connectors it can name. */
export interface LoadedMapping extends KnownMapping {
  /** Those that come along, and the operator's own as far as this process needs them. */
  readonly connectorOf: (name: string) => Connector | undefined
}

/** Imports the operator's own connectors that these worker types lead to. */
const importOwn = Effect.fnUntraced(function* (
  file: string,
  mapping: ServiceMapping,
  workerTypes: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyMap<string, Connector>, MappingUnusable> {
  const used = new Set(
    workerTypes.flatMap((type) =>
      [...servicesUsed(mapping, type)].flatMap((service) => serviceOf(mapping, service)?.connector ?? [])
    )
  )
  const own = [...used].flatMap((name) => {
    const path = builtIn.has(name) ? undefined : mapping.connectors?.[name]?.path
    return path === undefined ? [] : [{ name, path }]
  })
  const [found, failed] = yield* Effect.partition(own, ({ name, path }) =>
    Effect.map(OwnConnector.load(file, name, path), (connector) => [name, connector] as const)
  )
  if (failed.length > 0) return yield* new MappingUnusable({ file, problems: failed.map(({ message }) => message) })
  return new Map(found)
})

/**
 * The mapping for worker types that this process runs: warnings are logged; errors, variables that are missing, and
 * connectors that cannot be imported fail with all of them.
 */
export const load = Effect.fn("MappingSource.load")(function* (
  file: string,
  workerTypes: ReadonlyArray<string>,
  environment: Readonly<Record<string, string | undefined>>
): Effect.fn.Return<LoadedMapping, MappingUnusable> {
  const { findings, mapping } = yield* check(file)
  const errors = findings.filter(({ severity }) => severity === "error")
  if (mapping === null || errors.length > 0) {
    return yield* new MappingUnusable({ file, problems: errors.map((found) => `${file}: ${Findings.sentence(found)}`) })
  }
  for (const found of findings) yield* Effect.logWarning(`${file}: ${Findings.sentence(found)}`)
  const own = yield* importOwn(file, mapping, workerTypes)
  const loaded = { file, mapping, findings, connectorOf: (name: string) => connectorOf(name) ?? own.get(name) }
  const variablesOf = (name: string) => loaded.connectorOf(name)?.variables
  const missing = workerTypes.flatMap((type) => MappingVariables.missing(mapping, type, variablesOf, environment))
  if (missing.length > 0) {
    const problems = [...new Set(missing.map((found) => `${found.message} (${file}: ${found.path})`))]
    return yield* new MappingUnusable({ file, problems })
  }
  return loaded
})
