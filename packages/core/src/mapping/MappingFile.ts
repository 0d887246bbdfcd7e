/**
 * From what a mapping file holds to a mapping: everything that is wrong with its form is found at once, each with its
 * path. What stands in the wrong form is left out of the mapping, so that the rest can be checked in the same run.
 */
import { Exit, Schema } from "effect"
import { meant } from "../DidYouMean.ts"
import { Name } from "../Identifier.ts"
import * as SchemaIssues from "../SchemaIssues.ts"
import * as Finding from "./Finding.ts"
import { ConnectorEntry, ServiceEntry, ServiceMapping, WorkerTypeEntry } from "./ServiceMapping.ts"

const sections = {
  workers: { entry: WorkerTypeEntry, fields: Object.keys(WorkerTypeEntry.fields) },
  connectors: { entry: ConnectorEntry, fields: Object.keys(ConnectorEntry.fields) },
  services: { entry: ServiceEntry, fields: Object.keys(ServiceEntry.fields) }
} as const

const sectionNames = Object.keys(ServiceMapping.fields) as ReadonlyArray<keyof typeof sections>

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** What a schema says against a value, in the words of the file. */
const issuesOf = (
  schema: Schema.Codec<unknown>,
  value: unknown,
  at: ReadonlyArray<PropertyKey>,
  fields: ReadonlyArray<string>
): ReadonlyArray<Finding.Finding> => {
  const exit = Schema.decodeUnknownExit(schema, { errors: "all", onExcessProperty: "error" })(value)
  if (Exit.isSuccess(exit)) return []
  const [failure] = exit.cause.reasons
  if (failure?._tag !== "Fail") return [Finding.error(at, "cannot be read")]
  return SchemaIssues.all(failure.error.issue).map(({ message, path }) => {
    const isUnknown = message === SchemaIssues.unknownField && path.length === 1
    return Finding.error([...at, ...path], isUnknown ? message + meant(String(path[0]), fields) : message)
  })
}

export interface ReadMapping {
  /** What could be read; entries in the wrong form are missing. Null when the file as a whole is no mapping. */
  readonly mapping: ServiceMapping | null
  /** The services that are named, those in the wrong form too: nobody need be told that they are missing. */
  readonly services: ReadonlySet<string>
  readonly findings: ReadonlyArray<Finding.Finding>
}

/** Nothing of the file can be used, for this reason. */
export const unreadable = (message: string): ReadMapping => ({
  mapping: null,
  services: new Set(),
  findings: [Finding.error([], message)]
})

/** The mapping in a parsed document. */
export const decode = (document: unknown): ReadMapping => {
  if (!isRecord(document)) return unreadable("the mapping must be an object with workers and services")
  const findings: Array<Finding.Finding> = []
  for (const key of Object.keys(document)) {
    if (!Object.hasOwn(sections, key)) {
      findings.push(Finding.error([key], `unknown section${meant(key, sectionNames)}`))
    }
  }
  const read = (section: keyof typeof sections): Record<string, unknown> => {
    const value = document[section]
    const { entry, fields } = sections[section]
    if (value === undefined) {
      if (section !== "connectors") findings.push(Finding.error([section], "missing"))
      return {}
    }
    if (!isRecord(value)) {
      findings.push(Finding.error([section], "must be an object, one member for each name"))
      return {}
    }
    const good: Array<[string, unknown]> = []
    for (const [name, member] of Object.entries(value)) {
      const named = issuesOf(Name, name, [], [])
      const wrong = [
        ...named.map(({ message }) => Finding.error([section, name], `the name: ${message}`)),
        ...issuesOf(entry as Schema.Codec<unknown>, member, [section, name], fields)
      ]
      findings.push(...wrong)
      if (wrong.length === 0) good.push([name, member])
    }
    return Object.fromEntries(good)
  }
  const mapping = {
    workers: read("workers"),
    connectors: read("connectors"),
    services: read("services")
  } as ServiceMapping
  const { services = {} } = document
  return { mapping, services: new Set(isRecord(services) ? Object.keys(services) : []), findings }
}
