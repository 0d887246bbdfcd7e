/**
 * Whether the parts of a mapping fit together: every problem at once, so that a wrong one is repaired in one go and
 * before any job waits for it. Sources: design, section 7; document 001 for what goes wrong.
 */
import { meant, unlikeness } from "../DidYouMean.ts"
import { pathText } from "../SchemaIssues.ts"
import * as Finding from "./Finding.ts"
import * as MappingFile from "./MappingFile.ts"
import { type Route, routesOf, serviceOf } from "./Routing.ts"
import { buildStages, type ServiceMapping } from "./ServiceMapping.ts"
import { expand, isMalformed } from "./Template.ts"
import { Result } from "effect"

type Findings = ReadonlyArray<Finding.Finding>

/** What is alike but for how it is written, or for a slip. */
const alike = 0.2

interface Known {
  readonly mapping: ServiceMapping
  /** Services that are named at all, in whatever form. */
  readonly services: ReadonlySet<string>
  /** Connectors that come with the product. */
  readonly builtIn: ReadonlySet<string>
}

const danglingServices = ({ mapping, services }: Known, worker: string, routes: ReadonlyArray<Route>): Findings => {
  const listed = mapping.workers[worker]?.services ?? []
  const dangling = listed.flatMap((service, index) =>
    services.has(service)
      ? []
      : [
          Finding.error(
            ["workers", worker, "services", index],
            `there is no service ${service}${meant(service, services)}`
          )
        ]
  )
  const routed = routes.flatMap(({ job_type, path, service }) => {
    if (service === null) {
      return [Finding.error(path, `nothing says which of the services ${listed.join(", ")} runs ${job_type}`)]
    }
    if (!services.has(service))
      return [Finding.error(path, `there is no service ${service}${meant(service, services)}`)]
    if (listed.includes(service)) return []
    return [Finding.error(path, `${service} is not among the services of ${worker}${meant(service, listed)}`)]
  })
  return [...dangling, ...routed]
}

const mappedTwice = (worker: string, routes: ReadonlyArray<Route>): Findings => {
  const first = new Map<string, Route>()
  return routes.flatMap((route) => {
    const before = first.get(route.job_type)
    if (before === undefined) {
      first.set(route.job_type, route)
      return []
    }
    return [
      Finding.error(
        route.path,
        `${route.job_type} is mapped twice within ${worker}, the first time at ${pathText(before.path)}`
      )
    ]
  })
}

/**
 * The trap of document 001: the name of a service stands where a job type belongs, and jobs ask for another name. It is
 * one when the service's own list says so, or when another worker type reaches the same service by a name so alike
 * that one of the two is a slip.
 */
const serviceNamesAsTypes = ({ mapping }: Known, worker: string, routes: ReadonlyArray<Route>): Findings => {
  const services = mapping.workers[worker]?.services ?? []
  return routes.flatMap(({ job_type, path, service }) => {
    if (service === null || job_type !== service || !services.includes(service)) return []
    const accepted = serviceOf(mapping, service)?.job_types_accepted ?? []
    const elsewhere = Object.keys(mapping.workers)
      .filter((other) => other !== worker)
      .flatMap((other) => routesOf(mapping, other).filter((route) => route.service === service))
      .map((route) => route.job_type)
    const asked = accepted.length > 0 && !accepted.includes(job_type) ? accepted : elsewhere
    const right = asked.find((type) => type !== job_type && (asked === accepted || unlikeness(type, job_type) <= alike))
    return right === undefined || asked.includes(job_type)
      ? []
      : [
          Finding.error(
            path,
            `${job_type} is the name of a service, and jobs ask for ${right}: a job type belongs here, or they wait for ever`
          )
        ]
  })
}

const nothingAccepted = ({ mapping }: Known, worker: string, routes: ReadonlyArray<Route>): Findings => {
  if (routes.length > 0) return []
  const listed = mapping.workers[worker]?.services ?? []
  const names = listed.length === 0 ? "" : ` (the names of its services, ${listed.join(", ")}, are none)`
  return [Finding.error(["workers", worker], `accepts no job type${names}: say which in job_service_required_map`)]
}

const checkWorker = (known: Known, worker: string): Findings => {
  const routes = routesOf(known.mapping, worker)
  const entry = known.mapping.workers[worker]
  const older = entry?.job_service_required_map === undefined && routes.length > 0
  const both = entry?.job_service_required_map !== undefined && entry.job_types_accepted !== undefined
  return [
    ...nothingAccepted(known, worker, routes),
    ...danglingServices(known, worker, routes),
    ...mappedTwice(worker, routes),
    ...serviceNamesAsTypes(known, worker, routes),
    ...(older
      ? [Finding.warning(["workers", worker], "an older shape: write its job types as job_service_required_map")]
      : []),
    ...(both
      ? [Finding.warning(["workers", worker, "job_types_accepted"], "not read: job_service_required_map decides")]
      : [])
  ]
}

/** The older list of a service says what it can do; workers say what they accept, and only that is matched. */
const unreachedTypes = ({ mapping }: Known, service: string): Findings => {
  const accepted = serviceOf(mapping, service)?.job_types_accepted
  if (accepted === undefined) return []
  const users = Object.keys(mapping.workers).filter((worker) => mapping.workers[worker]?.services.includes(service))
  const taken = new Set(
    users.flatMap((worker) =>
      routesOf(mapping, worker).flatMap((route) => (route.service === service ? [route.job_type] : []))
    )
  )
  const at = ["services", service, "job_types_accepted"]
  const none = users.length > 0 && accepted.length > 0 && !accepted.some((type) => taken.has(type))
  const unreached = accepted.flatMap((type, index) => {
    if (taken.has(type) || users.length === 0) return []
    const words =
      `no worker type that has ${service} accepts ${type}` +
      (taken.size === 0 ? "" : `: ${users.join(", ")} accepts ${[...taken].join(", ")}${meant(type, taken)}`) +
      "; a job that asks for it waits for ever"
    return [none ? Finding.error([...at, index], words) : Finding.warning([...at, index], words)]
  })
  return [
    ...unreached,
    Finding.warning(at, "an older shape: the job types of workers decide, in job_service_required_map")
  ]
}

const checkConnector = ({ builtIn, mapping }: Known, service: string): Findings => {
  const { connector } = mapping.services[service] ?? {}
  const listed = mapping.connectors ?? {}
  if (connector === undefined || builtIn.has(connector)) return []
  const at = ["services", service, "connector"]
  const entry = Object.hasOwn(listed, connector) ? listed[connector] : undefined
  if (entry === undefined) {
    return [
      Finding.error(at, `there is no connector ${connector}${meant(connector, [...Object.keys(listed), ...builtIn])}`)
    ]
  }
  return entry.path === undefined
    ? [Finding.error(["connectors", connector], "is not built in, so it needs the path of its module")]
    : []
}

/** The ports of a service as numbers, where their templates have defaults; null for what is none. */
const portsOf = (mapping: ServiceMapping, service: string): ReadonlyArray<number | null | undefined> =>
  (mapping.services[service]?.ports ?? []).map((port) => {
    const filled = typeof port === "number" ? Result.succeed(String(port)) : expand(port, {})
    if (Result.isFailure(filled)) return undefined
    const number = /^\d{1,5}$/.test(filled.success) ? Number(filled.success) : 0
    return number >= 1 && number <= 65_535 ? number : null
  })

const checkPorts = ({ mapping }: Known): Findings => {
  const first = new Map<number, string>()
  return Object.keys(mapping.services).flatMap((service) =>
    portsOf(mapping, service).flatMap((port, index) => {
      const path = ["services", service, "ports", index]
      if (port === undefined) return []
      if (port === null) {
        const written = JSON.stringify(mapping.services[service]?.ports?.[index])
        return [Finding.error(path, `${written} is no port: a whole number from 1 to 65535`)]
      }
      const before = first.get(port)
      first.set(port, before ?? pathText(path))
      return before === undefined ? [] : [Finding.error(path, `port ${port} is taken by ${before}`)]
    })
  )
}

const checkService = (known: Known, service: string): Findings => {
  const { build_stage, type } = known.mapping.services[service] ?? {}
  const used = Object.values(known.mapping.workers).some(({ services }) => services.includes(service))
  const stages: ReadonlyArray<string> = buildStages
  return [
    ...checkConnector(known, service),
    ...(build_stage === undefined || stages.includes(build_stage)
      ? []
      : [
          Finding.error(
            ["services", service, "build_stage"],
            `there is no build stage ${build_stage}${meant(build_stage, stages)}; known: ${stages.join(", ")}`
          )
        ]),
    ...unreachedTypes(known, service),
    ...(type === undefined ? [Finding.warning(["services", service], "says no type: internal, or external")] : []),
    ...(used ? [] : [Finding.warning(["services", service], "no worker type uses it")])
  ]
}

/** Connectors that come along load whatever their path says: the documents' own files do not exist here. */
const checkPaths = ({ builtIn, mapping }: Known): Findings =>
  Object.entries(mapping.connectors ?? {}).flatMap(([name, { path }]) =>
    path === undefined || !builtIn.has(name)
      ? []
      : [Finding.warning(["connectors", name, "path"], `not read: ${name} is built in`)]
  )

/** Variables that would go on as they are written. None stands inside another, so that they cannot go round in a circle. */
const checkVariables = (value: unknown, at: ReadonlyArray<PropertyKey> = []): Findings => {
  if (typeof value === "string") {
    return isMalformed(value)
      ? [Finding.error(at, "a variable is ${NAME} or ${NAME:-default}, with no other one inside it")]
      : []
  }
  return typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, inner]) =>
        checkVariables(inner, [...at, Array.isArray(value) ? Number(key) : key])
      )
    : []
}

/** Everything that is wrong with a mapping that was read. `builtIn` names the connectors that come along. */
export const check = (read: MappingFile.ReadMapping, builtIn: ReadonlySet<string>): Findings => {
  const { findings, mapping, services } = read
  if (mapping === null) return findings
  const known: Known = { mapping, services, builtIn }
  return [
    ...findings,
    ...Object.keys(mapping.workers).flatMap((worker) => checkWorker(known, worker)),
    ...checkPaths(known),
    ...Object.keys(mapping.services).flatMap((service) => checkService(known, service)),
    ...checkPorts(known),
    ...checkVariables(mapping)
  ]
}
