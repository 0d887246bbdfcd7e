/** Whether the server lives, and whether it could work. Both stay open when a token is demanded. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import * as Problems from "./Problems.ts"

const StoreState = Schema.Struct({ ok: Schema.Boolean, detail: Schema.NullOr(Schema.String) })
const stores = { registry: StoreState, queue: StoreState }

/** The broker can take and give jobs. */
export const Ready = Schema.Struct({ ready: Schema.Literal(true), ...stores })

/** A store does not answer; the other fields say which, and why. */
export const NotReady = Schema.Struct({ ready: Schema.Literal(false), ...stores })

export class SystemApi extends HttpApiGroup.make("system")
  .add(
    HttpApiEndpoint.get("health", "/health", {
      success: Schema.Struct({ status: Schema.Literal("ok") }),
      error: Problems.common
    }).annotate(OpenApi.Summary, "The process lives"),

    HttpApiEndpoint.get("ready", "/ready", {
      success: [Ready, NotReady.pipe(HttpApiSchema.status(503))],
      error: Problems.common
    }).annotate(OpenApi.Summary, "The stores answer")
  )
  .annotate(OpenApi.Title, "System") {}
