/**
 * The OpenAI connectors against a double that others made. It does not cancel responses, stream images, tell what those
 * used, or see that a request was aborted: for that see the double in `doubles/`.
 */
import { connector as asItIs } from "@muster/connectors/OpenAIConnector"
import { connector as img2img } from "@muster/connectors/OpenAIImg2ImgConnector"
import { connector as responses } from "@muster/connectors/OpenAIResponsesConnector"
import { connector as text2img } from "@muster/connectors/OpenAIText2ImgConnector"
import { connector as text } from "@muster/connectors/OpenAITextConnector"
import { connector as simple } from "@muster/connectors/OpenAITextSimpleConnector"
import type { Connector } from "@muster/core/connector/Connector"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { startAimock } from "../../../tools/servers/testServers.ts"
import { png } from "./assets/AssetStoreSuite.ts"
import { acquire, jobOf, services } from "./ConnectorSuite.ts"

const content = "Hello from somebody else"
const usage = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12, input_tokens: 7, output_tokens: 5 }
const image = png.toString("base64")

const fixtures = [
  { match: { userMessage: "hello" }, response: { content, usage }, chunkSize: 4 },
  {
    match: { userMessage: "weather" },
    response: { toolCalls: [{ name: "weather", arguments: '{"city":"Bern"}', id: "call_7" }] }
  },
  {
    match: { endpoint: "image", userMessage: "a cat" },
    response: { image: { b64Json: image, revisedPrompt: "a tabby" } }
  },
  { match: { endpoint: "image", userMessage: "with a hat" }, response: { image: { b64Json: image } } },
  {
    match: { userMessage: "forbidden" },
    response: { status: 400, error: { message: "no", type: "invalid_request_error", code: "content_policy_violation" } }
  },
  {
    match: { userMessage: "too often" },
    response: { status: 429, retryAfter: 4, error: { message: "slow down", code: "rate_limit_exceeded" } }
  },
  {
    match: { userMessage: "out of order" },
    response: { status: 503, error: { message: "later", type: "server_error" } }
  }
]

const says = (text: string) => ({ messages: [{ role: "user", content: text }] })

interface Entry {
  readonly path: string
  readonly response: { readonly status: number }
}

const up = Effect.map(startAimock(fixtures), ({ url }) => ({
  environment: {
    OPENAI_API_KEY: "sk-any",
    OPENAI_BASE_URL: `${url}/v1`,
    OPENAI_POLL_INTERVAL_MS: "10",
    OPENAI_MAX_RETRIES: "0"
  },
  journal: Effect.promise(async () => {
    const answer = await fetch(`${url}/__aimock/journal`)
    return (await answer.json()) as ReadonlyArray<Entry>
  })
}))

interface Outcome {
  readonly text?: string
  readonly approach?: string
  readonly choices?: unknown
  readonly tool_calls?: unknown
  readonly usage?: unknown
  readonly assets: ReadonlyArray<{ readonly type: string; readonly content_type: string }>
}

const run = (connector: Connector, payload: unknown) =>
  Effect.gen(function* () {
    const double = yield* up
    const { health, process } = yield* Effect.orDie(acquire(connector, double.environment))
    yield* health
    const result = yield* Effect.result(process(jobOf(payload), () => Effect.void))
    const paths = (yield* double.journal).map(({ path, response }) => `${path} ${response.status}`)
    return { result: result as typeof result & { readonly success?: Outcome }, paths }
  })

const used = { input_tokens: 7, output_tokens: 5, total_tokens: 12, cached_tokens: 0, reasoning_tokens: 0 }

describe("OpenAI as others double it", () => {
  const cases: ReadonlyArray<
    readonly [title: string, Connector, payload: unknown, expected: Partial<Outcome>, paths: ReadonlyArray<string>]
  > = [
    ["a chat", text, says("hello"), { text: content, usage: used }, ["/v1/chat/completions 200"]],
    [
      "a chat with tools",
      text,
      { ...says("weather"), tools: [{ type: "function", function: { name: "weather" } }] },
      {
        tool_calls: [{ id: "call_7", type: "function", function: { name: "weather", arguments: '{"city":"Bern"}' } }]
      },
      ["/v1/chat/completions 200"]
    ],
    ["a prompt", simple, { prompt: "hello" }, { text: content, usage: used }, ["/v1/chat/completions 200"]],
    ["any chat", asItIs, says("hello"), { usage: used }, ["/v1/chat/completions 200"]],
    ["a response", responses, { input: "hello" }, { text: content, usage: used }, ["/v1/responses 200"]],
    [
      "an image, of a service that knows no background and does not stream",
      text2img,
      { prompt: "a cat" },
      { approach: "direct", usage: null },
      ["/v1/responses 404", "/v1/images/generations 200"]
    ],
    [
      "an image from an image",
      img2img,
      { prompt: "with a hat", image: `data:image/png;base64,${image}` },
      { approach: "direct", usage: null },
      ["/v1/images/edits 200"]
    ]
  ]
  for (const [title, connector, payload, expected, expectedPaths] of cases) {
    it.live(title, () =>
      Effect.gen(function* () {
        const { paths, result } = yield* run(connector, payload)
        const outcome = (yield* Effect.fromResult(result)) as Outcome
        for (const [name, value] of Object.entries(expected)) {
          assert.deepStrictEqual(outcome[name as keyof Outcome], value, name)
        }
        assert.deepStrictEqual(paths, expectedPaths)
        const kinds =
          connector === responses ? ["text"] : connector === text2img || connector === img2img ? ["image"] : []
        assert.deepStrictEqual(
          outcome.assets.map(({ type }) => type),
          kinds
        )
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }

  for (const [prompt, kind, retryAfter] of [
    ["forbidden", "Rejected", undefined],
    ["too often", "RateLimited", 4_000],
    ["out of order", "ServiceUnavailable", undefined],
    ["what nobody knows", "InvalidPayload", undefined]
  ] as const) {
    it.live(`${prompt} is ${kind}, and is asked once`, () =>
      Effect.gen(function* () {
        for (const [connector, payload] of [
          [text, says(prompt)],
          [responses, { input: prompt, background: false }]
        ] as const) {
          const { paths, result } = yield* run(connector, payload)
          const failure = yield* Effect.flip(Effect.fromResult(result))
          assert.deepStrictEqual([failure.kind, failure.retry_after_ms], [kind, retryAfter], failure.message)
          assert.strictEqual(paths.length, 1)
        }
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }
})
