/** Why jobs wait, over HTTP: one job explained, and the queue at a glance. */
import { Explanation } from "@muster/core/job/Explanation"
import { JobId } from "@muster/core/job/Job"
import { workersAnswered } from "@muster/core/job/JobExplanation"
import { classesAnswered, QueueOverview } from "@muster/core/job/QueueView"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { limit } from "./Limit.ts"
import * as Problems from "./Problems.ts"

export class QueueApi extends HttpApiGroup.make("queue")
  .add(
    HttpApiEndpoint.get("explain", "/jobs/:id/explain", {
      params: { id: JobId },
      query: { limit: limit(workersAnswered) },
      success: Explanation,
      error: [Problems.JobNotFound, ...Problems.commonOfStores]
    }).annotate(OpenApi.Summary, "Why a job is not running: a verdict, the workers nearest to it, and what to do"),

    HttpApiEndpoint.get("view", "/queue", {
      query: { limit: limit(classesAnswered) },
      success: QueueOverview,
      error: Problems.commonOfStores
    }).annotate(OpenApi.Summary, "How many jobs there are, and what waits; first what nobody can run")
  )
  .annotate(OpenApi.Title, "Queue") {}
