/**
 * Runs predictions on Replicate: submits, asks until they end, cancels them when the job is not wanted any more, and
 * keeps their files.
 *
 * Payload: `{model | version, input, save_assets?}`, as Replicate's own API takes them; assets in the input are brought.
 */
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { Duration, Effect, Option, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import * as GivenAssets from "./assets/GivenAssets.ts"
import type { ReadyFile } from "./assets/InputFile.ts"
import * as OutputFiles from "./assets/OutputFiles.ts"
import * as RequestKey from "./protocol/RequestKey.ts"
import * as HttpService from "./protocol/HttpService.ts"
import * as ModelFailure from "./protocol/ModelFailure.ts"
import * as NotedWork from "./protocol/NotedWork.ts"
import type * as Polling from "./protocol/Polling.ts"
import * as Settings from "./Settings.ts"

const name = "ReplicateConnector"

const Variables = Schema.Struct({
  REPLICATE_API_TOKEN: Settings.token,
  REPLICATE_BASE_URL: Settings.httpUrl,
  REPLICATE_TIMEOUT_SECONDS: Settings.integer(1, 3_600),
  REPLICATE_MAX_RETRIES: Settings.integer(0, 10),
  REPLICATE_POLL_INTERVAL_MS: Settings.integer(10, 600_000),
  REPLICATE_MAX_CONCURRENT_JOBS: Settings.integer(1, 1_000)
})

const Payload = Schema.Struct({
  /** `owner/name`. */
  model: Schema.optionalKey(
    Schema.String.check(
      Schema.isPattern(/^[A-Za-z0-9][\w.-]{0,99}\/[A-Za-z0-9][\w.-]{0,99}$/, { expected: "a model as owner/name" })
    )
  ),
  version: Schema.optionalKey(Schema.String.check(Schema.isPattern(/^[\w.:/-]{1,256}$/, { expected: "a version" }))),
  input: Schema.Record(Schema.String, Schema.Unknown),
  save_assets: Schema.optionalKey(Schema.Boolean)
}).check(
  Schema.makeFilter(({ model, version }) =>
    (model === undefined) === (version === undefined)
      ? [{ path: ["model"], issue: "say either the model or the version to run" }]
      : []
  )
)

const Prediction = Schema.Struct({
  id: Schema.String.check(Schema.isPattern(/^[\w-]{1,128}$/)),
  status: Schema.Literals(["starting", "processing", "succeeded", "failed", "canceled", "aborted"]),
  output: Schema.optionalKey(Schema.Unknown),
  error: Schema.optionalKey(Schema.Unknown),
  logs: Schema.optionalKey(Schema.NullOr(Schema.String)),
  metrics: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown))
})
type Prediction = typeof Prediction.Type

/** Files that its API takes, in bytes. */
const File = Schema.Struct({ urls: Schema.Struct({ get: Schema.String }) })
const largestFile = 100 * 1024 * 1024
/** A smaller one goes with the request; in bytes, as Replicate advises. */
const largestInline = 256 * 1024

/** How far the last bar in a log is: most models draw one. */
const percentIn = (logs: string | null | undefined): number | undefined => {
  const bars = (logs ?? "").slice(-4_000).matchAll(/(\d{1,3})%\|/g)
  const last = [...bars].at(-1)?.[1]
  return last === undefined ? undefined : Math.min(100, Number(last))
}

const cancelled = new ConnectorFailure({
  kind: "ServiceUnavailable",
  message: "the prediction was cancelled at Replicate"
})

/** What an ended prediction means; none while it runs. */
const ending = (prediction: Prediction): Polling.Looked<Prediction> => {
  switch (prediction.status) {
    case "succeeded":
      return Option.some(Effect.succeed(prediction))
    case "starting":
    case "processing":
      return Option.none()
    case "failed":
      return Option.some(Effect.fail(ModelFailure.make("the prediction", prediction.error)))
    case "canceled":
    case "aborted":
      return Option.some(Effect.fail(cancelled))
  }
}

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const base = settings.REPLICATE_BASE_URL
  const services = yield* Effect.context<ConnectorServices>()
  const service = yield* HttpService.make({
    name: "Replicate",
    timeout: Duration.seconds(settings.REPLICATE_TIMEOUT_SECONDS),
    maxRetries: settings.REPLICATE_MAX_RETRIES
  })
  const authorized = HttpClientRequest.bearerToken(settings.REPLICATE_API_TOKEN)
  const get = (path: string) => authorized(HttpClientRequest.get(`${base}${path}`))
  const post = (path: string) => authorized(HttpClientRequest.post(`${base}${path}`))

  const upload = Effect.fnUntraced(function* (file: ReadyFile) {
    if (file.content.size <= largestInline) return yield* GivenAssets.dataUrl(file)
    const form = new FormData()
    form.append("content", file.content, file.name)
    const request = HttpClientRequest.bodyFormData(post("/files"), form)
    return (yield* service.json(request, File, file.sentWithin)).urls.get
  })

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const payload = yield* Settings.decodePayload(Payload, job.payload)
    const { input, model, version } = payload
    let farthest = 0
    const done = yield* NotedWork.make({
      job,
      key: RequestKey.make(job, { replicate: { input, model, version } }),
      what: "prediction",
      prepare: GivenAssets.place("input", input, largestFile, upload),
      submit: (placed) =>
        service.json(
          model === undefined
            ? HttpClientRequest.bodyJsonUnsafe(post("/predictions"), { version, input: placed })
            : HttpClientRequest.bodyJsonUnsafe(post(`/models/${model}/predictions`), { input: placed }),
          Prediction
        ),
      retrieve: (id) => service.json(get(`/predictions/${id}`), Prediction),
      cancel: (id) => service.bytes(post(`/predictions/${id}/cancel`)),
      ending,
      seen: ({ id, logs, status }) => {
        farthest = Math.max(farthest, percentIn(logs) ?? 0)
        // The id stands there for people who want to look it up.
        return report({ percent: farthest, message: `prediction ${id}: ${status}` })
      },
      every: Duration.millis(settings.REPLICATE_POLL_INTERVAL_MS)
    })
    const saved =
      payload.save_assets === false ? { output: done.output, assets: [] } : yield* OutputFiles.save(job, done.output)
    return { prediction_id: done.id, ...saved, ...(done.metrics === undefined ? {} : { metrics: done.metrics }) }
  })

  return {
    health: Effect.asVoid(service.bytes(get("/account"))),
    process: (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) =>
      Effect.provideContext(process(job, report), services),
    max_concurrent_jobs: settings.REPLICATE_MAX_CONCURRENT_JOBS
  }
})

export const connector: Connector = {
  name,
  variables: {
    REPLICATE_API_TOKEN: "${REPLICATE_API_TOKEN}",
    REPLICATE_BASE_URL: "${REPLICATE_BASE_URL:-https://api.replicate.com/v1}",
    REPLICATE_TIMEOUT_SECONDS: "${REPLICATE_TIMEOUT_SECONDS:-60}",
    REPLICATE_MAX_RETRIES: "${REPLICATE_MAX_RETRIES:-3}",
    REPLICATE_POLL_INTERVAL_MS: "${REPLICATE_POLL_INTERVAL_MS:-1000}",
    REPLICATE_MAX_CONCURRENT_JOBS: "${REPLICATE_MAX_CONCURRENT_JOBS:-5}"
  },
  acquire: (settings) => Effect.flatMap(Settings.decode(name, Variables, settings), make)
}
