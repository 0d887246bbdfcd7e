/**
 * Runs jobs on the simulated service over HTTP, `muster simulation http`: submits, asks until they end, and cancels them
 * when they are not wanted any more.
 *
 * Payload: `{duration_ms?, steps?, fail?}` as SimulationConnector takes it, and `{delay_ms?, late_ms?, hang?, drop?}`
 * where SIMULATION_TEST_MODE is true.
 */
import type { Connector, ConnectorJob } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Duration, Effect, Exit, Option, Schema } from "effect"
import { HttpClientRequest } from "effect/http"
import * as HttpService from "./protocol/HttpService.ts"
import * as Polling from "./protocol/Polling.ts"
import * as Settings from "./Settings.ts"
import * as SimulationJob from "./simulation/SimulationJob.ts"
import { Work } from "./simulation/WorkMessages.ts"

const name = "SimulationHttpConnector"

const Variables = Schema.Struct({
  SIMULATION_HTTP_PORT: Settings.integer(1, 65_535),
  /** Instead of the port on this machine, when it is not empty. */
  SIMULATION_HTTP_URL: Schema.Union([Schema.Literal(""), Settings.httpUrl]),
  HTTP_TIMEOUT_SECONDS: Settings.integer(1, 3_600),
  HTTP_MAX_RETRIES: Settings.integer(0, 10),
  SIMULATION_POLL_INTERVAL_MS: Settings.integer(5, 600_000),
  ...SimulationJob.Variables.fields
})

const Health = Schema.Struct({ status: Schema.Literal("ok") })

const cancelWithin = Duration.seconds(5)

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const { HTTP_MAX_RETRIES, SIMULATION_HTTP_PORT, SIMULATION_HTTP_URL } = settings
  const base = SIMULATION_HTTP_URL === "" ? `http://127.0.0.1:${SIMULATION_HTTP_PORT}` : SIMULATION_HTTP_URL
  const service = yield* HttpService.make({
    name: "the simulated service",
    timeout: Duration.seconds(settings.HTTP_TIMEOUT_SECONDS),
    maxRetries: HTTP_MAX_RETRIES
  })

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const request = yield* SimulationJob.requestOf(settings, job.payload)
    const path = `${base}/jobs/${encodeURIComponent(SimulationJob.workIdOf(job))}`
    const cancel = service.bytes(HttpClientRequest.delete(path))

    const look = (work: Work) =>
      Effect.as(report(SimulationJob.progressOf(work)), Option.fromUndefinedOr(SimulationJob.ending(work)))
    const ask = service.json(HttpClientRequest.get(path), Work).pipe(
      Effect.flatMap(look),
      // It answers, and has not heard of it.
      Effect.catchIf(
        ({ kind }) => kind === "InvalidPayload",
        () => Effect.succeed(Option.some(Effect.fail(SimulationJob.forgotten)))
      )
    )

    // The id is ours: to submit again finds what was taken on before, even when its answer was lost.
    const submit = service.json(HttpClientRequest.bodyJsonUnsafe(HttpClientRequest.put(path), request), Work)
    return yield* submit.pipe(
      Effect.andThen(
        Polling.untilDone({
          ask,
          every: Duration.millis(settings.SIMULATION_POLL_INTERVAL_MS),
          // Whatever ends in between, it is cancelled once, below.
          cancel: Effect.void,
          what: "the work"
        })
      ),
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) ? Effect.void : cancel.pipe(Effect.timeout(cancelWithin), Effect.ignore({ log: "Debug" }))
      )
    )
  })

  return {
    health: Effect.asVoid(service.json(HttpClientRequest.get(`${base}/health`), Health)),
    process,
    max_concurrent_jobs: settings.SIMULATION_MAX_CONCURRENT_JOBS
  }
})

export const connector: Connector = {
  name,
  variables: {
    SIMULATION_HTTP_PORT: "${SIMULATION_HTTP_PORT:-8299}",
    SIMULATION_HTTP_URL: "${SIMULATION_HTTP_URL:-}",
    HTTP_TIMEOUT_SECONDS: "${HTTP_TIMEOUT_SECONDS:-30}",
    HTTP_MAX_RETRIES: "${HTTP_MAX_RETRIES:-3}",
    SIMULATION_POLL_INTERVAL_MS: "${SIMULATION_POLL_INTERVAL_MS:-250}",
    ...SimulationJob.variables
  },
  acquire: (settings) => Effect.flatMap(Settings.decode(name, Variables, settings), make)
}
