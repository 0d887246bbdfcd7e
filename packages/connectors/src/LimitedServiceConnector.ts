/**
 * Runs jobs on a service that can do two things: say that it lives, and run what it is sent, answering when that is
 * done. It tells nothing in between and cannot be stopped: what it has begun runs to its end, so interrupting a job
 * only lets go of it, and a job whose answer was lost runs once more when it is tried again.
 *
 * Payload: any JSON object, sent as it is, without `save_assets`.
 */
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Duration, Effect, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import * as OutputFiles from "./assets/OutputFiles.ts"
import * as HttpService from "./protocol/HttpService.ts"
import * as Settings from "./Settings.ts"

const name = "LimitedServiceConnector"

const path = Schema.String.check(
  Schema.isPattern(/^\/[^\s?#]{0,500}$/, { expected: "a path that begins with a slash" })
)

const Variables = Schema.Struct({
  /** Of the simulated service on this machine, which is talked to when there is no URL. */
  SIMULATION_HTTP_PORT: Settings.integer(1, 65_535),
  LIMITED_SERVICE_URL: Schema.Union([Schema.Literal(""), Settings.httpUrl]),
  LIMITED_SERVICE_HEALTH_PATH: path,
  LIMITED_SERVICE_RUN_PATH: path,
  /** The client waits an hour for an answer to begin. */
  LIMITED_SERVICE_TIMEOUT_SECONDS: Settings.integer(1, 3_600),
  LIMITED_SERVICE_MAX_CONCURRENT_JOBS: Settings.integer(1, 1_000),
  HTTP_TIMEOUT_SECONDS: Settings.integer(1, 3_600),
  HTTP_MAX_RETRIES: Settings.integer(0, 10)
})

const Payload = Schema.Record(Schema.String, Schema.Unknown)
const SaveAssets = Schema.Struct({ save_assets: Schema.optionalKey(Schema.Boolean) })

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const { LIMITED_SERVICE_URL, SIMULATION_HTTP_PORT } = settings
  const base = LIMITED_SERVICE_URL === "" ? `http://127.0.0.1:${SIMULATION_HTTP_PORT}` : LIMITED_SERVICE_URL
  const services = yield* Effect.context<ConnectorServices>()
  const common = { name: "the limited service", maxRetries: settings.HTTP_MAX_RETRIES }
  const asked = yield* HttpService.make({ ...common, timeout: Duration.seconds(settings.HTTP_TIMEOUT_SECONDS) })
  const worked = yield* HttpService.make({
    ...common,
    timeout: Duration.seconds(settings.LIMITED_SERVICE_TIMEOUT_SECONDS),
    // To have it done again would bring the same.
    tooLong: "InvalidPayload"
  })

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const payload = yield* Settings.decodePayload(Payload, job.payload)
    const { save_assets: said, ...request } = payload
    const { save_assets = true } = yield* Settings.decodePayload(
      SaveAssets,
      said === undefined ? {} : { save_assets: said }
    )
    yield* report({ percent: 0, message: "running; this service does not say how far it is" })
    const answer = yield* worked.json(
      HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.post(`${base}${settings.LIMITED_SERVICE_RUN_PATH}`), request),
      Schema.Unknown
    )
    return save_assets ? yield* OutputFiles.save(job, answer) : { output: answer, assets: [] }
  })

  return {
    health: Effect.asVoid(asked.bytes(HttpClientRequest.get(`${base}${settings.LIMITED_SERVICE_HEALTH_PATH}`))),
    process: (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) =>
      Effect.provideContext(process(job, report), services),
    max_concurrent_jobs: settings.LIMITED_SERVICE_MAX_CONCURRENT_JOBS
  }
})

export const connector: Connector = {
  name,
  variables: {
    SIMULATION_HTTP_PORT: "${SIMULATION_HTTP_PORT:-8299}",
    LIMITED_SERVICE_URL: "${LIMITED_SERVICE_URL:-}",
    LIMITED_SERVICE_HEALTH_PATH: "${LIMITED_SERVICE_HEALTH_PATH:-/health}",
    LIMITED_SERVICE_RUN_PATH: "${LIMITED_SERVICE_RUN_PATH:-/run}",
    LIMITED_SERVICE_TIMEOUT_SECONDS: "${LIMITED_SERVICE_TIMEOUT_SECONDS:-300}",
    LIMITED_SERVICE_MAX_CONCURRENT_JOBS: "${LIMITED_SERVICE_MAX_CONCURRENT_JOBS:-1}",
    HTTP_TIMEOUT_SECONDS: "${HTTP_TIMEOUT_SECONDS:-30}",
    HTTP_MAX_RETRIES: "${HTTP_MAX_RETRIES:-3}"
  },
  acquire: (settings) => Effect.flatMap(Settings.decode(name, Variables, settings), make)
}
