/**
 * A chat request to OpenAI as it is: nothing of it is looked at but the model, for which there is a default. For what
 * OpenAITextConnector does not know, such as several answers, audio, or fields that are newer than this code.
 *
 * Payload: the request, bare or in `dynamic_json`. It is not streamed; the result holds the choices as they came.
 */
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { Effect, Schema, Struct } from "effect"
import type OpenAI from "openai"
import * as DynamicJson from "./openai/DynamicJson.ts"
import * as OpenAIAccess from "./openai/OpenAIAccess.ts"
import * as OpenAISettings from "./openai/OpenAISettings.ts"
import * as RequestKey from "./protocol/RequestKey.ts"
import * as TokenUsage from "./openai/TokenUsage.ts"

const name = "OpenAIConnector"

const Variables = Schema.Struct({ ...OpenAISettings.usualFields, OPENAI_TEXT_MODEL: OpenAISettings.model })

const Completion = Schema.Struct({
  id: Schema.optionalKey(Schema.NullOr(Schema.String)),
  model: Schema.optionalKey(Schema.NullOr(Schema.String)),
  choices: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)),
  usage: Schema.optionalKey(Schema.Unknown)
})

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const services = yield* Effect.context<ConnectorServices>()
  const access = yield* OpenAIAccess.make(yield* OpenAISettings.account(settings, settings.OPENAI_TIMEOUT))

  const process = Effect.fnUntraced(function* (job: ConnectorJob) {
    const { request: asked } = yield* DynamicJson.request(job.payload)
    if (!Array.isArray(asked["messages"])) {
      return yield* new ConnectorFailure({ kind: "InvalidPayload", message: "messages: Missing key" })
    }
    const request = { model: settings.OPENAI_TEXT_MODEL, ...Struct.omit(asked, ["stream_options"]), stream: false }
    const answer = yield* access
      .paid(RequestKey.make(job, request), Completion, (client, options) =>
        client.chat.completions.create(
          request as unknown as OpenAI.Chat.Completions.ChatCompletionCreateParamsNonStreaming,
          options
        )
      )
      .pipe(Effect.mapError(({ failure }) => failure))
    const usage = TokenUsage.of(answer.usage)
    yield* TokenUsage.record(name, usage)
    return {
      response_id: answer.id ?? null,
      model: answer.model ?? request.model,
      choices: answer.choices,
      usage,
      assets: []
    }
  })

  return {
    health: access.health,
    process: (job: ConnectorJob) => Effect.provideContext(process(job), services),
    max_concurrent_jobs: settings.OPENAI_MAX_CONCURRENT_JOBS
  }
})

export const connector: Connector = {
  name,
  variables: { ...OpenAISettings.usualVariables, OPENAI_TEXT_MODEL: "${OPENAI_TEXT_MODEL:-gpt-4.1}" },
  acquire: (settings) =>
    Effect.flatMap(OpenAISettings.decode(name, Variables, settings, { model: "OPENAI_TEXT_MODEL" }), make)
}
