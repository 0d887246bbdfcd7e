/** Answers the routes of jobs with the use cases and queries of core. */
import * as Job from "@muster/core/job/Job"
import * as JobQueries from "@muster/core/job/JobQueries"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../contract/Api.ts"
import { JobKnown, jobsPerPage, JobStored, type JobSubmission } from "../contract/JobsApi.ts"
import { answer } from "../ProblemAnswer.ts"
import * as CoreAnswers from "./CoreAnswers.ts"
import { atEnd } from "./JobEnds.ts"
import * as Stores from "./Stores.ts"

const fromWire = (submission: JobSubmission): JobUseCases.Submission => {
  const { id, if_unmatchable, job_type = "", service_required = job_type, ...said } = submission
  return { id, if_unmatchable, request: Job.request({ ...said, service_required }) }
}

const submit = Effect.fnUntraced(function* (submission: JobSubmission) {
  const { created, job, matching } = yield* JobUseCases.submitJob(fromWire(submission))
  return created ? new JobStored({ job, matching }) : new JobKnown({ job, matching })
})

export const layer = HttpApiBuilder.group(
  Api,
  "jobs",
  Effect.fnUntraced(function* (handlers) {
    const withStores = yield* Stores.make
    const answered = yield* CoreAnswers.make
    const asJob = Effect.map((job: Job.Job) => ({ job }))
    return handlers.handleAll({
      submit: ({ payload }) => submit(payload).pipe(answered, withStores),
      submitMany: ({ payload }) =>
        JobUseCases.submitJobs(payload.jobs.map(fromWire)).pipe(
          Effect.map((submitted) => ({ ids: submitted.map(({ id }) => id) })),
          answered,
          withStores
        ),
      list: ({ query }) =>
        JobQueries.listJobs({ ...query, limit: query.limit ?? jobsPerPage.fallback }).pipe(
          Effect.map(({ incomplete, ...page }) => (incomplete ? { ...page, incomplete } : page)),
          answered,
          withStores
        ),
      get: ({ params, query }) =>
        query.wait === undefined
          ? JobQueries.getJob(params.id).pipe(asJob, answered, withStores)
          : atEnd(params.id, query.wait).pipe(asJob, Effect.catchTag("TooManyStreams", answer), answered, withStores),
      attempts: ({ params }) =>
        JobQueries.getJobAttempts(params.id).pipe(
          Effect.map((attempts) => ({ attempts })),
          answered,
          withStores
        ),
      cancel: ({ params }) => JobUseCases.cancelJob(params.id).pipe(asJob, answered, withStores),
      retry: ({ params }) => JobUseCases.retryJob(params.id).pipe(asJob, answered, withStores),
      retryFailed: ({ payload }) =>
        JobUseCases.retryFailedJobs(payload.filter).pipe(
          Effect.map((count) => ({ count })),
          answered,
          withStores
        )
    })
  })
)
