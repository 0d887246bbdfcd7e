/**
 * Where a job type leads: worker type → service → connector. The two phases of document 000: what a worker accepts
 * (that is what matching sees, never a service's name), and which of its services runs it.
 */
import type { ServiceEntry, ServiceMapping } from "./ServiceMapping.ts"

/** One job type of a worker type. */
export interface Route {
  readonly job_type: string
  /** Null when nothing says which service runs it. */
  readonly service: string | null
  /** Where in the file it stands. */
  readonly path: ReadonlyArray<PropertyKey>
}

const own = <Value>(record: Readonly<Record<string, Value>> | undefined, name: string): Value | undefined =>
  record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined

export const serviceOf = (mapping: ServiceMapping, name: string): ServiceEntry | undefined =>
  own(mapping.services, name)

/** Which of these services takes a job type by its own older list; the only one there is takes what none names. */
const taking = (mapping: ServiceMapping, services: ReadonlyArray<string>, job_type: string): string | null => {
  const named = services.find((name) => serviceOf(mapping, name)?.job_types_accepted?.includes(job_type))
  return named ?? (services.length === 1 ? (services[0] ?? null) : null)
}

/**
 * The job types a worker type accepts, in the order of the file. The older shapes of document 001: the worker's own list
 * decides, and without one the union over its services.
 */
export const routesOf = (mapping: ServiceMapping, worker: string): ReadonlyArray<Route> => {
  const entry = own(mapping.workers, worker)
  if (entry === undefined) return []
  const { job_service_required_map, job_types_accepted, services } = entry
  const at = ["workers", worker] as const
  if (job_service_required_map !== undefined) {
    return job_service_required_map.map(({ job_service_required, worker_service }, index) => ({
      job_type: job_service_required,
      service: worker_service,
      path: [...at, "job_service_required_map", index]
    }))
  }
  if (job_types_accepted !== undefined) {
    return job_types_accepted.map((accepted, index) => {
      const path = [...at, "job_types_accepted", index]
      return typeof accepted === "string"
        ? { job_type: accepted, service: taking(mapping, services, accepted), path }
        : { job_type: accepted.job_type, service: accepted.service, path }
    })
  }
  return services.flatMap((service) =>
    (serviceOf(mapping, service)?.job_types_accepted ?? []).map((job_type, index) => ({
      job_type,
      service,
      path: ["services", service, "job_types_accepted", index]
    }))
  )
}

/** The services a worker type runs jobs with. */
export const servicesUsed = (mapping: ServiceMapping, worker: string): ReadonlySet<string> =>
  new Set(routesOf(mapping, worker).flatMap(({ service }) => (service === null ? [] : [service])))
