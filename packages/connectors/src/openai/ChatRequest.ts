/** A chat request as a job may make it: the fields of the API, and no others. */
import { Schema } from "effect"
import { model } from "./OpenAISettings.ts"

const between = (minimum: number, maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum, maximum }))
const tokens = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000_000 }))
const text = (most: number) => Schema.String.check(Schema.isMaxLength(most))
const part = Schema.Record(Schema.String, Schema.Unknown)

export const Message = Schema.Struct({
  role: Schema.Literals(["developer", "system", "user", "assistant", "tool", "function"]),
  content: Schema.optionalKey(
    Schema.NullOr(Schema.Union([Schema.String, Schema.Array(part).check(Schema.isMinLength(1))]))
  ),
  name: Schema.optionalKey(text(256)),
  refusal: Schema.optionalKey(Schema.NullOr(Schema.String)),
  tool_calls: Schema.optionalKey(Schema.Array(part)),
  tool_call_id: Schema.optionalKey(text(256)),
  function_call: Schema.optionalKey(part),
  audio: Schema.optionalKey(part)
})

/** What does not depend on how the conversation is given. */
export const options = {
  model: Schema.optionalKey(model),
  max_tokens: Schema.optionalKey(tokens),
  max_completion_tokens: Schema.optionalKey(tokens),
  temperature: Schema.optionalKey(between(0, 2)),
  top_p: Schema.optionalKey(between(0, 1)),
  frequency_penalty: Schema.optionalKey(between(-2, 2)),
  presence_penalty: Schema.optionalKey(between(-2, 2)),
  seed: Schema.optionalKey(Schema.Int),
  stop: Schema.optionalKey(
    Schema.Union([text(1_000), Schema.Array(text(1_000)).check(Schema.isMinLength(1), Schema.isMaxLength(4))])
  ),
  reasoning_effort: Schema.optionalKey(text(32)),
  verbosity: Schema.optionalKey(text(32)),
  save_assets: Schema.optionalKey(Schema.Boolean)
}

export const ChatRequest = Schema.Struct({
  ...options,
  messages: Schema.Array(Message).check(Schema.isMinLength(1)),
  logit_bias: Schema.optionalKey(Schema.Record(Schema.String, between(-100, 100))),
  response_format: Schema.optionalKey(part),
  tools: Schema.optionalKey(Schema.Array(part)),
  tool_choice: Schema.optionalKey(Schema.Union([text(32), part])),
  parallel_tool_calls: Schema.optionalKey(Schema.Boolean),
  service_tier: Schema.optionalKey(text(32)),
  store: Schema.optionalKey(Schema.Boolean),
  metadata: Schema.optionalKey(Schema.Record(Schema.String, text(512))),
  prompt_cache_key: Schema.optionalKey(text(256)),
  safety_identifier: Schema.optionalKey(text(256)),
  user: Schema.optionalKey(text(256))
})
export type ChatRequest = typeof ChatRequest.Type
