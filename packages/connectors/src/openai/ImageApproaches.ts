/**
 * The three ways in which an image is made from text, in the documents' order: a response in the background that is
 * asked about, a stream with partial images, and the image API directly.
 *
 * The next way is tried only when the API did not take the request on by the one before: nothing is paid for twice.
 * What a model was refused is remembered for a while, so that not every job asks in vain. Source: document 003.
 */
import type { AssetStore } from "@muster/core/connector/AssetStore"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Clock, Duration, Effect, Schema, Stream, Struct } from "effect"
import type OpenAI from "openai"
import * as BackgroundResponse from "./BackgroundResponse.ts"
import { type ImageRequest, isDallE, qualityFor } from "./ImageRequest.ts"
import type { OpenAIAccess } from "./OpenAIAccess.ts"
import { accepted, type Refusal } from "./OpenAIFailure.ts"
import * as Pictures from "./Pictures.ts"
import * as RequestKey from "../protocol/RequestKey.ts"
import { imageIn, refusalOf, ResponseAnswer, textOf } from "./ResponseAnswer.ts"
import * as TokenUsage from "./TokenUsage.ts"

export interface ApproachSettings {
  /** The model that is asked to make an image in the background. */
  readonly responsesModel: string
  readonly partialImages: number
  readonly every: Duration.Duration
  readonly tries: number
  /** Hears of the tokens that were used, also for what became no image. */
  readonly used: (usage: TokenUsage.TokenUsage | null) => Effect.Effect<void>
}

/** What is asked for, with everything decided. */
export interface AskedImage extends Omit<ImageRequest, "model" | "size" | "save_assets"> {
  readonly model: string
  readonly size: string
}

type Report = (progress: Progress) => Effect.Effect<void>
type Approach = (
  job: ConnectorJob,
  asked: AskedImage,
  report: Report
) => Effect.Effect<Pictures.Pictures, Refusal, AssetStore>

const refusedFor = Duration.minutes(10)

const StreamEvent = Schema.Struct({
  type: Schema.optionalKey(Schema.String),
  b64_json: Schema.optionalKey(Schema.NullOr(Schema.String)),
  partial_image_index: Schema.optionalKey(Schema.Finite),
  usage: Schema.optionalKey(Schema.Unknown),
  /** Of an answer that is not streamed. */
  data: Schema.optionalKey(Pictures.ImagesAnswer.fields.data)
})

const ofProtocol = (message: string): Refusal => accepted(new ConnectorFailure({ kind: "ProtocolError", message }))

/** The parts of a request that every way of asking takes. */
const looks = ({ model, quality, size, ...asked }: AskedImage) => {
  const { background, moderation, output_compression, output_format } = asked
  return {
    model,
    size,
    ...(quality === undefined ? {} : { quality: qualityFor(model, quality) }),
    ...(background === undefined ? {} : { background }),
    ...(moderation === undefined ? {} : { moderation }),
    ...(output_compression === undefined ? {} : { output_compression }),
    ...(output_format === undefined ? {} : { output_format })
  }
}

/** The picture of a response that has ended. Asking the same again would cost again, so a refusal is final. */
const pictureOf = (answer: ResponseAnswer): Effect.Effect<Pictures.Pictures, Refusal> => {
  const pictures = (answer.output ?? []).flatMap((item): ReadonlyArray<Pictures.Picture> => {
    const base64 = imageIn(item)
    const { revised_prompt } = item
    if (base64 === undefined) return []
    return [{ image: { base64 }, ...(typeof revised_prompt === "string" ? { revised_prompt } : {}) }]
  })
  if (pictures.length === 0) {
    const said = refusalOf(answer) ?? textOf(answer)
    const message = `the model made no image${said === "" ? "" : `: ${said.slice(0, 500)}`}`
    return Effect.fail(accepted(new ConnectorFailure({ kind: "Rejected", message })))
  }
  const usage = TokenUsage.of(answer.usage)
  return Effect.succeed({ pictures, approach: "background", response_id: answer.id, usage })
}

const inBackground =
  (access: OpenAIAccess, settings: ApproachSettings): Approach =>
  (job, asked, report) => {
    const request = {
      model: settings.responsesModel,
      input: asked.prompt,
      tools: [{ type: "image_generation", ...looks(asked) }],
      tool_choice: { type: "image_generation" },
      background: true,
      store: true,
      ...(asked.user === undefined ? {} : { user: asked.user }),
      metadata: { muster_job: job.id.slice(0, 512), muster_attempt: String(job.attempt) }
    }
    const key = RequestKey.make(job, Struct.omit(request, ["metadata"]))
    const made = BackgroundResponse.make({
      job,
      key,
      submit: access.paid(key, ResponseAnswer, (client, options) =>
        client.responses.create(request as OpenAI.Responses.ResponseCreateParamsNonStreaming, options)
      ),
      retrieve: (id) => access.free(ResponseAnswer, (client, options) => client.responses.retrieve(id, {}, options)),
      cancel: (id) => access.free(Schema.Unknown, (client, options) => client.responses.cancel(id, options)),
      every: settings.every,
      tries: settings.tries,
      report,
      used: settings.used,
      told: access.told,
      isWanted: ({ output }) => (output ?? []).some((item) => imageIn(item) !== undefined)
    }).pipe(Effect.mapError((error) => (error instanceof ConnectorFailure ? accepted(error) : error)))
    return Effect.flatMap(made, pictureOf)
  }

const streamed =
  (access: OpenAIAccess, settings: ApproachSettings): Approach =>
  (job, asked, report) => {
    const request = {
      prompt: asked.prompt,
      ...looks(asked),
      ...(asked.user === undefined ? {} : { user: asked.user }),
      stream: true,
      partial_images: settings.partialImages
    }
    const events = access.streamed(RequestKey.make(job, request), StreamEvent, (client, options) =>
      client.images.generate(request as unknown as OpenAI.Images.ImageGenerateParamsStreaming, options)
    )
    let made: Pictures.Pictures | undefined
    let used: TokenUsage.TokenUsage | null = null
    const hear = Stream.runForEach(events, ({ b64_json, data, partial_image_index, type, usage }) => {
      used = TokenUsage.of(usage) ?? used
      if (data !== undefined) {
        return Effect.map(Effect.mapError(Pictures.ofAnswer({ data, usage }, "direct"), accepted), (whole) => {
          made = whole
        })
      }
      if (type === "image_generation.completed" && b64_json) {
        made = { pictures: [{ image: { base64: b64_json } }], approach: "stream", usage: TokenUsage.of(usage) }
      }
      if (type !== "image_generation.partial_image") return Effect.void
      const partial = Math.max(0, Math.min(settings.partialImages, (partial_image_index ?? 0) + 1))
      return report({
        percent: (100 * partial) / (settings.partialImages + 1),
        message: `partial image ${partial} of ${settings.partialImages}`
      })
    })
    // An image that has come is whole, and paid for, whatever goes wrong after it.
    const heard = Effect.catchIf(
      Effect.ensuring(
        hear,
        Effect.suspend(() => settings.used(used))
      ),
      () => made !== undefined,
      ({ failure }) => Effect.logDebug(`after an image: ${failure.message}`)
    )
    return Effect.flatMap(heard, () =>
      made === undefined ? Effect.fail(ofProtocol("OpenAI's stream ended without an image")) : Effect.succeed(made)
    )
  }

const direct =
  (access: OpenAIAccess, { used }: ApproachSettings): Approach =>
  (job, asked) => {
    const { model, n, prompt, style, user } = asked
    const request = {
      prompt,
      ...looks(asked),
      ...(n === undefined ? {} : { n }),
      ...(style === undefined ? {} : { style }),
      ...(user === undefined ? {} : { user }),
      ...(isDallE(model) ? { response_format: "b64_json" } : {})
    }
    return access
      .paid(RequestKey.make(job, request), Pictures.ImagesAnswer, (client, options) =>
        client.images.generate(request as OpenAI.Images.ImageGenerateParamsNonStreaming, options)
      )
      .pipe(
        Effect.tap(({ usage }) => used(TokenUsage.of(usage))),
        Effect.flatMap((answer) => Effect.mapError(Pictures.ofAnswer(answer, "direct"), accepted))
      )
  }

/** Makes images, by the first way that the API takes. */
export const make = (access: OpenAIAccess, settings: ApproachSettings) => {
  const ways = {
    background: inBackground(access, settings),
    stream: streamed(access, settings),
    direct: direct(access, settings)
  }
  type Way = keyof typeof ways
  const order: ReadonlyArray<Way> = ["background", "stream", "direct"]
  /** Until when a way is not asked of a model again. */
  const refused = new Map<string, number>()
  const nameOf = (way: Way, model: string) => `${way} ${model}`

  return Effect.fnUntraced(function* (job: ConnectorJob, asked: AskedImage, report: Report) {
    const now = yield* Clock.currentTimeMillis
    const open = order.filter(
      (way) =>
        way === "direct" ||
        // The first two make one image, and know nothing of a style.
        ((asked.n ?? 1) === 1 && asked.style === undefined && (refused.get(nameOf(way, asked.model)) ?? 0) <= now)
    )
    const inVain: Array<Way> = []
    for (const way of open) {
      const made = yield* Effect.result(ways[way](job, asked, report))
      if (made._tag === "Success") {
        // It was the way that was refused, not the request.
        for (const earlier of inVain) refused.set(nameOf(earlier, asked.model), now + Duration.toMillis(refusedFor))
        return made.success
      }
      const { failure, isUnaccepted, isUnsent } = made.failure
      if (!isUnaccepted || isUnsent || way === "direct") return yield* failure
      yield* Effect.logDebug(`OpenAI does not make ${asked.model} images by ${way}: ${failure.message}`)
      inVain.push(way)
    }
    return yield* new ConnectorFailure({ kind: "ProtocolError", message: "there is no way to make an image" })
  })
}
