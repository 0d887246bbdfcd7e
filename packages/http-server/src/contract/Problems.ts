/**
 * Every error an answer can carry, as `application/problem+json` (RFC 9457). `code` is stable and equals the tag of
 * the error: programs decide by it, people read `detail`. On both sides the value is a tagged error, so a caller of
 * the typed client catches `WorkerAlreadyExists` as if the use case ran in its own process.
 */
import { JobId } from "@muster/core/job/Job"
import { WebhookId } from "@muster/core/webhook/Webhook"
import { InstanceId, WorkerId } from "@muster/core/worker/Worker"
import { Schema } from "effect"
import { HttpApiError } from "effect/http-api"

/** What fixes a kind of problem: the URI that names it and its HTTP status. */
const kind = <const Code extends string, const Status extends number>(code: Code, status: Status, title: string) =>
  ({ type: `urn:muster:problem:${code}`, status, title }) as const

const members = <const Code extends string>(code: Code) => ({ code: Schema.tag(code), detail: Schema.String })

export class WorkerNotFound extends HttpApiError.Problem<WorkerNotFound>()(
  "WorkerNotFound",
  kind("WorkerNotFound", 404, "Worker not found"),
  { ...members("WorkerNotFound"), id: WorkerId }
) {}

export class WorkerAlreadyExists extends HttpApiError.Problem<WorkerAlreadyExists>()(
  "WorkerAlreadyExists",
  kind("WorkerAlreadyExists", 409, "Worker already exists"),
  { ...members("WorkerAlreadyExists"), id: WorkerId }
) {}

export class LiveTwin extends HttpApiError.Problem<LiveTwin>()(
  "LiveTwin",
  kind("LiveTwin", 409, "Another instance of the worker lives"),
  {
    ...members("LiveTwin"),
    id: WorkerId,
    instance_id: InstanceId,
    last_heartbeat_at: Schema.DateTimeUtcFromString
  }
) {}

export class InvalidConfiguration extends HttpApiError.Problem<InvalidConfiguration>()(
  "InvalidConfiguration",
  kind("InvalidConfiguration", 400, "Invalid configuration"),
  { ...members("InvalidConfiguration"), path: Schema.String }
) {}

export class InvalidStateTransition extends HttpApiError.Problem<InvalidStateTransition>()(
  "InvalidStateTransition",
  kind("InvalidStateTransition", 400, "Invalid state transition"),
  {
    ...members("InvalidStateTransition"),
    subject: Schema.Literals(["worker", "job"]),
    id: Schema.String,
    from: Schema.String,
    to: Schema.String
  }
) {}

export class JobNotFound extends HttpApiError.Problem<JobNotFound>()(
  "JobNotFound",
  kind("JobNotFound", 404, "Job not found"),
  { ...members("JobNotFound"), id: JobId }
) {}

export class JobAlreadyExists extends HttpApiError.Problem<JobAlreadyExists>()(
  "JobAlreadyExists",
  kind("JobAlreadyExists", 409, "Job already exists with a different body"),
  { ...members("JobAlreadyExists"), id: JobId }
) {}

export class NotMatchable extends HttpApiError.Problem<NotMatchable>()(
  "NotMatchable",
  kind("NotMatchable", 409, "No registered worker could run the job"),
  { ...members("NotMatchable"), service_required: Schema.String }
) {}

export class AssetNotFound extends HttpApiError.Problem<AssetNotFound>()(
  "AssetNotFound",
  kind("AssetNotFound", 404, "Asset not found"),
  { ...members("AssetNotFound"), id: JobId, file_name: Schema.String }
) {}

export class WebhookNotFound extends HttpApiError.Problem<WebhookNotFound>()(
  "WebhookNotFound",
  kind("WebhookNotFound", 404, "Webhook not found"),
  { ...members("WebhookNotFound"), id: WebhookId }
) {}

export class WebhookAlreadyExists extends HttpApiError.Problem<WebhookAlreadyExists>()(
  "WebhookAlreadyExists",
  kind("WebhookAlreadyExists", 409, "Webhook already exists"),
  { ...members("WebhookAlreadyExists"), id: WebhookId }
) {}

export class TooManyWebhooks extends HttpApiError.Problem<TooManyWebhooks>()(
  "TooManyWebhooks",
  kind("TooManyWebhooks", 409, "Too many webhooks"),
  { ...members("TooManyWebhooks"), limit: Schema.Int }
) {}

export class InvalidCursor extends HttpApiError.Problem<InvalidCursor>()(
  "InvalidCursor",
  kind("InvalidCursor", 400, "Invalid cursor"),
  members("InvalidCursor")
) {}

/** One thing that is wrong with a request; `path` is spelled as the caller wrote it: `capabilities.job_types[0]`. */
export const RequestIssue = Schema.Struct({ path: Schema.String, message: Schema.String })
export type RequestIssue = typeof RequestIssue.Type

/** The request says something it must not; `errors` lists all of it at once. */
export class InvalidRequest extends HttpApiError.Problem<InvalidRequest>()(
  "InvalidRequest",
  kind("InvalidRequest", 400, "Invalid request"),
  { ...members("InvalidRequest"), errors: Schema.Array(RequestIssue) }
) {}

/** No token, or a wrong one. */
export class Unauthenticated extends HttpApiError.Problem<Unauthenticated>()(
  "Unauthenticated",
  kind("Unauthenticated", 401, "Unauthenticated"),
  members("Unauthenticated")
) {}

export class Forbidden extends HttpApiError.Problem<Forbidden>()(
  "Forbidden",
  kind("Forbidden", 403, "Forbidden"),
  members("Forbidden")
) {}

export class RouteNotFound extends HttpApiError.Problem<RouteNotFound>()(
  "RouteNotFound",
  kind("RouteNotFound", 404, "No such route"),
  members("RouteNotFound")
) {}

export class MethodNotAllowed extends HttpApiError.Problem<MethodNotAllowed>()(
  "MethodNotAllowed",
  kind("MethodNotAllowed", 405, "Method not allowed"),
  { ...members("MethodNotAllowed"), allowed: Schema.Array(Schema.String) }
) {}

/** The request was not sent to its end in time. */
export class RequestTimeout extends HttpApiError.Problem<RequestTimeout>()(
  "RequestTimeout",
  kind("RequestTimeout", 408, "Request timed out"),
  members("RequestTimeout")
) {}

export class PayloadTooLarge extends HttpApiError.Problem<PayloadTooLarge>()(
  "PayloadTooLarge",
  kind("PayloadTooLarge", 413, "Payload too large"),
  { ...members("PayloadTooLarge"), limit_bytes: Schema.Int }
) {}

export class UnsupportedMediaType extends HttpApiError.Problem<UnsupportedMediaType>()(
  "UnsupportedMediaType",
  kind("UnsupportedMediaType", 415, "Unsupported media type"),
  members("UnsupportedMediaType")
) {}

/** The head of the request, which holds its URL, is longer than the server reads. */
export class RequestHeadTooLarge extends HttpApiError.Problem<RequestHeadTooLarge>()(
  "RequestHeadTooLarge",
  kind("RequestHeadTooLarge", 431, "URL or headers too long"),
  members("RequestHeadTooLarge")
) {}

/** The fault is the server's; the reason is in its log. */
export class InternalError extends HttpApiError.Problem<InternalError>()(
  "InternalError",
  kind("InternalError", 500, "Internal error"),
  members("InternalError")
) {}

/** A store is away. The same request is worth repeating after `retry_after_s`, which `Retry-After` says too. */
export class StoreUnavailable extends HttpApiError.Problem<StoreUnavailable>()(
  "StoreUnavailable",
  kind("StoreUnavailable", 503, "A store is unavailable"),
  { ...members("StoreUnavailable"), retry_after_s: Schema.Int }
) {}

/** The server keeps as many requests open as it takes. */
export class TooManyStreams extends HttpApiError.Problem<TooManyStreams>()(
  "TooManyStreams",
  kind("TooManyStreams", 503, "Too many open streams"),
  { ...members("TooManyStreams"), retry_after_s: Schema.Int }
) {}

/** Problems that any route answers, whatever it does. */
export const common = [
  InvalidRequest,
  Unauthenticated,
  Forbidden,
  RouteNotFound,
  MethodNotAllowed,
  RequestTimeout,
  PayloadTooLarge,
  UnsupportedMediaType,
  RequestHeadTooLarge,
  InternalError
] as const

/** Problems that any route answers that needs a store. */
export const commonOfStores = [...common, StoreUnavailable] as const
