/**
 * Makes images from text with OpenAI: in the background where the model allows it, else streamed, else directly.
 *
 * Payload: `{prompt, model?, size?, quality?, output_format?, background?, n?, …, save_assets?}`, as the image API takes
 * them. Source: document 003.
 */
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Duration, Effect, Schema } from "effect"
import * as ImageApproaches from "./openai/ImageApproaches.ts"
import * as ImageRequest from "./openai/ImageRequest.ts"
import * as OpenAIAccess from "./openai/OpenAIAccess.ts"
import * as OpenAISettings from "./openai/OpenAISettings.ts"
import * as PaidResults from "./assets/PaidResults.ts"
import * as Pictures from "./openai/Pictures.ts"
import * as RequestKey from "./protocol/RequestKey.ts"
import * as TokenUsage from "./openai/TokenUsage.ts"
import * as Settings from "./Settings.ts"

const name = "OpenAIText2ImgConnector"

const Variables = Schema.Struct({
  ...OpenAISettings.usualFields,
  ...OpenAISettings.pollingFields,
  OPENAI_IMAGE_MODEL: OpenAISettings.model,
  OPENAI_IMAGE_MODELS: Schema.String,
  OPENAI_IMAGE_SIZE: ImageRequest.Size,
  OPENAI_PARTIAL_IMAGES: Settings.integer(0, 3),
  OPENAI_RESPONSES_MODEL: OpenAISettings.model
})

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const services = yield* Effect.context<ConnectorServices>()
  const access = yield* OpenAIAccess.make(yield* OpenAISettings.account(settings, settings.OPENAI_TIMEOUT))
  const models = ImageRequest.allowed(settings.OPENAI_IMAGE_MODELS, settings.OPENAI_IMAGE_MODEL)
  const paidFor = PaidResults.make(Pictures.sizeOf)
  const draw = ImageApproaches.make(access, {
    responsesModel: settings.OPENAI_RESPONSES_MODEL,
    partialImages: settings.OPENAI_PARTIAL_IMAGES,
    every: Duration.millis(settings.OPENAI_POLL_INTERVAL_MS),
    tries: settings.OPENAI_POLL_TRIES,
    used: (usage) => TokenUsage.record(name, usage)
  })

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const payload = yield* Settings.decodePayload(ImageRequest.ImageRequest, job.payload)
    const { save_assets, size = settings.OPENAI_IMAGE_SIZE, ...request } = payload
    const model = yield* ImageRequest.modelOf(request.model, settings.OPENAI_IMAGE_MODEL, models)
    const asked = { ...request, model, size }
    const saved = yield* paidFor.through(RequestKey.make(job, asked), draw(job, asked, report), (pictures) =>
      Pictures.save(job, pictures, save_assets !== false)
    )
    return { model, size, ...saved }
  })

  return {
    health: access.health,
    process: (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) =>
      Effect.provideContext(process(job, report), services),
    max_concurrent_jobs: settings.OPENAI_MAX_CONCURRENT_JOBS
  }
})

export const connector: Connector = {
  name,
  variables: {
    ...OpenAISettings.usualVariables,
    ...OpenAISettings.pollingVariables,
    OPENAI_IMAGE_MODEL: "${OPENAI_IMAGE_MODEL:-dall-e-3}",
    OPENAI_IMAGE_MODELS: "${OPENAI_IMAGE_MODELS:-dall-e-3,dall-e-2}",
    OPENAI_IMAGE_SIZE: "${OPENAI_IMAGE_SIZE:-1024x1024}",
    OPENAI_PARTIAL_IMAGES: "${OPENAI_PARTIAL_IMAGES:-2}",
    OPENAI_RESPONSES_MODEL: "${OPENAI_RESPONSES_MODEL:-gpt-4.1}"
  },
  acquire: (settings) =>
    Effect.flatMap(
      OpenAISettings.decode(name, Variables, settings, {
        image_model: "OPENAI_IMAGE_MODEL",
        image_models: "OPENAI_IMAGE_MODELS",
        image_size: "OPENAI_IMAGE_SIZE"
      }),
      make
    )
}
