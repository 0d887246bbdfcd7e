/** Where job types lead, over HTTP. */
import { Finding } from "@muster/core/mapping/Finding"
import { ServiceMapping } from "@muster/core/mapping/ServiceMapping"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import * as Problems from "./Problems.ts"

/** The mapping of the server: its workers may have been given others. */
export const ToldMapping = Schema.Struct({
  /** As it is written, with variables unfilled and literal secrets taken out; null when the server has none. */
  mapping: Schema.NullOr(ServiceMapping),
  /** What is wrong with it and stops nothing. */
  findings: Schema.Array(Finding)
})

export class MappingApi extends HttpApiGroup.make("mapping")
  .add(
    HttpApiEndpoint.get("get", "/mapping", { success: ToldMapping, error: Problems.common }).annotate(
      OpenApi.Summary,
      "Which service and connector each job type leads to"
    )
  )
  .annotate(OpenApi.Title, "Mapping") {}
