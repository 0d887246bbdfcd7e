/** Whether the server lives, whether it could work, how it is doing. The first two stay open when a token is demanded. */
import { Finding } from "@muster/core/diagnosis/Finding"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import * as Problems from "./Problems.ts"

const StoreState = Schema.Struct({ ok: Schema.Boolean, detail: Schema.NullOr(Schema.String) })

/** Null is what could not be read in time, or does not apply. */
const Figures = Schema.Struct({
  jobs: Schema.NullOr(
    Schema.Struct({
      scheduled: Schema.Int,
      pending: Schema.Int,
      held: Schema.Int,
      finished: Schema.Int,
      unarchived: Schema.NullOr(Schema.Int)
    })
  ),
  waiting: Schema.NullOr(
    Schema.Struct({ oldest_at: Schema.NullOr(Schema.DateTimeUtcFromString), unserved_jobs: Schema.Int })
  ),
  memory: Schema.NullOr(
    Schema.Struct({
      used_bytes: Schema.Int,
      limit_bytes: Schema.NullOr(Schema.Int),
      short_in_s: Schema.NullOr(Schema.Int)
    })
  ),
  log: Schema.NullOr(
    Schema.Struct({
      entries: Schema.Int,
      bytes: Schema.Int,
      limit_bytes: Schema.Int,
      lag_ms: Schema.NullOr(Schema.Finite)
    })
  ),
  archive: Schema.NullOr(
    Schema.Struct({
      jobs_behind: Schema.NullOr(Schema.Int),
      behind_ms: Schema.Finite,
      error: Schema.NullOr(Schema.String)
    })
  )
})

const told = {
  registry: StoreState,
  queue: StoreState,
  /** What works and is worth a look. */
  degraded: Schema.Array(Schema.String),
  figures: Figures
}

/** The broker can take and give jobs. */
export const Ready = Schema.Struct({ ready: Schema.Literal(true), ...told })

/** A store does not answer; the other fields say which, and why. */
export const NotReady = Schema.Struct({ ready: Schema.Literal(false), ...told })

/** What the server finds when it looks at itself and at what it stands on. */
export const Diagnosed = Schema.Struct({ version: Schema.String, findings: Schema.Array(Finding) })

/** The text format that Prometheus and those like it read. */
const prometheus = "text/plain; version=0.0.4; charset=utf-8"

export class SystemApi extends HttpApiGroup.make("system")
  .add(
    HttpApiEndpoint.get("health", "/health", {
      success: Schema.Struct({ status: Schema.Literal("ok") }),
      error: Problems.common
    }).annotate(OpenApi.Summary, "The process lives"),

    HttpApiEndpoint.get("ready", "/ready", {
      success: [Ready, NotReady.pipe(HttpApiSchema.status(503))],
      error: Problems.common
    }).annotate(OpenApi.Summary, "The stores answer, and how full they are"),

    HttpApiEndpoint.get("metrics", "/metrics", {
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: prometheus })),
      error: Problems.common
    }).annotate(OpenApi.Summary, "Figures for Prometheus"),

    HttpApiEndpoint.get("doctor", "/doctor", {
      success: Diagnosed,
      error: Problems.common
    }).annotate(OpenApi.Summary, "What is well and what is not, with what to do")
  )
  .annotate(OpenApi.Title, "System") {}
