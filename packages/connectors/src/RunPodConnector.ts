/**
 * Runs jobs on a RunPod serverless endpoint: submits, asks until they end, cancels them when they are not wanted any
 * more, and keeps their files.
 *
 * Payload: `{input, policy?, save_assets?}`, as RunPod's own API takes them; assets in the input are brought.
 */
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { Duration, Effect, Option, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import * as GivenAssets from "./assets/GivenAssets.ts"
import * as OutputFiles from "./assets/OutputFiles.ts"
import * as RequestKey from "./protocol/RequestKey.ts"
import * as HttpService from "./protocol/HttpService.ts"
import * as ModelFailure from "./protocol/ModelFailure.ts"
import * as NotedWork from "./protocol/NotedWork.ts"
import type * as Polling from "./protocol/Polling.ts"
import * as Settings from "./Settings.ts"

const name = "RunPodConnector"

const Variables = Schema.Struct({
  RUNPOD_API_KEY: Settings.token,
  RUNPOD_ENDPOINT_ID: Schema.String.check(Schema.isPattern(/^[\w-]{1,64}$/, { expected: "the id of an endpoint" })),
  RUNPOD_BASE_URL: Settings.httpUrl,
  RUNPOD_TIMEOUT_SECONDS: Settings.integer(1, 3_600),
  RUNPOD_MAX_RETRIES: Settings.integer(0, 10),
  RUNPOD_POLL_INTERVAL_MS: Settings.integer(10, 600_000),
  RUNPOD_MAX_CONCURRENT_JOBS: Settings.integer(1, 1_000)
})

const Payload = Schema.Struct({
  input: Schema.Record(Schema.String, Schema.Unknown),
  /** `executionTimeout`, `ttl` and what else RunPod knows. */
  policy: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown)),
  save_assets: Schema.optionalKey(Schema.Boolean)
})

const Run = Schema.Struct({
  id: Schema.String.check(Schema.isPattern(/^[\w-]{1,128}$/)),
  status: Schema.Literals(["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]),
  output: Schema.optionalKey(Schema.Unknown),
  error: Schema.optionalKey(Schema.Unknown),
  delayTime: Schema.optionalKey(Schema.Number),
  executionTime: Schema.optionalKey(Schema.Number)
})
type Run = typeof Run.Type

/** A file that goes with a request, in bytes: RunPod takes requests of 10 MB. */
const largestFile = 7 * 1024 * 1024

const broken = (kind: "ServiceUnavailable" | "Timeout", message: string) =>
  Option.some(Effect.fail(new ConnectorFailure({ kind, message })))

/** What an ended run means; none while it goes on. */
const ending = (run: Run): Polling.Looked<Run> => {
  switch (run.status) {
    case "COMPLETED":
      return Option.some(Effect.succeed(run))
    case "IN_QUEUE":
    case "IN_PROGRESS":
      return Option.none()
    case "FAILED":
      return Option.some(Effect.fail(ModelFailure.make("the run", run.error)))
    case "CANCELLED":
      return broken("ServiceUnavailable", "the run was cancelled at RunPod")
    case "TIMED_OUT":
      return broken("Timeout", "the run took longer than RunPod lets it")
  }
}

/** While a run goes on its output is what its handler tells of its progress: anything, a number of percent at best. */
const progressOf = (run: Run, before: number): Progress => {
  const { output } = run
  const said =
    typeof output === "number"
      ? output
      : typeof output === "object" && output !== null && "progress" in output
        ? output.progress
        : undefined
  const percent = typeof said === "number" && said >= 0 && said <= 100 ? Math.max(before, said) : before
  return { percent, message: typeof output === "string" ? output.slice(0, 1_000) : "running" }
}

/** How handlers of the usual images answer files: base64 under `data` or `image`, which only their place tells. */
const asDataUrls = (output: unknown, depth = 0): unknown => {
  if (typeof output !== "object" || output === null || depth > OutputFiles.deepest) return output
  if (Array.isArray(output)) return output.map((member) => asDataUrls(member, depth + 1))
  const { data, type } = output as Readonly<Record<string, unknown>>
  if (type === "base64" && typeof data === "string" && !data.startsWith("data:")) {
    return { ...output, data: `data:application/octet-stream;base64,${data}` }
  }
  return Object.fromEntries(Object.entries(output).map(([key, value]) => [key, asDataUrls(value, depth + 1)]))
}

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const base = `${settings.RUNPOD_BASE_URL}/${settings.RUNPOD_ENDPOINT_ID}`
  const services = yield* Effect.context<ConnectorServices>()
  const service = yield* HttpService.make({
    name: "RunPod",
    timeout: Duration.seconds(settings.RUNPOD_TIMEOUT_SECONDS),
    maxRetries: settings.RUNPOD_MAX_RETRIES
  })
  const authorized = HttpClientRequest.bearerToken(settings.RUNPOD_API_KEY)
  const get = (path: string) => authorized(HttpClientRequest.get(`${base}${path}`))
  const post = (path: string) => authorized(HttpClientRequest.post(`${base}${path}`))

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const { save_assets, ...request } = yield* Settings.decodePayload(Payload, job.payload)
    let farthest = 0
    const done = yield* NotedWork.make({
      job,
      key: RequestKey.make(job, { runpod: settings.RUNPOD_ENDPOINT_ID, request }),
      what: "run",
      prepare: GivenAssets.place("input", request.input, largestFile, GivenAssets.dataUrl),
      submit: (input) => service.json(HttpClientRequest.bodyJsonUnsafe(post("/run"), { ...request, input }), Run),
      retrieve: (id) => service.json(get(`/status/${id}`), Run),
      cancel: (id) => service.bytes(post(`/cancel/${id}`)),
      ending,
      seen: (run) => {
        if (run.status !== "IN_PROGRESS") return Effect.void
        const progress = progressOf(run, farthest)
        farthest = progress.percent
        return report(progress)
      },
      every: Duration.millis(settings.RUNPOD_POLL_INTERVAL_MS)
    })
    const saved =
      save_assets === false
        ? { output: done.output, assets: [] }
        : yield* OutputFiles.save(job, asDataUrls(done.output))
    const times = { delay_ms: done.delayTime, execution_ms: done.executionTime }
    return { run_id: done.id, ...saved, ...times }
  })

  return {
    health: Effect.asVoid(service.bytes(get("/health"))),
    process: (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) =>
      Effect.provideContext(process(job, report), services),
    max_concurrent_jobs: settings.RUNPOD_MAX_CONCURRENT_JOBS
  }
})

export const connector: Connector = {
  name,
  variables: {
    RUNPOD_API_KEY: "${RUNPOD_API_KEY}",
    RUNPOD_ENDPOINT_ID: "${RUNPOD_ENDPOINT_ID}",
    RUNPOD_BASE_URL: "${RUNPOD_BASE_URL:-https://api.runpod.ai/v2}",
    RUNPOD_TIMEOUT_SECONDS: "${RUNPOD_TIMEOUT_SECONDS:-60}",
    RUNPOD_MAX_RETRIES: "${RUNPOD_MAX_RETRIES:-3}",
    RUNPOD_POLL_INTERVAL_MS: "${RUNPOD_POLL_INTERVAL_MS:-1000}",
    RUNPOD_MAX_CONCURRENT_JOBS: "${RUNPOD_MAX_CONCURRENT_JOBS:-5}"
  },
  acquire: (settings) => Effect.flatMap(Settings.decode(name, Variables, settings), make)
}
