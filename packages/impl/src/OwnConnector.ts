/** A connector of the operator's own: a module that a mapping names by its path, which exports it as `connector`. */
import type { Connector } from "@muster/core/connector/Connector"
import { Duration, Effect, Predicate, Schema } from "effect"
import { dirname, resolve } from "node:path"
import { pathToFileURL } from "node:url"

/** A module of a connector cannot be used. */
export class NoConnector extends Schema.TaggedError<NoConnector>("@muster/impl/OwnConnector/NoConnector")(
  "NoConnector",
  { path: Schema.String, detail: Schema.String }
) {
  override get message() {
    return `${this.path}: ${this.detail}`
  }
}

/** What a module does when it is imported may never end. */
const importedWithin = Duration.seconds(30)

const isConnector = (value: unknown): value is Connector =>
  Predicate.hasProperty(value, "name") &&
  Predicate.isString(value.name) &&
  Predicate.hasProperty(value, "variables") &&
  Predicate.isObject(value.variables) &&
  Object.values(value.variables).every(Predicate.isString) &&
  Predicate.hasProperty(value, "acquire") &&
  Predicate.isFunction(value.acquire)

/** Where a path of a mapping leads: from the folder of the mapping, wherever the process was started. */
export const locate = (mappingFile: string, path: string): string => resolve(dirname(mappingFile), path)

/** Imports the connector that a mapping calls `name`. */
export const load = Effect.fn("OwnConnector.load")(function* (
  mappingFile: string,
  name: string,
  path: string
): Effect.fn.Return<Connector, NoConnector> {
  const file = locate(mappingFile, path)
  const wrong = (detail: string) => new NoConnector({ path: file, detail })
  const module: unknown = yield* Effect.tryPromise({
    try: () => import(pathToFileURL(file).href),
    catch: (error) => wrong(`cannot be imported: ${error instanceof Error ? error.message : String(error)}`)
  }).pipe(
    Effect.timeoutOrElse({
      duration: importedWithin,
      orElse: () => wrong(`is not imported within ${Duration.format(importedWithin)}: it waits for something`)
    })
  )
  const connector = Predicate.hasProperty(module, "connector") ? module.connector : undefined
  if (!isConnector(connector)) {
    return yield* wrong("exports no `connector` with a name, variables and acquire")
  }
  if (connector.name !== name) {
    return yield* wrong(`exports a connector called ${connector.name}, and the mapping calls it ${name}`)
  }
  return connector
})
