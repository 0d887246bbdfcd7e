import { connector } from "@muster/connectors/OpenAIText2ImgConnector"
import { Asset } from "@muster/core/connector/Asset"
import { AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric, Option, Schema, Stream } from "effect"
import { png } from "./assets/AssetStoreSuite.ts"
import { acquire, eventually, jobOf, services, suite } from "./ConnectorSuite.ts"
import type { Asked, Refusal } from "./doubles/OpenAIDouble.ts"
import { key, run, service } from "./openaiService.ts"

const usage = { input_tokens: 11, output_tokens: 22, total_tokens: 33, cached_tokens: 4, reasoning_tokens: 5 }

suite("OpenAIText2ImgConnector in the background", {
  connector,
  service,
  quick: { prompt: "a cat", model: "gpt-image-2" },
  endless: { prompt: "endless cats", model: "gpt-image-2" },
  invalid: { prompt: "", size: "huge" },
  secrets: [key]
})

suite("OpenAIText2ImgConnector with DALL-E", {
  connector,
  service,
  quick: { prompt: "a cat" },
  endless: { prompt: "endless cats" },
  invalid: { prompt: "a cat", model: "gpt-image-unheard-of" },
  secrets: [key]
})

const Result = Schema.Struct({
  approach: Schema.String,
  images: Schema.Array(
    Schema.Struct({ asset: Schema.NullOr(Schema.String), revised_prompt: Schema.optionalKey(Schema.String) })
  ),
  usage: Schema.Unknown,
  assets: Schema.Array(Asset)
})
const decode = Schema.decodeUnknownSync(Result)

const on =
  (path: string, refusal: Refusal, isMeant: (asked: Asked) => boolean = () => true) =>
  (double: Effect.Success<typeof service>) =>
    double.refusing((asked) => (asked.path === path && isMeant(asked) ? refusal : undefined))

const unsupported: Refusal = { status: 400, error: { code: "unsupported_parameter" } }

describe("OpenAIText2ImgConnector", () => {
  it.live("asks in the background first, and keeps what was drawn", () =>
    Effect.gen(function* () {
      const payload = {
        prompt: "a cat",
        model: "gpt-image-2",
        quality: "standard",
        output_format: "webp",
        background: "opaque"
      }
      const { double, job, result, told } = yield* run(connector, payload)
      const { approach, assets, images, usage: used } = decode(yield* Effect.fromResult(result))
      assert.strictEqual(approach, "background")
      assert.deepStrictEqual(used, usage)
      const [asset] = assets
      assert.deepStrictEqual(images, [{ asset: asset!.file_name, revised_prompt: "as it was drawn" }])
      const store = yield* AssetStore
      const stored = Option.getOrThrow(yield* store.open(job.id, asset!.file_name))
      assert.isTrue(png.equals(Buffer.concat([...(yield* Stream.runCollect(stored.content))])))
      assert.deepStrictEqual(
        told.map(({ message }) => message),
        ["response resp_1: queued", "response resp_1: in_progress", "response resp_1: completed"]
      )
      assert.deepStrictEqual(
        double.paid.map(({ path }) => path),
        ["/responses"]
      )
      const { metadata, tool_choice, tools, ...request } = double.paid[0]!.body
      assert.deepStrictEqual(request, { model: "gpt-4.1", input: "a cat", background: true, store: true })
      assert.deepStrictEqual(metadata, { muster_job: job.id, muster_attempt: "1" })
      assert.deepStrictEqual(
        [tool_choice, tools],
        [
          { type: "image_generation" },
          [
            {
              type: "image_generation",
              model: "gpt-image-2",
              size: "1024x1024",
              quality: "medium",
              background: "opaque",
              output_format: "webp"
            }
          ]
        ]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("streams where the background is not taken, and tells of partial images", () =>
    Effect.gen(function* () {
      const { double, result, told } = yield* run(
        connector,
        { prompt: "a cat", model: "gpt-image-2" },
        {
          before: on("/responses", unsupported)
        }
      )
      const answer = decode(yield* Effect.fromResult(result))
      assert.deepStrictEqual([answer.approach, answer.usage, answer.assets.length], ["stream", usage, 1])
      assert.deepStrictEqual(
        told.map(({ percent }) => Math.round(percent)),
        [33, 67]
      )
      assert.deepStrictEqual(
        double.paid.map(({ path }) => path),
        ["/images/generations"]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("asks directly where neither is taken, and remembers that for the model", () =>
    Effect.gen(function* () {
      const { double, result, running } = yield* run(connector, { prompt: "a cat", quality: "high" })
      const answer = decode(yield* Effect.fromResult(result))
      assert.deepStrictEqual([answer.approach, answer.usage], ["direct", null])
      assert.strictEqual(double.asked.length, 3)
      assert.deepStrictEqual(
        double.paid.map(({ body }) => body),
        [{ prompt: "a cat", model: "dall-e-3", size: "1024x1024", quality: "hd", response_format: "b64_json" }]
      )
      yield* running.process(jobOf({ prompt: "another" }), () => Effect.void)
      assert.strictEqual(double.asked.length, 4)
      yield* running.process(jobOf({ prompt: "another", model: "gpt-image-2" }), () => Effect.void)
      assert.strictEqual(double.paid.at(-1)?.path, "/responses")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("several images are asked for directly, and once", () =>
    Effect.gen(function* () {
      const { double, result } = yield* run(connector, { prompt: "cats", model: "gpt-image-2", n: 3 })
      const { assets, images } = decode(yield* Effect.fromResult(result))
      // The double draws one picture: equal content has one name.
      assert.deepStrictEqual(
        [images.length, assets.length, new Set(assets.map(({ file_name }) => file_name)).size],
        [3, 3, 1]
      )
      assert.deepStrictEqual(
        double.asked.map(({ path }) => path),
        ["/images/generations"]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  for (const [what, refusal, kind] of [
    ["a broken server", { status: 500 }, "ServiceUnavailable"],
    ["a rate limit", { status: 429, headers: { "retry-after": "3" } }, "RateLimited"],
    ["no credit", { status: 429, error: { code: "insufficient_quota" } }, "RateLimited"],
    ["a policy", { status: 400, error: { code: "moderation_blocked" } }, "Rejected"],
    ["a wrong key", { status: 401 }, "Unauthorized"],
    ["a model of others", { status: 403 }, "Unauthorized"]
  ] as const) {
    it.live(`${what} is no reason to ask in another way: ${kind}`, () =>
      Effect.gen(function* () {
        const { double, result } = yield* run(
          connector,
          { prompt: "a cat", model: "gpt-image-2" },
          {
            before: on("/responses", refusal)
          }
        )
        const failure = yield* Effect.flip(Effect.fromResult(result))
        assert.strictEqual(failure.kind, kind)
        if (what === "a rate limit") assert.strictEqual(failure.retry_after_ms, 3_000)
        if (what === "no credit") assert.strictEqual(failure.retry_after_ms, 900_000)
        assert.deepStrictEqual([double.asked.length, double.paid.length], [1, 0])
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }

  it.live("a request that every way refuses is refused as it was last", () =>
    Effect.gen(function* () {
      const { double, result } = yield* run(
        connector,
        { prompt: "a cat", model: "gpt-image-2" },
        {
          before: (double) => double.refusing(() => ({ status: 400, error: { code: "bad", message: "no such size" } }))
        }
      )
      const failure = yield* Effect.flip(Effect.fromResult(result))
      assert.strictEqual(failure.kind, "InvalidPayload")
      assert.include(failure.message, "no such size")
      assert.strictEqual(double.asked.length, 3)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  for (const [code, kind] of [
    ["image_content_policy_violation", "Rejected"],
    ["server_error", "ServiceUnavailable"],
    ["rate_limit_exceeded", "RateLimited"],
    ["invalid_image_url", "InvalidPayload"]
  ] as const) {
    it.live(`work that was taken on and fails with ${code} is ${kind}, and is not asked for in another way`, () =>
      Effect.gen(function* () {
        const { double, result } = yield* run(connector, { prompt: `fail:${code}`, model: "gpt-image-2" })
        assert.strictEqual((yield* Effect.flip(Effect.fromResult(result))).kind, kind)
        assert.strictEqual(double.paid.length, 1)
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }

  it.live("a stream that broke after it began is not followed by another request", () =>
    Effect.gen(function* () {
      const { double, result } = yield* run(
        connector,
        { prompt: "endless", model: "gpt-image-2" },
        {
          before: on("/responses", unsupported),
          environment: { OPENAI_TIMEOUT: "3", OPENAI_TIMEOUT_SECONDS: "3" }
        }
      )
      assert.strictEqual((yield* Effect.flip(Effect.fromResult(result))).kind, "Timeout")
      assert.strictEqual(double.paid.length, 1)
      yield* eventually("the request is aborted", () => double.running() === 0)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("an image that has come is kept although its stream breaks after it", () =>
    Effect.gen(function* () {
      const payload = { prompt: "a cat, cut at the end", model: "gpt-image-2" }
      const { double, result } = yield* run(connector, payload, { before: on("/responses", unsupported) })
      const { approach, assets } = decode(yield* Effect.fromResult(result))
      assert.deepStrictEqual([approach, assets.length, double.paid.length], ["stream", 1, 1])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("not done after so many looks, it is cancelled", () =>
    Effect.gen(function* () {
      const { double, result } = yield* run(
        connector,
        { prompt: "endless", model: "gpt-image-2" },
        {
          environment: { OPENAI_POLL_TRIES: "3" }
        }
      )
      assert.strictEqual((yield* Effect.flip(Effect.fromResult(result))).kind, "Timeout")
      assert.strictEqual(double.responses.get("resp_1")?.status, "cancelled")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("keeps nothing when the job says so", () =>
    Effect.gen(function* () {
      const { result } = yield* run(connector, { prompt: "a cat", save_assets: false })
      const { assets, images } = decode(yield* Effect.fromResult(result))
      assert.deepStrictEqual([assets, images], [[], [{ asset: null, revised_prompt: "as it was drawn" }]])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  /** The store, which cannot keep assets `failures` times. */
  const hurtStore = (failures: number) => {
    let left = failures
    return Layer.effect(
      AssetStore,
      Effect.map(AssetStore, (store) =>
        AssetStore.of({
          ...store,
          save: (asset) =>
            Effect.suspend(() =>
              left-- > 0 ? Effect.fail(new AssetFailed({ detail: "the disk is full", cause: null })) : store.save(asset)
            )
        })
      )
    ).pipe(Layer.provideMerge(services))
  }

  for (const model of ["gpt-image-2", "dall-e-3"]) {
    it.live(`an image of ${model} that cannot be kept is not made again by the next attempt`, () =>
      Effect.gen(function* () {
        const double = yield* service
        const running = yield* Effect.orDie(acquire(connector, double.environment))
        const job = jobOf({ prompt: "a cat", model })
        for (const attempt of [1, 2]) {
          const failure = yield* Effect.flip(running.process({ ...job, attempt }, () => Effect.void))
          assert.strictEqual(failure.kind, "AssetFailed")
        }
        const { assets } = decode(yield* running.process({ ...job, attempt: 3 }, () => Effect.void))
        assert.strictEqual(assets.length, 1)
        assert.strictEqual(double.paid.length, 1)
      }).pipe(Effect.scoped, Effect.provide(hurtStore(2)))
    )
  }

  it.live("what an earlier attempt has paid for is fetched by the next one, on another worker", () =>
    Effect.gen(function* () {
      const double = yield* service
      const job = jobOf({ prompt: "a cat", model: "gpt-image-2" })
      const first = yield* Effect.orDie(acquire(connector, double.environment))
      assert.strictEqual((yield* Effect.flip(first.process(job, () => Effect.void))).kind, "AssetFailed")
      const second = yield* Effect.orDie(acquire(connector, double.environment))
      const answer = decode(yield* second.process({ ...job, attempt: 2 }, () => Effect.void))
      assert.deepStrictEqual([answer.approach, answer.assets.length, double.paid.length], ["background", 1, 1])
      // Another request of the same job is another matter.
      yield* second.process({ ...job, attempt: 3, payload: { prompt: "two", model: "gpt-image-2" } }, () => Effect.void)
      assert.strictEqual(double.paid.length, 2)
    }).pipe(Effect.scoped, Effect.provide(hurtStore(1)))
  )

  for (const cancelled of [false, true]) {
    it.live(
      `a worker that went away in the middle, and ${cancelled ? "cancelled" : "could not cancel"}: the next`,
      () =>
        Effect.gen(function* () {
          const double = yield* service
          if (!cancelled) yield* double.refusing(({ path }) => (path.endsWith("/cancel") ? { status: 503 } : undefined))
          const job = jobOf({ prompt: "a cat", model: "gpt-image-2" })
          const patient = { ...double.environment, OPENAI_POLL_INTERVAL_MS: "60000" }
          const first = yield* Effect.orDie(acquire(connector, patient))
          let told = 0
          const fiber = yield* Effect.forkChild(first.process(job, () => Effect.sync(() => void told++)))
          yield* eventually("it is being made", () => told > 0)
          yield* Fiber.interrupt(fiber)
          const second = yield* Effect.orDie(acquire(connector, double.environment))
          decode(yield* second.process({ ...job, attempt: 2 }, () => Effect.void))
          assert.strictEqual(double.paid.length, cancelled ? 2 : 1)
        }).pipe(Effect.scoped, Effect.provide(services))
    )
  }

  it.live("while nobody can tell what an earlier attempt has paid for, nothing is asked for", () => {
    const away = Effect.fail(new AssetFailed({ detail: "the disk is away", cause: null }))
    const blind = Layer.effect(
      AssetStore,
      Effect.map(AssetStore, (store) => AssetStore.of({ ...store, noted: () => away }))
    ).pipe(Layer.provideMerge(services))
    return Effect.gen(function* () {
      const payload = { prompt: "a cat", model: "gpt-image-2" }
      const { double, result } = yield* run(connector, payload, { job: { attempt: 2 } })
      assert.strictEqual((yield* Effect.flip(Effect.fromResult(result))).kind, "AssetFailed")
      assert.strictEqual(double.asked.length, 0)
    }).pipe(Effect.scoped, Effect.provide(blind))
  })

  it.live("a response that is not there yet right after it was taken on is asked about again", () =>
    Effect.gen(function* () {
      let missing = 2
      const { double, result } = yield* run(
        connector,
        { prompt: "a cat", model: "gpt-image-2" },
        {
          before: (double) =>
            double.refusing(({ method, path }) =>
              method === "GET" && path.startsWith("/responses/") && missing-- > 0 ? { status: 404 } : undefined
            )
        }
      )
      assert.strictEqual(decode(yield* Effect.fromResult(result)).assets.length, 1)
      assert.strictEqual(double.paid.length, 1)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("interrupted while it is made, the response is cancelled", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      const job = jobOf({ prompt: "endless", model: "gpt-image-2" })
      const fiber = yield* Effect.forkChild(running.process(job, () => Effect.void))
      yield* eventually("it is being made", () => double.responses.get("resp_1")?.status === "in_progress")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(double.responses.get("resp_1")?.status, "cancelled")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("counts the tokens it used", () =>
    Effect.gen(function* () {
      yield* run(connector, { prompt: "a cat", model: "gpt-image-2" })
      const counted = (yield* Metric.snapshot).flatMap((metric) =>
        metric.id === "muster_openai_tokens_total"
          ? [[metric.attributes, (metric.state as { count: number }).count]]
          : []
      )
      const connectorName = "OpenAIText2ImgConnector"
      assert.sameDeepMembers(counted, [
        [{ connector: connectorName, kind: "input" }, 11],
        [{ connector: connectorName, kind: "output" }, 22],
        [{ connector: connectorName, kind: "cached" }, 4],
        [{ connector: connectorName, kind: "reasoning" }, 5]
      ])
    }).pipe(Effect.scoped, Effect.provide(services), Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})
