import { connector } from "@muster/connectors/OpenAIResponsesConnector"
import { Asset } from "@muster/core/connector/Asset"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Metric, Option, Schema, Stream } from "effect"
import { png } from "./assets/AssetStoreSuite.ts"
import { acquire, eventually, jobOf, services, suite } from "./ConnectorSuite.ts"
import { key, run, service } from "./openaiService.ts"

suite("OpenAIResponsesConnector", {
  connector,
  service,
  quick: { input: "hello" },
  endless: { dynamic_json: { input: "endless" } },
  invalid: { dynamic_json: { input: "hello" }, input: "hello" },
  secrets: [key]
})

const usage = { input_tokens: 11, output_tokens: 22, total_tokens: 33, cached_tokens: 4, reasoning_tokens: 5 }
const Result = Schema.Struct({
  response_id: Schema.String,
  status: Schema.String,
  text: Schema.String,
  output: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)),
  usage: Schema.Unknown,
  assets: Schema.Array(Asset)
})
const decode = Schema.decodeUnknownSync(Result)

describe("OpenAIResponsesConnector", () => {
  it.live("sends the request of the documents as it is, and keeps the text", () =>
    Effect.gen(function* () {
      const input = [
        {
          role: "user",
          content: [
            { type: "input_text", text: "what is in this image?" },
            { type: "input_image", image_url: "https://example.com/image.jpg" }
          ]
        }
      ]
      const { double, job, result } = yield* run(connector, { model: "gpt-5", input, stream: true })
      const answer = decode(yield* Effect.fromResult(result))
      assert.deepStrictEqual(double.paid[0]?.body, { model: "gpt-5", input, background: true })
      assert.deepStrictEqual(
        [answer.response_id, answer.status, answer.text, answer.usage],
        ["resp_1", "completed", "a fine answer", usage]
      )
      const [asset] = answer.assets
      assert.deepStrictEqual([answer.assets.length, asset?.type], [1, "text"])
      const store = yield* AssetStore
      const stored = Option.getOrThrow(yield* store.open(job.id, asset!.file_name))
      const parts = yield* Stream.runCollect(stored.content)
      assert.strictEqual(Buffer.concat([...parts]).toString(), "a fine answer")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("the model and the background have defaults; what the request says goes before them", () =>
    Effect.gen(function* () {
      const { double } = yield* run(connector, { dynamic_json: { input: "hello", save_assets: false } })
      assert.deepStrictEqual(double.paid[0]?.body, { model: "gpt-4.1", input: "hello", background: true })
      const other = yield* run(connector, { input: "hello", background: false })
      assert.deepStrictEqual(other.double.paid[0]?.body, { model: "gpt-4.1", input: "hello", background: false })
      assert.strictEqual(other.double.asked.length, 1)
      const third = yield* run(connector, { input: "hello", store: false })
      assert.deepStrictEqual(third.double.paid[0]?.body, { model: "gpt-4.1", input: "hello", store: false })
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("keeps images, and puts their names where they were", () =>
    Effect.gen(function* () {
      const payload = { input: "a cat", tools: [{ type: "image_generation" }] }
      const { result } = yield* run(connector, payload)
      const { assets, output } = decode(yield* Effect.fromResult(result))
      assert.deepStrictEqual(
        assets.map(({ content_type, size, type }) => [type, content_type, size]),
        [["image", "image/png", png.length]]
      )
      assert.deepStrictEqual(output[0]?.["result"], { asset: assets[0]!.file_name })
      const none = yield* run(connector, { ...payload, save_assets: false })
      const unkept = decode(yield* Effect.fromResult(none.result))
      assert.deepStrictEqual([unkept.assets, unkept.output[0]?.["result"]], [[], null])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("a service that knows no background is asked without", () =>
    Effect.gen(function* () {
      const { double, result } = yield* run(
        connector,
        { input: "hello" },
        {
          before: (double) =>
            double.refusing(({ body }) =>
              body.background === true ? { status: 400, error: { code: "unsupported_parameter" } } : undefined
            )
        }
      )
      assert.strictEqual(decode(yield* Effect.fromResult(result)).text, "a fine answer")
      assert.deepStrictEqual(
        double.paid.map(({ body }) => body),
        [{ model: "gpt-4.1", input: "hello" }]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("a question that is not answered for a while costs nothing", () =>
    Effect.gen(function* () {
      let failures = 3
      const { double, result } = yield* run(
        connector,
        { input: "hello" },
        {
          before: (double) =>
            double.refusing(({ method, path }) =>
              method === "GET" && path.startsWith("/responses/") && failures-- > 0 ? { status: 503 } : undefined
            )
        }
      )
      assert.strictEqual(decode(yield* Effect.fromResult(result)).text, "a fine answer")
      assert.strictEqual(double.paid.length, 1)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("what an earlier attempt has paid for is fetched by the next one, on another worker", () =>
    Effect.gen(function* () {
      const double = yield* service
      const job = jobOf({ input: "hello" })
      for (const attempt of [1, 2]) {
        const running = yield* Effect.orDie(acquire(connector, double.environment))
        const answer = decode(yield* running.process({ ...job, attempt }, () => Effect.void))
        assert.deepStrictEqual([answer.response_id, answer.text], ["resp_1", "a fine answer"])
      }
      assert.strictEqual(double.paid.length, 1)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("gives up after so many looks, and cancels", () =>
    Effect.gen(function* () {
      const { double, result } = yield* run(
        connector,
        { input: "endless" },
        { environment: { OPENAI_POLL_TRIES: "3" } }
      )
      assert.strictEqual((yield* Effect.flip(Effect.fromResult(result))).kind, "Timeout")
      assert.strictEqual(double.responses.get("resp_1")?.status, "cancelled")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  for (const [code, kind] of [
    ["bio_policy", "Rejected"],
    ["server_error", "ServiceUnavailable"],
    ["rate_limit_exceeded", "RateLimited"],
    ["vector_store_timeout", "Timeout"]
  ] as const) {
    it.live(`a response that fails with ${code} is ${kind}`, () =>
      Effect.gen(function* () {
        const { double, result } = yield* run(connector, { input: `fail:${code}` })
        assert.strictEqual((yield* Effect.flip(Effect.fromResult(result))).kind, kind)
        assert.strictEqual(double.paid.length, 1)
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }

  it.live("counts the tokens of what failed, too", () =>
    Effect.gen(function* () {
      yield* run(connector, { input: "fail:bio_policy" })
      const input = (yield* Metric.snapshot).find(
        ({ attributes, id }) => id === "muster_openai_tokens_total" && attributes?.["kind"] === "input"
      )
      assert.deepStrictEqual(input?.state, { count: 11, incremental: true } as never)
    }).pipe(Effect.scoped, Effect.provide(services), Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.live("has the documents' settings by default", () =>
    Effect.gen(function* () {
      const running = yield* Effect.orDie(acquire(connector, { OPENAI_API_KEY: key }))
      assert.strictEqual(running.max_concurrent_jobs, 5)
      const defaults = connector.variables
      assert.strictEqual(defaults["OPENAI_POLL_INTERVAL_MS"], "${OPENAI_POLL_INTERVAL_MS:-5000}")
      assert.strictEqual(defaults["OPENAI_POLL_TRIES"], "${OPENAI_POLL_TRIES:-60}")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("interrupted while it is not made in the background, it aborts the request", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, { ...double.environment, OPENAI_TIMEOUT_SECONDS: "60" }))
      const payload = { input: "endless", background: false }
      const fiber = yield* Effect.forkChild(running.process(jobOf(payload), () => Effect.void))
      yield* eventually("it is being made", () => double.running() === 1)
      yield* Fiber.interrupt(fiber)
      yield* eventually("the request is aborted", () => double.running() === 0)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("refuses what is no request", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      for (const payload of ["text", null, [1], { dynamic_json: "text" }, { input: "x", save_assets: "no" }]) {
        const failure = yield* Effect.flip(running.process(jobOf(payload), () => Effect.void))
        assert.strictEqual(failure.kind, "InvalidPayload")
      }
      assert.strictEqual(double.asked.length, 0)
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})
