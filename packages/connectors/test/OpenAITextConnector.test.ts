import { connector } from "@muster/connectors/OpenAITextConnector"
import { connector as asItIs } from "@muster/connectors/OpenAIConnector"
import { connector as simple } from "@muster/connectors/OpenAITextSimpleConnector"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { acquire, eventually, jobOf, services, suite } from "./ConnectorSuite.ts"
import { key, run, service } from "./openaiService.ts"

const hello = [{ role: "user", content: "hello" }]
const endless = [{ role: "user", content: "endless" }]
const usage = { input_tokens: 9, output_tokens: 3, total_tokens: 12, cached_tokens: 2, reasoning_tokens: 1 }

suite("OpenAITextConnector", {
  connector,
  service,
  quick: { messages: hello },
  endless: { messages: endless },
  invalid: { messages: [], temperature: 9 },
  secrets: [key]
})

suite("OpenAITextSimpleConnector", {
  connector: simple,
  service,
  quick: { prompt: "hello" },
  endless: { prompt: "endless" },
  invalid: { prompt: "hello", messages: hello },
  secrets: [key]
})

suite("OpenAIConnector", {
  connector: asItIs,
  service,
  quick: { messages: hello },
  endless: { messages: endless },
  invalid: { dynamic_json: [] },
  secrets: [key]
})

describe("OpenAITextConnector", () => {
  it.live("streams, counts tokens, and tells how far it is of those it may use", () =>
    Effect.gen(function* () {
      const { double, result, told } = yield* run(connector, { messages: hello, max_completion_tokens: 6, seed: 7 })
      assert.deepStrictEqual(yield* Effect.fromResult(result), {
        response_id: "chatcmpl-1",
        model: "gpt-4.1",
        text: "one two three",
        finish_reason: "stop",
        usage,
        assets: []
      })
      // Tokens that come together are told together.
      assert.deepStrictEqual(told.at(-1), { percent: 50, message: "3 tokens" })
      assert.deepStrictEqual(double.paid[0]?.body, {
        messages: hello,
        max_completion_tokens: 6,
        seed: 7,
        model: "gpt-4.1",
        stream: true,
        stream_options: { include_usage: true }
      })
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("takes an answer whole from a service that does not stream", () =>
    Effect.gen(function* () {
      const { result } = yield* run(connector, { messages: [{ role: "user", content: "unstreamed" }] })
      const answer = (yield* Effect.fromResult(result)) as { text: string; usage: unknown }
      assert.deepStrictEqual([answer.text, answer.usage], ["one two three", usage])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("gathers calls of tools", () =>
    Effect.gen(function* () {
      const { result } = yield* run(connector, {
        messages: [{ role: "user", content: "tool" }],
        tools: [{ type: "function", function: { name: "look" } }]
      })
      const answer = (yield* Effect.fromResult(result)) as { tool_calls: unknown; finish_reason: string }
      assert.strictEqual(answer.finish_reason, "tool_calls")
      assert.deepStrictEqual(answer.tool_calls, [
        { id: "call_1", type: "function", function: { name: "look", arguments: '{"a":1}' } }
      ])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  /** For answers that stop: those before it stops may take their time. */
  const impatient = { environment: { OPENAI_TIMEOUT: "3", OPENAI_TIMEOUT_SECONDS: "3" } }

  for (const [what, kind] of [
    ["broken", "ServiceUnavailable"],
    ["silent", "Timeout"],
    ["mid-error", "RateLimited"],
    ["refuse", "Rejected"],
    ["filtered", "Rejected"]
  ] as const) {
    it.live(`an answer that is ${what} is ${kind}`, () =>
      Effect.gen(function* () {
        const { double, result } = yield* run(connector, { messages: [{ role: "user", content: what }] }, impatient)
        assert.strictEqual((yield* Effect.flip(Effect.fromResult(result))).kind, kind)
        assert.strictEqual(double.paid.length, 1)
        yield* eventually("the request is over", () => double.running() === 0)
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }

  for (const what of ["cut at the end", "quiet at the end"]) {
    it.live(`an answer that is whole and then ${what} is the answer: it is paid for`, () =>
      Effect.gen(function* () {
        const { double, result } = yield* run(connector, { messages: [{ role: "user", content: what }] }, impatient)
        const answer = (yield* Effect.fromResult(result)) as { text: string; usage: unknown }
        assert.deepStrictEqual([answer.text, answer.usage], ["one two three", null])
        assert.strictEqual(double.paid.length, 1)
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }

  it.live("names what is wrong in a payload, and sends nothing", () =>
    Effect.gen(function* () {
      const { double, result } = yield* run(connector, { messages: [{ role: "nobody" }], temprature: 1 })
      const failure = yield* Effect.flip(Effect.fromResult(result))
      assert.strictEqual(failure.kind, "InvalidPayload")
      assert.include(failure.message, "messages[0].role: ")
      assert.include(failure.message, "temprature: ")
      assert.strictEqual(double.asked.length, 0)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("interrupted in the middle of a stream, it aborts the request", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      let told = 0
      const fiber = yield* Effect.forkChild(
        running.process(jobOf({ messages: endless }), () => Effect.sync(() => void told++))
      )
      yield* eventually("tokens come", () => told > 3)
      assert.strictEqual(double.running(), 1)
      yield* Fiber.interrupt(fiber)
      yield* eventually("the request is aborted", () => double.running() === 0)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("what a service is told goes before the variables", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(
        connector.acquire({
          OPENAI_API_KEY: key,
          OPENAI_BASE_URL: "http://127.0.0.1:1",
          OPENAI_ORG_ID: "org-1",
          OPENAI_PROJECT_ID: "",
          OPENAI_TIMEOUT: "60",
          OPENAI_MAX_RETRIES: "3",
          OPENAI_MAX_CONCURRENT_JOBS: "3",
          OPENAI_TEXT_MODEL: "gpt-4.1",
          base_url: double.url,
          timeout: "2",
          max_retries: "0",
          max_concurrent_jobs: "9",
          model: "other"
        })
      )
      assert.strictEqual(running.max_concurrent_jobs, 9)
      yield* running.process(jobOf({ messages: hello }), () => Effect.void)
      assert.strictEqual(double.paid[0]?.body.model, "other")
      assert.strictEqual(double.paid[0]?.headers["openai-organization"], "org-1")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("says all that is wrong with its settings, and never the key", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        acquire(connector, { OPENAI_API_KEY: key, OPENAI_TIMEOUT: "soon", OPENAI_BASE_URL: "x" })
      )
      assert.strictEqual(error._tag, "InvalidConfiguration")
      assert.include(error.message, "OPENAI_TIMEOUT")
      assert.include(error.message, "OPENAI_BASE_URL")
      assert.notInclude(error.message, key)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("refuses a key that no header can carry, and does not repeat it", () =>
    Effect.gen(function* () {
      for (const wrong of ["sk-\u2026secret", "sk-secret\r"]) {
        const error = yield* Effect.flip(acquire(connector, { OPENAI_API_KEY: wrong }))
        assert.strictEqual(error._tag, "InvalidConfiguration")
        assert.include(error.message, "OPENAI_API_KEY: Expected a secret of ASCII characters without spaces")
        assert.notInclude(error.message, "sk-")
      }
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("attempts of one job are the same to a provider that knows such keys, and jobs are not", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      const job = jobOf({ messages: hello })
      for (const one of [job, { ...job, attempt: 2 }, jobOf({ messages: hello })]) {
        yield* running.process(one, () => Effect.void)
      }
      const keys = double.paid.map(({ headers }) => headers["idempotency-key"])
      assert.match(String(keys[0]), /^muster-[0-9a-f]{40}$/)
      assert.strictEqual(keys[0], keys[1])
      assert.notStrictEqual(keys[0], keys[2])
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})

describe("OpenAITextSimpleConnector", () => {
  it.live("makes a chat of a prompt", () =>
    Effect.gen(function* () {
      const payload = { prompt: "hello", system: "be brief", max_tokens: 5, model: "gpt-5", save_assets: false }
      const { double, result } = yield* run(simple, payload)
      const answer = (yield* Effect.fromResult(result)) as { text: string }
      assert.strictEqual(answer.text, "one two three")
      assert.deepStrictEqual(double.paid[0]?.body, {
        model: "gpt-5",
        messages: [{ role: "system", content: "be brief" }, ...hello],
        max_completion_tokens: 5,
        stream: true,
        stream_options: { include_usage: true }
      })
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})

describe("OpenAIConnector", () => {
  it.live("sends any field as it is", () =>
    Effect.gen(function* () {
      const dynamic_json = { messages: hello, n: 2, newer_field: { a: 1 }, stream: true }
      const { double, result } = yield* run(asItIs, { dynamic_json, save_assets: false })
      const answer = (yield* Effect.fromResult(result)) as { choices: ReadonlyArray<unknown>; usage: unknown }
      assert.strictEqual(answer.choices.length, 1)
      assert.deepStrictEqual(answer.usage, usage)
      assert.deepStrictEqual(double.paid[0]?.body, { model: "gpt-4.1", ...dynamic_json, stream: false })
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})
