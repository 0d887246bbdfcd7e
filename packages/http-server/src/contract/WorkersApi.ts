/** The registry over HTTP: how workers register, beat and are looked at. */
import {
  Worker,
  WorkerId,
  WorkerRegistration,
  WorkerStatus,
  WorkerUpdate,
  WorkerWithMetadata
} from "@muster/core/worker/Worker"
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { limit } from "./Limit.ts"
import * as Problems from "./Problems.ts"

const params = { id: WorkerId }

const Answer = Schema.Struct({ worker: Worker })

export const workersPerPage = { fallback: 1_000, maximum: 10_000 }
export const heartbeatsPerPage = { fallback: 100, maximum: 10_000 }

export const WorkerPage = Schema.Struct({
  workers: Schema.Array(WorkerWithMetadata),
  /** Where the next page starts; null when nothing follows. */
  next_cursor: Schema.NullOr(Schema.String)
})

/** What becomes of the jobs a draining worker holds: it finishes them, or they wait again. */
export const DrainRequest = Schema.Struct({ jobs: Schema.optionalKey(Schema.Literals(["finish", "return"])) })

export class WorkersApi extends HttpApiGroup.make("workers")
  .add(
    HttpApiEndpoint.post("register", "/workers", {
      payload: WorkerRegistration,
      success: Answer.pipe(HttpApiSchema.status(201)),
      error: [Problems.WorkerAlreadyExists, Problems.InvalidConfiguration, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Register a worker"),

    HttpApiEndpoint.put("update", "/workers/:id", {
      params,
      payload: WorkerUpdate,
      success: Answer,
      error: [Problems.WorkerNotFound, Problems.LiveTwin, Problems.InvalidConfiguration, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Put a worker that came back, or changed, in place of its old record"),

    HttpApiEndpoint.get("list", "/workers", {
      query: {
        status: Schema.optionalKey(WorkerStatus),
        limit: limit(workersPerPage),
        cursor: Schema.optionalKey(WorkerId)
      },
      success: WorkerPage,
      error: Problems.commonOfStores
    }).annotate(OpenApi.Summary, "Workers by id, of one status or of all"),

    HttpApiEndpoint.get("get", "/workers/:id", {
      params,
      success: Schema.Struct({ worker: WorkerWithMetadata }),
      error: [Problems.WorkerNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "One worker"),

    HttpApiEndpoint.delete("unregister", "/workers/:id", {
      params,
      success: HttpApiSchema.NoContent,
      error: [Problems.WorkerNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Remove a worker; the jobs it holds wait again"),

    HttpApiEndpoint.post("heartbeat", "/workers/:id/heartbeat", {
      params,
      success: Schema.Struct({}),
      error: [Problems.WorkerNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Say that a worker lives"),

    HttpApiEndpoint.get("heartbeats", "/workers/:id/heartbeats", {
      params,
      query: { limit: limit(heartbeatsPerPage) },
      success: Schema.Struct({ heartbeats: Schema.Array(Schema.DateTimeUtc) }),
      error: [Problems.WorkerNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "The last heartbeats of a worker, newest first"),

    HttpApiEndpoint.put("setStatus", "/workers/:id/status", {
      params,
      payload: Schema.Struct({ status: WorkerStatus }),
      success: Answer,
      error: [Problems.WorkerNotFound, Problems.InvalidStateTransition, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Set the status of a worker by hand"),

    HttpApiEndpoint.post("pause", "/workers/:id/pause", {
      params,
      success: Answer,
      error: [Problems.WorkerNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Give a worker no more jobs until it is resumed; it keeps those it holds"),

    HttpApiEndpoint.post("drain", "/workers/:id/drain", {
      params,
      // Null stands for no body.
      payload: [DrainRequest, Schema.Null],
      success: Answer,
      error: [Problems.WorkerNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Let a worker become free: it finishes the jobs it holds, or they are handed back"),

    HttpApiEndpoint.post("resume", "/workers/:id/resume", {
      params,
      success: Answer,
      error: [Problems.WorkerNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Give a paused or draining worker jobs again")
  )
  .annotate(OpenApi.Title, "Workers") {}
