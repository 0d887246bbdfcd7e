import { connector } from "@muster/connectors/OpenAIImg2ImgConnector"
import { largest } from "@muster/connectors/assets/InputImage"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { png } from "./assets/AssetStoreSuite.ts"
import { acquire, jobOf, services, suite } from "./ConnectorSuite.ts"
import { key, run, service } from "./openaiService.ts"
import { localService } from "./protocol/LocalService.ts"

const image = `data:image/png;base64,${png.toString("base64")}`

suite("OpenAIImg2ImgConnector", {
  connector,
  service,
  quick: { prompt: "with a hat", image },
  endless: { prompt: "endless hats", image },
  invalid: { prompt: "with a hat", image: "data:text/plain,hello" },
  secrets: [key]
})

const field = (form: string, name: string) => new RegExp(`name="${name}"\\r\\n\\r\\n([^\\r]*)\\r\\n`).exec(form)?.[1]

interface Made {
  readonly usage: { readonly total_tokens: number }
  readonly assets: ReadonlyArray<{ readonly content_type: string; readonly size: number }>
}

describe("OpenAIImg2ImgConnector", () => {
  it.live("sends images from everywhere in one form, and keeps what comes back", () =>
    Effect.gen(function* () {
      const files = yield* localService((_, response) => response.writeHead(200).end(png))
      const store = yield* AssetStore
      const input = yield* store.saveInput({ type: "image", content: Stream.make(png) })
      const old = jobOf({})
      const kept = yield* store.save({ job: old, type: "image", content: Stream.make(png) })
      const { double, result } = yield* run(connector, {
        prompt: "with a hat",
        images: [
          image,
          { url: `${files.url}/a.png` },
          { asset: input.file_name },
          { asset: kept.file_name, job_id: old.id }
        ],
        mask: image,
        quality: "hd",
        n: 2,
        input_fidelity: "high"
      })
      const { assets, usage } = (yield* Effect.fromResult(result)) as Made
      assert.deepStrictEqual(
        assets.map(({ content_type, size }) => [content_type, size]),
        [["image/png", png.length]]
      )
      assert.strictEqual(usage.total_tokens, 33)
      const form = String(double.paid[0]?.body)
      assert.strictEqual(form.match(/name="image\[\]"; filename="image\.png"/g)?.length, 4)
      assert.strictEqual(form.match(/name="mask"; filename="mask\.png"/g)?.length, 1)
      const fields = ["prompt", "model", "size", "quality", "n", "input_fidelity", "response_format"]
      assert.deepStrictEqual(
        fields.map((name) => field(form, name)),
        ["with a hat", "gpt-image-2.5-flare", "1024x1024", "high", "2", "high", undefined]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  const bad: ReadonlyArray<readonly [what: string, payload: Record<string, unknown>, words: string]> = [
    ["no image", { prompt: "p" }, "image: "],
    ["two ways of saying it", { prompt: "p", image, images: [image] }, "image: "],
    ["seventeen of them", { prompt: "p", images: Array.from({ length: 17 }, () => image) }, "images: "],
    ["a text that says it is one", { prompt: "p", image: "data:image/png;base64,aGVsbG8=" }, "is none"],
    ["one of another kind", { prompt: "p", image: "data:image/gif;base64,R0lGODlhAQABAAAAACw=" }, "image/gif"],
    ["what is no URL", { prompt: "p", image: "file:///etc/passwd" }, "not an http"],
    ["an asset that is not there", { prompt: "p", image: { asset: "nothing.png" } }, "there is no asset"],
    ["a way out of the store", { prompt: "p", image: { asset: "../../etc/passwd" } }, "image.asset: "],
    ["a mask that is none", { prompt: "p", image, mask: "data:,x" }, "mask: "],
    ["a model that is not allowed", { prompt: "p", image, model: "gpt-image-dear" }, "gpt-image-dear"]
  ]
  for (const [what, payload, words] of bad) {
    it.live(`${what} is refused before anything is sent`, () =>
      Effect.gen(function* () {
        const { double, result } = yield* run(connector, payload)
        const failure = yield* Effect.flip(Effect.fromResult(result))
        assert.strictEqual(failure.kind, "InvalidPayload", failure.message)
        assert.include(failure.message, words)
        assert.strictEqual(double.asked.length, 0)
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }

  it.live(
    "what is too large is refused, wherever it comes from",
    () =>
      Effect.gen(function* () {
        const large = Buffer.concat([png, Buffer.alloc(largest)])
        const files = yield* localService((_, response) => response.writeHead(200).end(large))
        const store = yield* AssetStore
        const { file_name } = yield* store.saveInput({ type: "image", content: Stream.make(large) })
        const double = yield* service
        const running = yield* Effect.orDie(acquire(connector, double.environment))
        const base64 = `data:image/png;base64,${Buffer.concat([png, Buffer.alloc(100_000_000)]).toString("base64")}`
        for (const one of [`${files.url}/large.png`, { asset: file_name }, base64]) {
          const failure = yield* Effect.flip(running.process(jobOf({ prompt: "p", image: one }), () => Effect.void))
          assert.strictEqual(failure.kind, "InvalidPayload")
          assert.include(failure.message, `${largest} bytes`)
          assert.isBelow(failure.message.length, 500)
        }
        assert.strictEqual(double.asked.length, 0)
      }).pipe(Effect.scoped, Effect.provide(services)),
    120_000
  )

  it.live(
    "images that are too large together are refused, before anything is paid",
    () =>
      Effect.gen(function* () {
        const large = Buffer.concat([png, Buffer.alloc(largest - png.length)])
        const store = yield* AssetStore
        const { file_name } = yield* store.saveInput({ type: "image", content: Stream.make(large) })
        const double = yield* service
        const running = yield* Effect.orDie(acquire(connector, double.environment))
        const images = Array.from({ length: 3 }, () => ({ asset: file_name }))
        const failure = yield* Effect.flip(running.process(jobOf({ prompt: "p", images }), () => Effect.void))
        assert.deepStrictEqual([failure.kind, double.asked.length], ["InvalidPayload", 0])
        assert.match(failure.message, /^images: together they are larger/)
      }).pipe(Effect.scoped, Effect.provide(services)),
    120_000
  )
})
