/**
 * Walks a job type through the layers of a mapping: who accepts it, which service runs it there, by which connector;
 * and where it breaks.
 */
import { Schema } from "effect"
import { didYouMean } from "../DidYouMean.ts"
import { pathText } from "../SchemaIssues.ts"
import { routesOf, serviceOf } from "./Routing.ts"
import type { ServiceMapping } from "./ServiceMapping.ts"

/** One way through: a worker type, and how far one gets from there. */
export const RouteSteps = Schema.Struct({
  worker: Schema.String,
  /** Where the file says that it accepts the job type. */
  path: Schema.String,
  service: Schema.NullOr(Schema.String),
  connector: Schema.NullOr(Schema.String),
  /** What is wrong on the way; null when it leads to a connector. */
  broken: Schema.NullOr(Schema.String)
})
export type RouteSteps = typeof RouteSteps.Type

export const RouteExplanation = Schema.Struct({
  job_type: Schema.String,
  routes: Schema.Array(RouteSteps),
  /** Sentences on what to do when no route leads anywhere. */
  hints: Schema.Array(Schema.String)
})
export type RouteExplanation = typeof RouteExplanation.Type

const quoted = (names: ReadonlyArray<string>): string => names.map((name) => `"${name}"`).join(", ")

const hintsFor = (mapping: ServiceMapping, job_type: string): ReadonlyArray<string> => {
  const accepted = new Map<string, string>()
  for (const worker of Object.keys(mapping.workers)) {
    for (const route of routesOf(mapping, worker)) {
      if (!accepted.has(route.job_type)) accepted.set(route.job_type, worker)
    }
  }
  const service = serviceOf(mapping, job_type)
  const byService = [...accepted.keys()].filter((type) =>
    Object.keys(mapping.workers).some((worker) =>
      routesOf(mapping, worker).some((route) => route.job_type === type && route.service === job_type)
    )
  )
  const meant = didYouMean(job_type, accepted.keys()).filter((type) => !byService.includes(type))
  const lists = Object.keys(mapping.services).filter((name) =>
    serviceOf(mapping, name)?.job_types_accepted?.includes(job_type)
  )
  return [
    `no worker type accepts "${job_type}"`,
    ...(service === undefined
      ? []
      : [
          byService.length === 0
            ? `"${job_type}" is the name of a service that no worker type runs jobs with`
            : `"${job_type}" is the name of a service; jobs reach it by ${quoted(byService)}`
        ]),
    ...meant.map((type) => `did you mean "${type}", accepted by worker type ${accepted.get(type)}?`),
    ...lists.map(
      (name) => `services.${name}.job_types_accepted names it, but what workers accept decides: map it in a worker type`
    )
  ]
}

/** `connectors` names those that can be loaded. */
export const explain = (
  mapping: ServiceMapping,
  job_type: string,
  connectors: ReadonlySet<string>
): RouteExplanation => {
  const routes = Object.keys(mapping.workers).flatMap((worker) =>
    routesOf(mapping, worker)
      .filter((route) => route.job_type === job_type)
      .map(({ path, service: name }): RouteSteps => {
        const service = name === null ? undefined : serviceOf(mapping, name)
        const connector = service?.connector ?? null
        const broken =
          name === null
            ? "nothing says which of its services runs it"
            : service === undefined
              ? `there is no service ${name}`
              : connector !== null && !connectors.has(connector)
                ? `there is no connector ${connector}`
                : null
        return { worker, path: pathText(path), service: name, connector, broken }
      })
  )
  return { job_type, routes, hints: routes.length === 0 ? hintsFor(mapping, job_type) : [] }
}
