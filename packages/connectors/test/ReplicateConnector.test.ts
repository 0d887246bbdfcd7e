import { connector } from "@muster/connectors/ReplicateConnector"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Schema, Stream } from "effect"
import { Asset } from "@muster/core/connector/Asset"
import { acquire, jobOf, services, suite } from "./ConnectorSuite.ts"
import { png } from "./assets/AssetStoreSuite.ts"
import { replicateDouble } from "./doubles/ReplicateDouble.ts"
import { localService } from "./protocol/LocalService.ts"

const token = "r8_very_secret"

const service = Effect.map(replicateDouble(token), (double) => ({
  ...double,
  environment: {
    REPLICATE_API_TOKEN: token,
    REPLICATE_BASE_URL: double.url,
    REPLICATE_TIMEOUT_SECONDS: "1",
    REPLICATE_MAX_RETRIES: "1",
    REPLICATE_POLL_INTERVAL_MS: "10"
  }
}))

suite("ReplicateConnector", {
  connector,
  service,
  quick: { model: "owner/name", input: { looks: 3 } },
  endless: { version: "abc123", input: { endless: true } },
  invalid: { model: "owner/name", version: "abc123", input: {} },
  // Whether it is healthy is no JSON that anybody reads.
  failures: { html: null },
  secrets: [token]
})

const Result = Schema.Struct({ output: Schema.Unknown, assets: Schema.Array(Asset) })

describe("ReplicateConnector", () => {
  const run = (payload: unknown) =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      const result = yield* Effect.result(running.process(jobOf(payload), () => Effect.void))
      return { double, result }
    })

  it.live("keeps files and answers no URLs", () =>
    Effect.gen(function* () {
      const files = yield* localService((_, response) =>
        response.writeHead(200, { "content-type": "image/png" }).end(png)
      )
      const output = { images: [`${files.url}/a.png?signature=secret`], seed: 7 }
      const { result } = yield* run({ model: "owner/name", input: { output } })
      const { assets, output: saved } = Schema.decodeUnknownSync(Result)(yield* Effect.fromResult(result))
      const [asset] = assets
      assert.strictEqual(assets.length, 1)
      assert.deepStrictEqual(saved, { images: [{ asset: asset?.file_name }], seed: 7 })
      assert.deepStrictEqual([asset?.type, asset?.content_type, asset?.size], ["image", "image/png", png.length])
      const store = yield* AssetStore
      const [, job = ""] = asset!.file_path.split("/")
      const stored = Option.getOrThrow(yield* store.open(job as never, asset!.file_name))
      const parts = yield* Stream.runCollect(stored.content)
      assert.isTrue(png.equals(Buffer.concat([...parts])))
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("keeps nothing when the job says so, and sends the rest as it is", () =>
    Effect.gen(function* () {
      const url = "https://example.org/a.png"
      const { double, result } = yield* run({ version: "abc", input: { output: url, prompt: "p" }, save_assets: false })
      const answer = Schema.decodeUnknownSync(Result)(yield* Effect.fromResult(result))
      assert.deepStrictEqual([answer.output, answer.assets], [url, []])
      assert.deepStrictEqual(double.created, [
        { path: "/predictions", body: { version: "abc", input: { output: url, prompt: "p" } } }
      ])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("says why a prediction failed", () =>
    Effect.gen(function* () {
      const { result } = yield* run({ model: "owner/name", input: { fail: "CUDA out of memory" } })
      const failure = yield* Effect.flip(Effect.fromResult(result))
      assert.deepStrictEqual(
        [failure.kind, failure.message],
        ["ServiceUnavailable", "the prediction failed: CUDA out of memory"]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("a file that cannot be had is a matter of storage, and nothing is run again", () =>
    Effect.gen(function* () {
      const files = yield* localService((_, response) => response.writeHead(410).end())
      const { double, result } = yield* run({ model: "owner/name", input: { output: `${files.url}/gone.png` } })
      assert.strictEqual((yield* Effect.flip(Effect.fromResult(result))).kind, "AssetFailed")
      assert.strictEqual(double.created.length, 1)
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})
