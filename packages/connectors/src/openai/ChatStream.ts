/** A chat answered in parts: what came so far, how many tokens that is, and what it is in the end. */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Effect, Schema, Stream } from "effect"
import type OpenAI from "openai"
import type { OpenAIAccess } from "./OpenAIAccess.ts"
import * as RequestKey from "../protocol/RequestKey.ts"
import * as TokenUsage from "./TokenUsage.ts"

const optionalText = Schema.optionalKey(Schema.NullOr(Schema.String))

const ToolCallPart = Schema.Struct({
  index: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }))),
  id: optionalText,
  type: optionalText,
  function: Schema.optionalKey(Schema.Struct({ name: optionalText, arguments: optionalText }))
})

const Said = Schema.Struct({
  content: optionalText,
  refusal: optionalText,
  tool_calls: Schema.optionalKey(Schema.NullOr(Schema.Array(ToolCallPart)))
})

const Chunk = Schema.Struct({
  id: optionalText,
  model: optionalText,
  choices: Schema.Array(
    Schema.Struct({
      delta: Schema.optionalKey(Schema.NullOr(Said)),
      /** In their place where it is not streamed. */
      message: Schema.optionalKey(Schema.NullOr(Said)),
      finish_reason: optionalText
    })
  ),
  usage: Schema.optionalKey(Schema.Unknown)
})
type Chunk = typeof Chunk.Type

interface ToolCall {
  readonly id: string
  readonly type: string
  readonly function: { readonly name: string; readonly arguments: string }
}

export interface ChatAnswer {
  readonly response_id: string | null
  readonly model: string
  readonly text: string
  readonly finish_reason: string
  readonly tool_calls?: ReadonlyArray<ToolCall>
  readonly usage: TokenUsage.TokenUsage | null
}

/** What has come so far. */
class Gathered {
  id: string | null = null
  model: string
  readonly texts: Array<string> = []
  refusal = ""
  readonly toolCalls = new Map<number, ToolCall>()
  finishReason: string | undefined
  usage: TokenUsage.TokenUsage | null = null
  /** Parts with content; each is about one token. */
  tokens = 0

  constructor(model: string) {
    this.model = model
  }

  add(chunk: Chunk): void {
    this.id ??= chunk.id ?? null
    this.model = chunk.model || this.model
    this.usage = TokenUsage.of(chunk.usage) ?? this.usage
    const [choice] = chunk.choices
    if (choice === undefined) return
    const { content, refusal, tool_calls } = choice.delta ?? choice.message ?? {}
    if (content) this.texts.push(content)
    this.refusal += refusal ?? ""
    for (const [at, part] of (tool_calls ?? []).entries()) {
      const index = part.index ?? at
      const before = this.toolCalls.get(index)
      this.toolCalls.set(index, {
        id: part.id || (before?.id ?? ""),
        type: part.type || (before?.type ?? "function"),
        function: {
          name: (before?.function.name ?? "") + (part.function?.name ?? ""),
          arguments: (before?.function.arguments ?? "") + (part.function?.arguments ?? "")
        }
      })
    }
    if (content || refusal || (tool_calls?.length ?? 0) > 0) this.tokens++
    this.finishReason = choice.finish_reason ?? this.finishReason
  }
}

const answerOf = (gathered: Gathered): Effect.Effect<ChatAnswer, ConnectorFailure> => {
  const { finishReason, refusal, texts, toolCalls } = gathered
  const text = texts.join("")
  if (finishReason === undefined) {
    const [kind, message] =
      gathered.id === null
        ? (["ProtocolError", "OpenAI answered what is no stream of a chat"] as const)
        : (["ServiceUnavailable", "OpenAI broke its answer off"] as const)
    return Effect.fail(new ConnectorFailure({ kind, message }))
  }
  if (finishReason === "content_filter") {
    return Effect.fail(
      new ConnectorFailure({ kind: "Rejected", message: "OpenAI's content filter stopped the answer" })
    )
  }
  if (refusal !== "" && text === "") {
    return Effect.fail(
      new ConnectorFailure({ kind: "Rejected", message: `the model refuses: ${refusal.slice(0, 500)}` })
    )
  }
  return Effect.succeed({
    response_id: gathered.id,
    model: gathered.model,
    text,
    finish_reason: finishReason,
    ...(toolCalls.size === 0 ? {} : { tool_calls: [...toolCalls.values()] }),
    usage: gathered.usage
  })
}

/**
 * Asks for a chat and gives its answer whole. Reports tokens as they come, as a share of `maxTokens` where that is
 * known.
 */
export const ask = Effect.fnUntraced(function* (
  access: OpenAIAccess,
  connector: string,
  job: ConnectorJob,
  request: Readonly<Record<string, unknown>> & { readonly model: string },
  maxTokens: number | undefined,
  report: (progress: Progress) => Effect.Effect<void>
) {
  const gathered = new Gathered(request.model)
  const body = { ...request, stream: true, stream_options: { include_usage: true } }
  const parts = access.streamed(RequestKey.make(job, body), Chunk, (client, options) =>
    client.chat.completions.create(
      body as unknown as OpenAI.Chat.Completions.ChatCompletionCreateParamsStreaming,
      options
    )
  )
  yield* Stream.runForEachArray(parts, (chunks) => {
    const before = gathered.tokens
    for (const chunk of chunks) gathered.add(chunk)
    if (gathered.tokens === before) return Effect.void
    return report({
      percent: maxTokens === undefined ? 0 : Math.min(99, (100 * gathered.tokens) / maxTokens),
      message: `${gathered.tokens} tokens`
    })
  }).pipe(
    Effect.mapError(({ failure }) => failure),
    // The answer is whole, and paid for: what went wrong after it costs at most the count of tokens.
    Effect.catchIf(
      () => gathered.finishReason !== undefined,
      ({ message }) => Effect.logDebug(`after the end of an answer: ${message}`)
    ),
    Effect.ensuring(Effect.suspend(() => TokenUsage.record(connector, gathered.usage)))
  )
  return yield* answerOf(gathered)
})
