/**
 * The HTTP contract of Muster: what can be asked, what is answered, what can go wrong. Server, typed client and the
 * OpenAPI document are all derived from it.
 */
import { HttpApi, OpenApi } from "effect/http-api"
import { AssetsApi } from "./AssetsApi.ts"
import { EventsApi } from "./EventsApi.ts"
import { JobsApi } from "./JobsApi.ts"
import { MappingApi } from "./MappingApi.ts"
import { NothingUnasked } from "./NothingUnasked.ts"
import { QueueApi } from "./QueueApi.ts"
import { SystemApi } from "./SystemApi.ts"
import { WebhooksApi } from "./WebhooksApi.ts"
import { WorkersApi } from "./WorkersApi.ts"

/** Everything wrong with a request is said at once, and what is not known is refused rather than ignored. */
const strict = { errors: "all", onExcessProperty: "error" } as const

const open = new Set(["/health", "/ready"])

/**
 * A server may ask for a token; whether this one does, no contract knows. The generator gives each operation an empty
 * list, which would say that none is ever asked for; only the probes keep it.
 */
const withToken = (document: Record<string, any>) => ({
  ...document,
  security: [{}, { token: [] }],
  components: { ...document["components"], securitySchemes: { token: { type: "http", scheme: "bearer" } } },
  paths: Object.fromEntries(
    Object.entries<Record<string, any>>(document["paths"]).map(([path, operations]) => [
      path,
      Object.fromEntries(
        Object.entries(operations).map(([method, { security, ...operation }]) => [
          method,
          open.has(path) ? { security, ...operation } : operation
        ])
      )
    ])
  )
})

export class Api extends HttpApi.make("muster")
  .add(WorkersApi)
  .add(JobsApi)
  .add(AssetsApi)
  .add(QueueApi)
  .add(EventsApi)
  .add(WebhooksApi)
  .add(MappingApi)
  .add(SystemApi)
  .middleware(NothingUnasked)
  .annotate(HttpApi.PayloadParseOptions, strict)
  .annotate(HttpApi.QueryParseOptions, strict)
  .annotateMerge(
    OpenApi.annotations({
      title: "Muster",
      version: "1",
      description: "Routes jobs to the machines that can run them.",
      transform: withToken
    })
  ) {}
