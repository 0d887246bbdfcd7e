/**
 * A job: one piece of work, what it needs, and how far it is. Fields are spelled as on the wire.
 */
import { type DateTime, Schema } from "effect"
import { AssetFileName } from "../connector/Asset.ts"
import { FailureKind } from "../connector/ConnectorFailure.ts"
import { identifier, Name } from "../Identifier.ts"
import { Json, JsonObject } from "../Json.ts"
import { WorkerId } from "../worker/Worker.ts"
import { Requirements } from "./Requirements.ts"

export const JobId = identifier(128).pipe(Schema.brand("JobId"))
export type JobId = typeof JobId.Type

export const JobStatus = Schema.Literals([
  "scheduled",
  "pending",
  "assigned",
  "processing",
  "completed",
  "failed",
  "cancelled",
  "expired"
])
export type JobStatus = typeof JobStatus.Type

/** From 0, the least urgent, to 100. */
export const Priority = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))

/** What to do with a job that no registered worker could ever run. */
export const IfUnmatchable = Schema.Literals(["wait", "reject"])

/** What a caller asks for. Everything has its default here once it is decoded. */
export const JobRequest = Schema.Struct({
  service_required: Name,
  payload: Json,
  requirements: Requirements,
  priority: Priority,
  workflow_id: Schema.NullOr(Name),
  workflow_priority: Schema.NullOr(Priority),
  workflow_datetime: Schema.NullOr(Schema.DateTimeUtc),
  customer_id: Schema.NullOr(Name),
  /** Tries after the first one. */
  max_retries: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
  /** How long one attempt may run. */
  timeout_ms: Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7 * 24 * 3_600_000 }))),
  /** Not to be started before this time. */
  run_at: Schema.NullOr(Schema.DateTimeUtc),
  /** Not to be started after this time. */
  expires_at: Schema.NullOr(Schema.DateTimeUtc),
  metadata: Schema.NullOr(JsonObject)
})
export type JobRequest = typeof JobRequest.Type

/** The request of a job for which only what matters to the caller was said. */
export const request = (said: Pick<JobRequest, "service_required"> & Partial<JobRequest>): JobRequest => ({
  payload: {},
  requirements: {},
  priority: 50,
  workflow_id: null,
  workflow_priority: null,
  workflow_datetime: null,
  customer_id: null,
  max_retries: 3,
  timeout_ms: null,
  run_at: null,
  expires_at: null,
  metadata: null,
  ...said
})

export const Progress = Schema.Struct({
  percent: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
  message: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(1_000))),
  step: Schema.optionalKey(Schema.Int),
  total_steps: Schema.optionalKey(Schema.Int),
  /** The asset of the job that shows what is coming; each report may stand for another picture under this name. */
  preview: Schema.optionalKey(AssetFileName)
})
export type Progress = typeof Progress.Type

/** `Lost` and `Expired` are the broker's own findings. */
export const JobErrorKind = Schema.Literals([...FailureKind.literals, "Lost", "Expired"])
export type JobErrorKind = typeof JobErrorKind.Type

/** Why the last attempt did not complete. */
export const JobError = Schema.Struct({
  kind: JobErrorKind,
  message: Schema.String
})
export type JobError = typeof JobError.Type

/** No class: a value of one is checked and copied each time it is made, and jobs are made by the ten thousand a second. */
export const Job = Schema.Struct({
  id: JobId,
  ...JobRequest.fields,
  status: JobStatus,
  /** The number of the last claim; 0 before the first. */
  attempt: Schema.Int,
  retry_count: Schema.Int,
  worker_id: Schema.NullOr(WorkerId),
  progress: Schema.NullOr(Progress),
  result: Schema.Unknown,
  error: Schema.NullOr(JobError),
  created_at: Schema.DateTimeUtc,
  assigned_at: Schema.NullOr(Schema.DateTimeUtc),
  started_at: Schema.NullOr(Schema.DateTimeUtc),
  finished_at: Schema.NullOr(Schema.DateTimeUtc)
}).annotate({ identifier: "Job" })
export type Job = typeof Job.Type

const requestFields = Object.keys(JobRequest.fields) as ReadonlyArray<keyof JobRequest>

/** What was asked for when a job was submitted. */
export const requestOf = (job: Job): JobRequest =>
  Object.fromEntries(requestFields.map((name) => [name, job[name]])) as JobRequest

/** A job that was just submitted. */
export const asSubmitted = (
  id: JobId,
  request: JobRequest,
  status: Extract<JobStatus, "scheduled" | "pending">,
  created_at: DateTime.Utc
): Job => ({
  ...request,
  id,
  status,
  attempt: 0,
  retry_count: 0,
  worker_id: null,
  progress: null,
  result: null,
  error: null,
  created_at,
  assigned_at: null,
  started_at: null,
  finished_at: null
})

/** The one table of legal transitions, for every store. */
const successors: Record<JobStatus, ReadonlyArray<JobStatus>> = {
  scheduled: ["pending", "cancelled", "expired"],
  // Back to scheduled: a job that steps aside for a worker it failed on.
  pending: ["assigned", "scheduled", "cancelled", "expired"],
  assigned: ["processing", "completed", "failed", "cancelled", "pending", "scheduled"],
  processing: ["completed", "failed", "cancelled", "pending", "scheduled"],
  completed: [],
  // By hand only: no store retries a job that has failed for good.
  failed: ["pending"],
  cancelled: [],
  expired: []
}

/** Whether a job that is `from` may become `to`. */
export const canBecome = (from: JobStatus, to: JobStatus): boolean => successors[from].includes(to)

const finished: ReadonlySet<JobStatus> = new Set<JobStatus>(["completed", "failed", "cancelled", "expired"])

/** Whether a job of this status has ended. Only one that failed can change again: by a retry by hand. */
export const isFinished = (status: JobStatus): boolean => finished.has(status)

/** Whether an attempt holds a job of this status. */
export const isHeld = (status: JobStatus): boolean => status === "assigned" || status === "processing"

/**
 * What every report about a job must carry: which claim it comes from. The number alone is no fence, because it
 * repeats when a store loses its last writes; the nonce, made by the claimer, does not.
 */
export interface Fence {
  readonly job_id: JobId
  readonly attempt: number
  readonly nonce: string
}
