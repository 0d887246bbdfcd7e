/** A request for images as a job may make it: the fields of the API, with the documents' words for quality. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Effect, Schema } from "effect"
import { model } from "./OpenAISettings.ts"

const word = Schema.String.check(Schema.isPattern(/^[a-z0-9_-]{1,32}$/, { expected: "a word" }))

export const Size = Schema.String.check(
  Schema.isPattern(/^(auto|[1-9]\d{1,4}x[1-9]\d{1,4})$/, { expected: "auto, or a size such as 1024x1024" })
)

export const fields = {
  prompt: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(32_000)),
  model: Schema.optionalKey(model),
  size: Schema.optionalKey(Size),
  quality: Schema.optionalKey(Schema.Literals(["standard", "hd", "low", "medium", "high", "xhigh", "max", "auto"])),
  output_format: Schema.optionalKey(Schema.Literals(["png", "webp", "jpeg"])),
  output_compression: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))),
  background: Schema.optionalKey(Schema.Literals(["transparent", "opaque", "auto"])),
  n: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10 }))),
  user: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(256))),
  save_assets: Schema.optionalKey(Schema.Boolean)
}

export const ImageRequest = Schema.Struct({
  ...fields,
  moderation: Schema.optionalKey(word),
  style: Schema.optionalKey(word)
})
export type ImageRequest = typeof ImageRequest.Type

/** Those models say `standard` and `hd`, make PNG only, and are told how to answer. */
export const isDallE = (model: string): boolean => model.startsWith("dall-e")

/** The documents' `standard` and `high`, in the words of a model. */
export const qualityFor = (model: string, quality: NonNullable<ImageRequest["quality"]>): string => {
  if (isDallE(model)) return ["hd", "high", "xhigh", "max"].includes(quality) ? "hd" : "standard"
  return quality === "standard" ? "medium" : quality === "hd" ? "high" : quality
}

/** The models that jobs may name: a list of the operator, because models cost differently. */
export const allowed = (list: string, byDefault: string): ReadonlySet<string> =>
  new Set([byDefault, ...list.split(",").map((name) => name.trim())].filter((name) => name !== ""))

/** The model of a request; refused when it is not one of those that jobs may name. */
export const modelOf = (
  asked: string | undefined,
  byDefault: string,
  models: ReadonlySet<string>
): Effect.Effect<string, ConnectorFailure> => {
  const model = asked ?? byDefault
  return models.has(model) || models.has("*")
    ? Effect.succeed(model)
    : Effect.fail(
        new ConnectorFailure({
          kind: "InvalidPayload",
          message: `model: ${model} is not one of those allowed here: ${[...models].join(", ")}`
        })
      )
}
