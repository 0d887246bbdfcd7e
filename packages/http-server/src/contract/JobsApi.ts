/** Jobs over HTTP: submit, look, cancel, retry. */
import { Attempt } from "@muster/core/job/Attempt"
import { IfUnmatchable, Job, JobErrorKind, JobId, JobRequest, JobStatus } from "@muster/core/job/Job"
import { Name } from "@muster/core/Identifier"
import * as IsoTime from "@muster/core/IsoTime"
import { JsonObject } from "@muster/core/Json"
import { WorkerId } from "@muster/core/worker/Worker"
import { DateTime, Schema, SchemaTransformation } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { limit } from "./Limit.ts"
import * as Problems from "./Problems.ts"
import { Wait } from "./Wait.ts"

const { fields } = JobRequest

const Time = Schema.String.check(
  Schema.makeFilter((text) => IsoTime.parse(text) !== undefined, { expected: IsoTime.expected })
).pipe(Schema.decodeTo(Schema.DateTimeUtc, SchemaTransformation.dateTimeUtcFromString))

const issues = (submission: {
  readonly service_required?: string
  readonly job_type?: string
  readonly run_at?: DateTime.Utc
  readonly expires_at?: DateTime.Utc
}) => {
  const { expires_at, job_type, run_at, service_required } = submission
  const found: Array<Schema.FilterIssue> = []
  if (service_required === undefined && job_type === undefined) {
    found.push({ path: ["service_required"], issue: "Missing key" })
  }
  if (service_required !== undefined && job_type !== undefined && service_required !== job_type) {
    found.push({ path: ["job_type"], issue: "job_type is the older name of service_required, and the two differ" })
  }
  if (run_at !== undefined && expires_at !== undefined && !DateTime.isGreaterThan(expires_at, run_at)) {
    found.push({ path: ["expires_at"], issue: "expires_at must be later than run_at" })
  }
  return found
}

/** What a caller sends to submit a job; `JobUseCases` knows what the fields left out mean. */
export const JobSubmission = Schema.Struct({
  id: Schema.optionalKey(JobId),
  service_required: Schema.optionalKey(fields.service_required),
  /** The older name of `service_required`. */
  job_type: Schema.optionalKey(fields.service_required),
  payload: Schema.optionalKey(fields.payload),
  requirements: Schema.optionalKey(fields.requirements),
  priority: Schema.optionalKey(fields.priority),
  workflow_id: Schema.optionalKey(Name),
  workflow_priority: Schema.optionalKey(fields.priority),
  workflow_datetime: Schema.optionalKey(Time),
  customer_id: Schema.optionalKey(Name),
  max_retries: Schema.optionalKey(fields.max_retries),
  timeout_ms: Schema.optionalKey(fields.timeout_ms.members[0]),
  run_at: Schema.optionalKey(Time),
  expires_at: Schema.optionalKey(Time),
  if_unmatchable: Schema.optionalKey(IfUnmatchable),
  metadata: Schema.optionalKey(JsonObject)
}).check(Schema.makeFilter(issues))
export type JobSubmission = typeof JobSubmission.Type

export const jobsPerBatch = 1_000

export const JobBatch = Schema.Struct({
  jobs: Schema.Array(JobSubmission).check(Schema.isMinLength(1), Schema.isMaxLength(jobsPerBatch))
})

const submitted = {
  job: Job,
  /** How many workers accept the job: those active now, and all that are registered. Null: the registry is away. */
  matching: Schema.NullOr(Schema.Struct({ active: Schema.Int, registered: Schema.Int }))
}

/** The job was stored. */
export class JobStored extends Schema.Class<JobStored>("@muster/http-server/contract/JobsApi/JobStored")(submitted) {}

/** The job had been submitted before, with an equal body. */
export class JobKnown extends Schema.Class<JobKnown>("@muster/http-server/contract/JobsApi/JobKnown")(submitted) {}

const Answer = Schema.Struct({ job: Job })

export const jobsPerPage = { fallback: 50, maximum: 1_000 }

export const JobPage = Schema.Struct({
  jobs: Schema.Array(Job),
  /** Where the next page starts; null when nothing follows. */
  next_cursor: Schema.NullOr(Schema.String),
  /** The archive is away: jobs that have left the queue are missing. */
  incomplete: Schema.optionalKey(Schema.Literal(true))
})

/** Which failed jobs are meant: all of them, or those of which all that is said here holds. */
export const FailedFilter = Schema.Struct({
  service_required: Schema.optionalKey(fields.service_required),
  /** The kind of the error they failed with. */
  error_kind: Schema.optionalKey(JobErrorKind)
})

export class JobsApi extends HttpApiGroup.make("jobs")
  .add(
    HttpApiEndpoint.post("submit", "/jobs", {
      payload: JobSubmission,
      success: [JobStored.pipe(HttpApiSchema.status(201)), JobKnown.pipe(HttpApiSchema.status(200))],
      error: [Problems.JobAlreadyExists, Problems.NotMatchable, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Submit a job"),

    HttpApiEndpoint.post("submitMany", "/jobs/batch", {
      payload: JobBatch,
      success: Schema.Struct({ ids: Schema.Array(JobId) }).pipe(HttpApiSchema.status(201)),
      error: [Problems.JobAlreadyExists, Problems.NotMatchable, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Submit jobs together, all or none"),

    HttpApiEndpoint.get("list", "/jobs", {
      query: {
        status: Schema.optionalKey(JobStatus),
        service_required: Schema.optionalKey(Name),
        worker_id: Schema.optionalKey(
          WorkerId.annotate({ description: "Only jobs that this worker holds, or held last." })
        ),
        machine_id: Schema.optionalKey(
          Name.annotate({ description: "The same of the workers that are registered on this machine now." })
        ),
        customer_id: Schema.optionalKey(Name),
        workflow_id: Schema.optionalKey(Name),
        created_from: Schema.optionalKey(Time.annotate({ description: "Only jobs submitted at this time or later." })),
        created_before: Schema.optionalKey(Time.annotate({ description: "Only jobs submitted before this time." })),
        limit: limit(jobsPerPage),
        cursor: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(256)))
      },
      success: JobPage,
      error: [Problems.InvalidCursor, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Jobs, newest first"),

    HttpApiEndpoint.get("get", "/jobs/:id", {
      params: { id: JobId },
      query: {
        wait: Schema.optionalKey(
          Wait.annotate({ description: "Answer when the job has ended, or after this time: `30s`, at most `5m`." })
        )
      },
      success: Answer,
      error: [Problems.JobNotFound, Problems.TooManyStreams, ...Problems.commonOfStores]
    })
      .annotate(OpenApi.Summary, "One job, at once or at its end")
      .annotate(
        OpenApi.Description,
        "With `wait`, its `status` says whether it has ended: if not, the time is over, or the server stops; ask again."
      ),

    HttpApiEndpoint.get("attempts", "/jobs/:id/attempts", {
      params: { id: JobId },
      success: Schema.Struct({ attempts: Schema.Array(Attempt) }),
      error: [Problems.JobNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "What became of each claim of a job, oldest first"),

    HttpApiEndpoint.post("cancel", "/jobs/:id/cancel", {
      params: { id: JobId },
      success: Answer,
      error: [Problems.JobNotFound, Problems.InvalidStateTransition, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "End a job for good"),

    HttpApiEndpoint.post("retry", "/jobs/:id/retry", {
      params: { id: JobId },
      success: Answer,
      error: [Problems.JobNotFound, Problems.InvalidStateTransition, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Let a failed job start over"),

    HttpApiEndpoint.post("retryFailed", "/jobs/retry", {
      payload: Schema.Struct({ filter: FailedFilter }),
      success: Schema.Struct({ count: Schema.Int }),
      error: Problems.commonOfStores
    }).annotate(OpenApi.Summary, "Let failed jobs start over, all or those of a filter")
  )
  .annotate(OpenApi.Title, "Jobs") {}
