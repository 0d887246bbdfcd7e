/**
 * Chats with OpenAI, streamed: tokens are counted as they come.
 *
 * Payload: a chat request as the API takes it, `{messages, model?, max_completion_tokens?, temperature?, tools?, …}`; it
 * is always streamed, and one answer is made.
 */
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Effect, Schema, Struct } from "effect"
import * as ChatStream from "./openai/ChatStream.ts"
import { ChatRequest } from "./openai/ChatRequest.ts"
import * as OpenAIAccess from "./openai/OpenAIAccess.ts"
import * as OpenAISettings from "./openai/OpenAISettings.ts"
import * as Settings from "./Settings.ts"

const name = "OpenAITextConnector"

const Variables = Schema.Struct({ ...OpenAISettings.usualFields, OPENAI_TEXT_MODEL: OpenAISettings.model })

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const services = yield* Effect.context<ConnectorServices>()
  const access = yield* OpenAIAccess.make(yield* OpenAISettings.account(settings, settings.OPENAI_TIMEOUT))

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const request = Struct.omit(yield* Settings.decodePayload(ChatRequest, job.payload), ["save_assets"])
    const answer = yield* ChatStream.ask(
      access,
      name,
      job,
      { ...request, model: request.model ?? settings.OPENAI_TEXT_MODEL },
      request.max_completion_tokens ?? request.max_tokens,
      report
    )
    return { ...answer, assets: [] }
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
  variables: { ...OpenAISettings.usualVariables, OPENAI_TEXT_MODEL: "${OPENAI_TEXT_MODEL:-gpt-4.1}" },
  acquire: (settings) =>
    Effect.flatMap(OpenAISettings.decode(name, Variables, settings, { model: "OPENAI_TEXT_MODEL" }), make)
}
