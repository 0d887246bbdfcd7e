/**
 * Any request of OpenAI's Responses API, by plain HTTP: sent as it is, asked about until it has ended, its text and
 * images kept.
 *
 * Payload: the request, bare or in `dynamic_json`, and `save_assets?`. The model is `gpt-4.1` when none is named. It is made
 * in the background unless it says otherwise, so that a worker that is stopped can stop it. Source: document 003.
 */
import type { Asset } from "@muster/core/connector/Asset"
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Duration, Effect, Schema, Struct } from "effect"
import { HttpClientRequest } from "effect/http"
import { saveBytes } from "./assets/Saving.ts"
import * as BackgroundResponse from "./openai/BackgroundResponse.ts"
import * as DynamicJson from "./openai/DynamicJson.ts"
import * as OpenAIAccess from "./openai/OpenAIAccess.ts"
import { accepted } from "./openai/OpenAIFailure.ts"
import * as OpenAISettings from "./openai/OpenAISettings.ts"
import * as PaidResults from "./assets/PaidResults.ts"
import * as RequestKey from "./protocol/RequestKey.ts"
import { imageIn, ResponseAnswer, textOf } from "./openai/ResponseAnswer.ts"
import * as SharedBudget from "./openai/SharedBudget.ts"
import * as TokenUsage from "./openai/TokenUsage.ts"

const name = "OpenAIResponsesConnector"

const Variables = Schema.Struct({
  ...OpenAISettings.fields,
  ...OpenAISettings.pollingFields,
  OPENAI_TIMEOUT_SECONDS: OpenAISettings.seconds,
  OPENAI_RESPONSES_MAX_CONCURRENT_JOBS: OpenAISettings.concurrency,
  OPENAI_RESPONSES_MODEL: OpenAISettings.model
})

type Request = Readonly<Record<string, unknown>>

/** What the API can make in the background: an answer that it keeps, and that nobody wanted in another way. */
const mayBeInBackground = (request: Request): boolean =>
  request["background"] === undefined && request["store"] !== false

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const services = yield* Effect.context<ConnectorServices>()
  const account = yield* OpenAISettings.account(settings, settings.OPENAI_TIMEOUT_SECONDS)
  const service = yield* OpenAIAccess.http(account)
  const budget = yield* SharedBudget.make(account.budget)
  const authorized = OpenAIAccess.authorized(account)
  const paidFor = PaidResults.make((answer: ResponseAnswer) => JSON.stringify(answer).length)
  const url = `${account.baseUrl}/responses`

  const post = (job: ConnectorJob, request: Request) =>
    HttpClientRequest.post(url).pipe(
      authorized,
      HttpClientRequest.setHeader("idempotency-key", RequestKey.make(job, request)),
      HttpClientRequest.bodyJsonUnsafe(request),
      (post) => service.json(post, ResponseAnswer),
      Effect.mapError(accepted),
      budget.taking,
      Effect.mapError(({ failure }) => failure)
    )

  /** Made while we wait: nobody could cancel it afterwards, so that it is broken off instead. */
  const inForeground = (job: ConnectorJob, request: Request) => Effect.interruptible(post(job, request))

  /** A service that knows no background is asked again without: it has not taken the request on. */
  const submit = (job: ConnectorJob, request: Request) =>
    mayBeInBackground(request)
      ? post(job, { ...request, background: true }).pipe(
          Effect.catchIf(
            ({ kind }) => kind === "InvalidPayload",
            () => inForeground(job, request)
          )
        )
      : request["background"] === true
        ? post(job, request)
        : inForeground(job, request)

  const respond = Effect.fnUntraced(function* (
    job: ConnectorJob,
    request: Request,
    report: (progress: Progress) => Effect.Effect<void>
  ) {
    return yield* BackgroundResponse.make({
      job,
      key: RequestKey.make(job, request),
      submit: submit(job, request),
      retrieve: (id) => service.json(authorized(HttpClientRequest.get(`${url}/${id}`)), ResponseAnswer),
      cancel: (id) => service.bytes(authorized(HttpClientRequest.post(`${url}/${id}/cancel`))),
      every: Duration.millis(settings.OPENAI_POLL_INTERVAL_MS),
      tries: settings.OPENAI_POLL_TRIES,
      report,
      used: (usage) => TokenUsage.record(name, usage),
      told: budget.told
    })
  })

  /** The files of an answer, and its output with their names in their places. */
  const save = Effect.fnUntraced(function* (job: ConnectorJob, answer: ResponseAnswer, saveAssets: boolean) {
    const assets: Array<Asset> = []
    const text = textOf(answer)
    if (saveAssets && text !== "") assets.push(yield* saveBytes(job, "text", Buffer.from(text), "text/plain"))
    const output = yield* Effect.forEach(answer.output ?? [], (item) => {
      const image = imageIn(item)
      if (image === undefined) return Effect.succeed(item)
      if (!saveAssets) return Effect.succeed({ ...item, result: null })
      return Effect.map(saveBytes(job, "image", Buffer.from(image, "base64")), (asset) => {
        assets.push(asset)
        return { ...item, result: { asset: asset.file_name } }
      })
    })
    return {
      response_id: answer.id,
      model: answer.model ?? null,
      status: answer.status ?? "completed",
      text,
      output,
      usage: TokenUsage.of(answer.usage),
      assets
    }
  })

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const { request: asked, saveAssets } = yield* DynamicJson.request(job.payload)
    // The answer is the same whether or not it is streamed.
    const request = { model: settings.OPENAI_RESPONSES_MODEL, ...Struct.omit(asked, ["stream", "stream_options"]) }
    return yield* paidFor.through(RequestKey.make(job, request), respond(job, request, report), (answer) =>
      save(job, answer, saveAssets)
    )
  })

  return {
    health: OpenAIAccess.health(account, service),
    process: (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) =>
      Effect.provideContext(process(job, report), services),
    max_concurrent_jobs: settings.OPENAI_RESPONSES_MAX_CONCURRENT_JOBS
  }
})

export const connector: Connector = {
  name,
  variables: {
    ...OpenAISettings.variables,
    ...OpenAISettings.pollingVariables,
    OPENAI_TIMEOUT_SECONDS: "${OPENAI_TIMEOUT_SECONDS:-60}",
    OPENAI_RESPONSES_MAX_CONCURRENT_JOBS: "${OPENAI_RESPONSES_MAX_CONCURRENT_JOBS:-5}",
    OPENAI_RESPONSES_MODEL: "${OPENAI_RESPONSES_MODEL:-gpt-4.1}"
  },
  acquire: (settings) =>
    Effect.flatMap(
      OpenAISettings.decode(name, Variables, settings, {
        timeout: "OPENAI_TIMEOUT_SECONDS",
        max_concurrent_jobs: "OPENAI_RESPONSES_MAX_CONCURRENT_JOBS",
        model: "OPENAI_RESPONSES_MODEL"
      }),
      make
    )
}
