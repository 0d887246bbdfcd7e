import { assert, describe, it } from "@effect/vitest"
import * as Finding from "@muster/core/mapping/Finding"
import { KnownMapping } from "@muster/core/mapping/KnownMapping"
import { Effect, Layer } from "effect"
import { ask, server } from "./TestServer.ts"

const known = Layer.succeed(KnownMapping, {
  file: "/etc/muster/mapping.json",
  mapping: {
    workers: {
      openai: {
        services: ["chat"],
        job_service_required_map: [{ job_service_required: "openai_text", worker_service: "chat" }]
      }
    },
    services: {
      chat: {
        connector: "OpenAITextConnector",
        type: "external",
        api_config: { api_key: "sk-live-1", model: "${MODEL:-gpt-4.1}" }
      }
    }
  },
  findings: [Finding.warning(["services", "chat"], "an older shape")]
})

describe("GET /mapping", () => {
  it.effect("tells the mapping as it is written, without secrets, and what is worth a look", () =>
    Effect.gen(function* () {
      const { json, status, text } = yield* ask("GET", "/mapping")
      assert.strictEqual(status, 200)
      assert.notInclude(text, "sk-live-1")
      assert.deepStrictEqual(json.mapping.services.chat.api_config, {
        api_key: "(redacted)",
        model: "${MODEL:-gpt-4.1}"
      })
      assert.deepStrictEqual(json.findings, [{ severity: "warning", path: "services.chat", message: "an older shape" }])
    }).pipe(Effect.provide(server().pipe(Layer.provide(known))))
  )

  it.effect("says that there is none where the server has none", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* ask("GET", "/mapping")).json, { mapping: null, findings: [] })
    }).pipe(Effect.provide(server()))
  )
})
