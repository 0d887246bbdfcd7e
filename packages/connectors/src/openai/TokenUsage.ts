/** How many tokens a call used: the several ways in which the API says it become one, in results and in metrics. */
import { Effect, Metric, Option, Schema } from "effect"

const Count = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
const optionalCount = Schema.optionalKey(Schema.NullOr(Count))
const Details = Schema.optionalKey(
  Schema.NullOr(Schema.Struct({ cached_tokens: optionalCount, reasoning_tokens: optionalCount }))
)

/** As chat calls it, and as responses and images do. */
const Said = Schema.Struct({
  prompt_tokens: optionalCount,
  completion_tokens: optionalCount,
  input_tokens: optionalCount,
  output_tokens: optionalCount,
  total_tokens: optionalCount,
  prompt_tokens_details: Details,
  completion_tokens_details: Details,
  input_tokens_details: Details,
  output_tokens_details: Details
})

export interface TokenUsage {
  readonly input_tokens: number
  readonly output_tokens: number
  readonly total_tokens: number
  /** Of the input: read from a cache of the provider. */
  readonly cached_tokens: number
  /** Of the output: spent on thinking. */
  readonly reasoning_tokens: number
}

const decode = Schema.decodeUnknownOption(Said)

/** What an answer says of its usage; null when it says nothing that can be read. */
export const of = (usage: unknown): TokenUsage | null => {
  const said = Option.getOrUndefined(decode(usage))
  if (said === undefined) return null
  const input_tokens = said.input_tokens ?? said.prompt_tokens
  const output_tokens = said.output_tokens ?? said.completion_tokens
  if (input_tokens === undefined || input_tokens === null) return null
  const input = said.input_tokens_details ?? said.prompt_tokens_details
  const output = said.output_tokens_details ?? said.completion_tokens_details
  return {
    input_tokens,
    output_tokens: output_tokens ?? 0,
    total_tokens: said.total_tokens ?? input_tokens + (output_tokens ?? 0),
    cached_tokens: input?.cached_tokens ?? 0,
    reasoning_tokens: output?.reasoning_tokens ?? 0
  }
}

const tokens = Metric.counter("muster_openai_tokens_total", {
  description: "Tokens by connector and kind; cached ones are part of the input, those of reasoning of the output",
  incremental: true
})

/** Counts them. */
export const record = (connector: string, usage: TokenUsage | null): Effect.Effect<void> =>
  usage === null
    ? Effect.void
    : Effect.forEach(
        [
          ["input", usage.input_tokens],
          ["output", usage.output_tokens],
          ["cached", usage.cached_tokens],
          ["reasoning", usage.reasoning_tokens]
        ] as const,
        ([kind, count]) => Metric.update(Metric.withAttributes(tokens, { connector, kind }), count),
        { discard: true }
      )
