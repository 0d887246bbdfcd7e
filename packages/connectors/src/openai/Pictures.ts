/** Images as the API answers them, and how they are kept. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import { Effect, Schema } from "effect"
import { saveBytes, saveUrl } from "../assets/Saving.ts"
import * as TokenUsage from "./TokenUsage.ts"

/** Each may have to wait for a CDN. */
const savedAtOnce = 4

export interface Picture {
  /** Its content in base64, or where it is. */
  readonly image: { readonly base64: string } | { readonly url: string }
  /** The prompt as the provider rewrote it. */
  readonly revised_prompt?: string
}

/** Images that were made, and what is known of it. */
export interface Pictures {
  readonly pictures: ReadonlyArray<Picture>
  readonly approach: string
  readonly response_id?: string
  readonly usage: TokenUsage.TokenUsage | null
}

export const sizeOf = ({ pictures }: Pictures): number =>
  pictures.reduce((sum, { image }) => sum + ("base64" in image ? image.base64.length : 1_000), 1_000)

/** The answer of the image API. */
export const ImagesAnswer = Schema.Struct({
  data: Schema.Array(
    Schema.Struct({
      b64_json: Schema.optionalKey(Schema.NullOr(Schema.String)),
      url: Schema.optionalKey(Schema.NullOr(Schema.String)),
      revised_prompt: Schema.optionalKey(Schema.NullOr(Schema.String))
    })
  ).check(Schema.isMinLength(1)),
  usage: Schema.optionalKey(Schema.Unknown)
})

export const ofAnswer = (
  answer: typeof ImagesAnswer.Type,
  approach: string
): Effect.Effect<Pictures, ConnectorFailure> => {
  const pictures = answer.data.flatMap(({ b64_json, revised_prompt, url }): ReadonlyArray<Picture> => {
    const image = b64_json ? { base64: b64_json } : url ? { url } : undefined
    return image === undefined ? [] : [{ image, ...(revised_prompt ? { revised_prompt } : {}) }]
  })
  return pictures.length === 0
    ? Effect.fail(new ConnectorFailure({ kind: "ProtocolError", message: "OpenAI answered images without content" }))
    : Effect.succeed({ pictures, approach, usage: TokenUsage.of(answer.usage) })
}

/** Keeps the images; a job that wants none kept is only told about them. */
export const save = Effect.fnUntraced(function* (job: ConnectorJob, made: Pictures, saveAssets: boolean) {
  const assets = saveAssets
    ? yield* Effect.forEach(
        made.pictures,
        ({ image }) =>
          "base64" in image
            ? saveBytes(job, "image", Buffer.from(image.base64, "base64"))
            : Effect.map(saveUrl(job, image.url), (asset) => ({ ...asset, type: "image" as const })),
        { concurrency: savedAtOnce }
      )
    : []
  return {
    approach: made.approach,
    ...(made.response_id === undefined ? {} : { response_id: made.response_id }),
    images: made.pictures.map(({ revised_prompt }, at) => ({
      asset: assets[at]?.file_name ?? null,
      ...(revised_prompt === undefined ? {} : { revised_prompt })
    })),
    usage: made.usage,
    assets
  }
})
