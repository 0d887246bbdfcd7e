/** An answer of the Responses API: whether it has ended, and what is in it. Source: its public description. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { DateTime, Effect, Option, Schema } from "effect"
import type * as Polling from "../protocol/Polling.ts"
import { ofSaid, saidIn } from "./OpenAIFailure.ts"

const Item = Schema.Record(Schema.String, Schema.Unknown)

export const ResponseAnswer = Schema.Struct({
  id: Schema.String.check(Schema.isPattern(/^[\w-]{1,256}$/)),
  model: Schema.optionalKey(Schema.NullOr(Schema.String)),
  status: Schema.optionalKey(
    Schema.NullOr(Schema.Literals(["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]))
  ),
  output: Schema.optionalKey(Schema.NullOr(Schema.Array(Item))),
  error: Schema.optionalKey(Schema.Unknown),
  incomplete_details: Schema.optionalKey(
    Schema.NullOr(Schema.Struct({ reason: Schema.optionalKey(Schema.NullOr(Schema.String)) }))
  ),
  usage: Schema.optionalKey(Schema.Unknown)
})
export type ResponseAnswer = typeof ResponseAnswer.Type

const failed = (failure: ConnectorFailure): Polling.Looked<ResponseAnswer> => Option.some(Effect.fail(failure))

/** What an answer means; none while the work goes on. An answer without a status is one that has ended. */
export const ending = (answer: ResponseAnswer, now: DateTime.Utc): Polling.Looked<ResponseAnswer> => {
  switch (answer.status) {
    case "queued":
    case "in_progress":
      return Option.none()
    case "failed":
      return failed(ofSaid(saidIn(answer.error), now))
    case "cancelled":
      return failed(
        new ConnectorFailure({ kind: "ServiceUnavailable", message: `response ${answer.id} was cancelled at OpenAI` })
      )
    case "incomplete":
      return answer.incomplete_details?.reason === "content_filter"
        ? failed(new ConnectorFailure({ kind: "Rejected", message: "OpenAI's content filter stopped the response" }))
        : Option.some(Effect.succeed(answer))
    default:
      return Option.some(Effect.succeed(answer))
  }
}

type Content = Readonly<Record<string, unknown>>

const contentsOf = (answer: ResponseAnswer): ReadonlyArray<Content> =>
  (answer.output ?? []).flatMap(({ content }) =>
    Array.isArray(content) ? content.filter((part): part is Content => typeof part === "object" && part !== null) : []
  )

/** All text of the output. */
export const textOf = (answer: ResponseAnswer): string =>
  contentsOf(answer)
    .flatMap(({ text, type }) => (typeof text === "string" && type !== "refusal" ? [text] : []))
    .join("\n")

/** What the model said instead of an answer. */
export const refusalOf = (answer: ResponseAnswer): string | undefined =>
  contentsOf(answer).flatMap(({ refusal }) => (typeof refusal === "string" ? [refusal] : []))[0]

/** The image in an item of the output, in base64. */
export const imageIn = (item: Readonly<Record<string, unknown>>): string | undefined => {
  const { result, type } = item
  return type === "image_generation_call" && typeof result === "string" && result !== "" ? result : undefined
}
