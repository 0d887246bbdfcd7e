/**
 * Makes images from images with OpenAI.
 *
 * Payload: `{prompt, image | images, mask?, model?, size?, quality?, output_format?, n?, …, save_assets?}`; an image is a
 * URL, a `data:` URL, or `{asset, job_id?}`.
 */
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Effect, Schema, Struct } from "effect"
import type OpenAI from "openai"
import * as InputImage from "./assets/InputImage.ts"
import * as ImageRequest from "./openai/ImageRequest.ts"
import * as OpenAIAccess from "./openai/OpenAIAccess.ts"
import * as OpenAISettings from "./openai/OpenAISettings.ts"
import * as PaidResults from "./assets/PaidResults.ts"
import * as Pictures from "./openai/Pictures.ts"
import * as RequestKey from "./protocol/RequestKey.ts"
import * as TokenUsage from "./openai/TokenUsage.ts"
import * as Settings from "./Settings.ts"

const name = "OpenAIImg2ImgConnector"

const Variables = Schema.Struct({
  ...OpenAISettings.usualFields,
  OPENAI_IMG2IMG_MODEL: OpenAISettings.model,
  OPENAI_IMAGE_MODELS: Schema.String,
  OPENAI_IMAGE_SIZE: ImageRequest.Size
})

/** What the API takes in one request. */
const mostImages = 16
/** All images of one request together, in bytes: they are in memory until they are sent, those of each job. */
const mostBytes = 128 * 1024 * 1024

const tooMuch = new ConnectorFailure({
  kind: "InvalidPayload",
  message: `images: together they are larger than ${mostBytes} bytes`
})

const Payload = Schema.Struct({
  ...ImageRequest.fields,
  image: Schema.optionalKey(InputImage.Given),
  images: Schema.optionalKey(
    Schema.Array(InputImage.Given).check(Schema.isMinLength(1), Schema.isMaxLength(mostImages))
  ),
  mask: Schema.optionalKey(InputImage.Given),
  input_fidelity: Schema.optionalKey(Schema.Literals(["low", "high"]))
}).check(
  Schema.makeFilter(({ image, images }) =>
    (image === undefined) === (images === undefined)
      ? [{ path: ["image"], issue: "say either the image or the images to start from" }]
      : []
  )
)

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const services = yield* Effect.context<ConnectorServices>()
  const access = yield* OpenAIAccess.make(yield* OpenAISettings.account(settings, settings.OPENAI_TIMEOUT))
  const models = ImageRequest.allowed(settings.OPENAI_IMAGE_MODELS, settings.OPENAI_IMG2IMG_MODEL)
  const paidFor = PaidResults.make(Pictures.sizeOf)

  const edit = Effect.fnUntraced(function* (key: string, model: string, payload: typeof Payload.Type) {
    const { image, images, mask, quality, ...fields } = Struct.omit(payload, ["save_assets"])
    const given = images ?? (image === undefined ? [] : [image])
    let bytes = 0
    const read = (name: string, one: InputImage.Given) =>
      Effect.tap(InputImage.read(name, one), ({ size }) => {
        bytes += size
        return bytes > mostBytes ? Effect.fail(tooMuch) : Effect.void
      })
    const files = yield* Effect.forEach(given, (one) => read("image", one))
    const maskFile = mask === undefined ? undefined : yield* read("mask", mask)
    const request = {
      ...fields,
      model,
      size: fields.size ?? settings.OPENAI_IMAGE_SIZE,
      ...(quality === undefined ? {} : { quality: ImageRequest.qualityFor(model, quality) }),
      ...(ImageRequest.isDallE(model) ? { response_format: "b64_json" } : {}),
      image: files,
      ...(maskFile === undefined ? {} : { mask: maskFile })
    }
    const answer = yield* access
      .paid(key, Pictures.ImagesAnswer, (client, options) =>
        client.images.edit(request as OpenAI.Images.ImageEditParamsNonStreaming, options)
      )
      .pipe(Effect.mapError(({ failure }) => failure))
    yield* TokenUsage.record(name, TokenUsage.of(answer.usage))
    return yield* Pictures.ofAnswer(answer, "direct")
  })

  const process = Effect.fnUntraced(function* (job: ConnectorJob) {
    const payload = yield* Settings.decodePayload(Payload, job.payload)
    const model = yield* ImageRequest.modelOf(payload.model, settings.OPENAI_IMG2IMG_MODEL, models)
    const key = RequestKey.make(job, { ...payload, model })
    const saved = yield* paidFor.through(key, edit(key, model, payload), (pictures) =>
      Pictures.save(job, pictures, payload.save_assets !== false)
    )
    return { model, size: payload.size ?? settings.OPENAI_IMAGE_SIZE, ...saved }
  })

  return {
    health: access.health,
    process: (job: ConnectorJob) => Effect.provideContext(process(job), services),
    max_concurrent_jobs: settings.OPENAI_MAX_CONCURRENT_JOBS
  }
})

export const connector: Connector = {
  name,
  variables: {
    ...OpenAISettings.usualVariables,
    // An edit is not made in the background and may take minutes; one that is not waited for may be paid for all the same.
    OPENAI_TIMEOUT: "${OPENAI_TIMEOUT:-300}",
    OPENAI_IMG2IMG_MODEL: "${OPENAI_IMG2IMG_MODEL:-gpt-image-2.5-flare}",
    OPENAI_IMAGE_MODELS: "${OPENAI_IMAGE_MODELS:-dall-e-3,dall-e-2}",
    OPENAI_IMAGE_SIZE: "${OPENAI_IMAGE_SIZE:-1024x1024}"
  },
  acquire: (settings) =>
    Effect.flatMap(
      OpenAISettings.decode(name, Variables, settings, {
        image_model: "OPENAI_IMG2IMG_MODEL",
        image_models: "OPENAI_IMAGE_MODELS",
        image_size: "OPENAI_IMAGE_SIZE"
      }),
      make
    )
}
