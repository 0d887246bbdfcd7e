import { connector } from "@muster/connectors/ReplicateConnector"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Schema, Stream } from "effect"
import { Asset } from "@muster/core/connector/Asset"
import { acquire, eventually, jobOf, services, suite } from "./ConnectorSuite.ts"
import { png } from "./assets/AssetStoreSuite.ts"
import { replicateDouble } from "./doubles/ReplicateDouble.ts"
import { localService } from "./protocol/LocalService.ts"

const token = "r8_very_secret"

const service = Effect.map(replicateDouble(token), (double) => ({
  ...double,
  environment: {
    REPLICATE_API_TOKEN: token,
    REPLICATE_BASE_URL: double.url,
    REPLICATE_MAX_RETRIES: "1",
    REPLICATE_POLL_INTERVAL_MS: "10"
  },
  impatient: { REPLICATE_TIMEOUT_SECONDS: "1", REPLICATE_MAX_RETRIES: "0" }
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
      for (const [fail, kind] of [
        ["something broke", "ServiceUnavailable"],
        ["CUDA out of memory", "ResourceExhausted"],
        ["The input or output was flagged as sensitive. (E005)", "Rejected"]
      ] as const) {
        const { result } = yield* run({ model: "owner/name", input: { fail } })
        const failure = yield* Effect.flip(Effect.fromResult(result))
        assert.deepStrictEqual([failure.kind, failure.message], [kind, `the prediction failed: ${fail}`])
      }
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("a file that cannot be had is a matter of storage, and no attempt pays again", () =>
    Effect.gen(function* () {
      let isThere = false
      const files = yield* localService((_, response) => response.writeHead(isThere ? 200 : 410).end(png))
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      const job = jobOf({ model: "owner/name", input: { output: `${files.url}/late.png` } })
      const failure = yield* Effect.flip(running.process(job, () => Effect.void))
      assert.strictEqual(failure.kind, "AssetFailed")
      isThere = true
      const result = yield* running.process({ ...job, attempt: 2 }, () => Effect.void)
      assert.strictEqual(Schema.decodeUnknownSync(Result)(result).assets.length, 1)
      assert.strictEqual(double.created.length, 1)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("a prediction of a worker that died is gone on with, unless it came to nothing", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      const job = jobOf({ model: "owner/name", input: { looks: 100 } })
      // Dies without a word: nothing is cancelled.
      const dead = yield* Effect.forkDetach(running.process(job, () => Effect.void))
      yield* eventually("it is noted and followed", () => double.looks() > 1)
      yield* running.process({ ...job, attempt: 2 }, () => Effect.void)
      assert.strictEqual(double.created.length, 1)
      yield* Fiber.interrupt(dead)
      const failing = jobOf({ model: "owner/name", input: { fail: "something broke" } })
      for (const attempt of [1, 2]) yield* Effect.flip(running.process({ ...failing, attempt }, () => Effect.void))
      assert.strictEqual(double.created.length, 3)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("assets in the input are brought: small ones in it, large ones as files", () =>
    Effect.gen(function* () {
      const store = yield* AssetStore
      const keep = (content: Buffer) => Effect.orDie(store.saveInput({ type: "file", content: Stream.make(content) }))
      const small = yield* keep(png)
      const content = Buffer.concat([png, Buffer.alloc(300_000, "large")])
      const large = yield* keep(content)
      const input = { image: { asset: small.file_name }, more: [{ mask: { asset: large.file_name } }] }
      const { double, result } = yield* run({ version: "abc", input })
      yield* Effect.fromResult(result)
      const brought = {
        image: `data:image/png;base64,${png.toString("base64")}`,
        more: [{ mask: "https://files.example.org/f1" }]
      }
      assert.deepStrictEqual(double.created[0]?.body, { version: "abc", input: brought })
      assert.isTrue(double.uploaded[0]?.includes(content))
      const missing = yield* run({ version: "abc", input: { images: [{ asset: "no.png" }] } })
      const failure = yield* Effect.flip(Effect.fromResult(missing.result))
      assert.deepStrictEqual(
        [failure.kind, failure.message, missing.double.created.length],
        ["InvalidPayload", "input.images[0]: there is no asset no.png", 0]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})
