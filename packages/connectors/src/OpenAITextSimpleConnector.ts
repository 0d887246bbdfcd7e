/**
 * From a prompt to a text, by OpenAI.
 *
 * Payload: `{prompt, system?, model?, max_tokens?, temperature?, …}`. The result holds the text.
 */
import type { Connector, ConnectorJob, ConnectorServices } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Effect, Schema, Struct } from "effect"
import * as ChatStream from "./openai/ChatStream.ts"
import { options } from "./openai/ChatRequest.ts"
import * as OpenAIAccess from "./openai/OpenAIAccess.ts"
import * as OpenAISettings from "./openai/OpenAISettings.ts"
import * as Settings from "./Settings.ts"

const name = "OpenAITextSimpleConnector"

const Variables = Schema.Struct({ ...OpenAISettings.usualFields, OPENAI_TEXT_MODEL: OpenAISettings.model })

const Payload = Schema.Struct({
  ...Struct.omit(options, ["max_completion_tokens"]),
  prompt: Schema.NonEmptyString,
  system: Schema.optionalKey(Schema.NonEmptyString)
})

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const services = yield* Effect.context<ConnectorServices>()
  const access = yield* OpenAIAccess.make(yield* OpenAISettings.account(settings, settings.OPENAI_TIMEOUT))

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const payload = yield* Settings.decodePayload(Payload, job.payload)
    const { max_tokens, prompt, system, ...rest } = Struct.omit(payload, ["save_assets"])
    const request = {
      ...rest,
      model: rest.model ?? settings.OPENAI_TEXT_MODEL,
      messages: [
        ...(system === undefined ? [] : [{ role: "system", content: system }]),
        { role: "user", content: prompt }
      ],
      ...(max_tokens === undefined ? {} : { max_completion_tokens: max_tokens })
    }
    const answer = yield* ChatStream.ask(access, name, job, request, max_tokens, report)
    return { ...Struct.omit(answer, ["tool_calls"]), assets: [] }
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
