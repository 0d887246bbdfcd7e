/** Which variables a worker type needs of the process that runs it. */
import { Result } from "effect"
import * as Finding from "./Finding.ts"
import { serviceOf, servicesUsed } from "./Routing.ts"
import type { ServiceMapping } from "./ServiceMapping.ts"
import { expand } from "./Template.ts"

/**
 * The variables that a worker type needs and that are not set. A default, in the connector's own variables or in the
 * mapping, means that nothing is missing.
 */
export const missing = (
  mapping: ServiceMapping,
  worker: string,
  connectorVariables: (connector: string) => Readonly<Record<string, string>> | undefined,
  environment: Readonly<Record<string, string | undefined>>
): ReadonlyArray<Finding.Finding> => {
  const entry = Object.hasOwn(mapping.workers, worker) ? mapping.workers[worker] : undefined
  if (entry === undefined) return []
  const used = [...servicesUsed(mapping, worker)].flatMap((name) => {
    const service = serviceOf(mapping, name)
    return service === undefined ? [] : [{ name, service }]
  })
  // What a service says itself, its connector asks of nobody.
  const variablesOf = ({ api_config = {}, connector }: ServiceMapping["services"][string]) =>
    Object.entries(connectorVariables(connector) ?? {}).flatMap(([name, template]) =>
      Object.hasOwn(api_config, name) ? [] : [template]
    )
  const templates = used.flatMap(({ service }) => [
    ...variablesOf(service),
    ...Object.values(service.api_config ?? {}).flatMap((value) => (typeof value === "string" ? [value] : [])),
    ...(service.ports ?? []).flatMap((value) => (typeof value === "string" ? [value] : []))
  ])
  const hasDefault = (name: string) => templates.some((template) => template.includes(`\${${name}:-`))
  const isMissing = (name: string) => !environment[name] && !hasDefault(name)
  const required = (names: ReadonlyArray<string> | undefined, at: ReadonlyArray<PropertyKey>) =>
    (names ?? []).flatMap((name, index) =>
      isMissing(name) ? [{ name, finding: Finding.error([...at, index], `${name} is not set`) }] : []
    )
  const listed = [
    ...required(entry.required_env, ["workers", worker, "required_env"]),
    ...used.flatMap(({ name, service }) => required(service.required_env, ["services", name, "required_env"]))
  ]
  const inConfig = used.flatMap(({ name, service }) =>
    Object.entries(service.api_config ?? {}).flatMap(([key, value]) => {
      const filled = typeof value === "string" ? expand(value, environment) : Result.succeed("")
      return Result.isSuccess(filled)
        ? []
        : filled.failure.filter(isMissing).map((variable) => ({
            name: variable,
            finding: Finding.error(["services", name, "api_config", key], `${variable} is not set`)
          }))
    })
  )
  const inConnectors = used.flatMap(({ name, service }) =>
    variablesOf(service).flatMap((template) => {
      const filled = expand(template, environment)
      return Result.isSuccess(filled)
        ? []
        : filled.failure.map((variable) => ({
            name: variable,
            finding: Finding.error(["services", name, "connector"], `${service.connector} needs ${variable}`)
          }))
    })
  )
  const said = new Set<string>()
  return [...listed, ...inConfig, ...inConnectors].flatMap(({ finding, name }) => {
    if (said.has(name)) return []
    said.add(name)
    return [finding]
  })
}
