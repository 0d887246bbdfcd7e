import { connector } from "@muster/connectors/A1111WebSocketConnector"
import * as WebUi from "@muster/connectors/a1111/WebUi"
import * as WebUiJobs from "@muster/connectors/a1111/WebUiJobs"
import { AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import { Asset } from "@muster/core/connector/Asset"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Schema, Stream } from "effect"
import { png } from "./assets/AssetStoreSuite.ts"
import { acquire, eventually, jobOf, services, suite } from "./ConnectorSuite.ts"
import { webUiDouble } from "./doubles/WebUiDouble.ts"

const auth = "painter:very-secret"

const service = (tellsTasks: boolean) =>
  Effect.map(webUiDouble({ tellsTasks, auth }), (double) => ({
    ...double,
    environment: {
      A1111_URL: double.url,
      A1111_API_AUTH: auth,
      A1111_POLL_INTERVAL_MS: "5",
      HTTP_MAX_RETRIES: "0"
    },
    impatient: { A1111_TIMEOUT_SECONDS: "3", HTTP_TIMEOUT_SECONDS: "1" }
  }))

for (const tellsTasks of [true, false]) {
  suite(`A1111WebSocketConnector (${tellsTasks ? "a build that knows tasks" : "a build that does not"})`, {
    connector,
    service: service(tellsTasks),
    quick: { prompt: "a cat", steps: 5 },
    endless: { prompt: "endless" },
    invalid: { prompt: "a cat", steps: 0, sd_model: "x" },
    secrets: [auth, "very-secret", Buffer.from(auth).toString("base64")]
  })
}

const Result = Schema.Struct({ info: Schema.Unknown, images: Schema.Int, assets: Schema.Array(Asset) })

describe("A1111WebSocketConnector", () => {
  const up = Effect.gen(function* () {
    const double = yield* service(true)
    return { double, running: yield* Effect.orDie(acquire(connector, double.environment)) }
  })
  const run = (payload: unknown) =>
    Effect.gen(function* () {
      const { double, running } = yield* up
      return { double, result: yield* Effect.result(running.process(jobOf(payload), () => Effect.void)) }
    })

  it.live("refuses credentials that are not a user and a password", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(acquire(connector, { A1111_API_AUTH: "very-secret" }))
      assert.strictEqual(error.message, "A1111WebSocketConnector: A1111_API_AUTH: Expected user:password")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("keeps its images", () =>
    Effect.gen(function* () {
      const { result } = yield* run({ prompt: "a cat", steps: 1, batch_size: 2 })
      const made = Schema.decodeUnknownSync(Result)(yield* Effect.fromResult(result))
      assert.deepStrictEqual(made.info, { seed: 7, all_seeds: [7], sd_model_name: "v1-5-pruned" })
      assert.deepStrictEqual(
        made.assets.map(({ content_type, size, type }) => [type, content_type, size]),
        [
          ["image", "image/png", png.length],
          ["image", "image/png", png.length]
        ]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("reads images itself and sends their content", () =>
    Effect.gen(function* () {
      const image = `data:image/png;base64,${png.toString("base64")}`
      const { double, result } = yield* run({
        mode: "img2img",
        prompt: "p",
        init_images: [image],
        mask: image,
        steps: 1,
        save_assets: false
      })
      const made = Schema.decodeUnknownSync(Result)(yield* Effect.fromResult(result))
      assert.deepStrictEqual([made.images, made.assets], [1, []])
      const [asked] = double.asked
      assert.strictEqual(asked?.mode, "img2img")
      assert.deepInclude(asked?.request as object, {
        init_images: [png.toString("base64")],
        mask: png.toString("base64"),
        send_images: true
      })
      assert.notProperty(asked?.request, "save_assets")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("refuses what has no prompt before anything is sent", () =>
    Effect.gen(function* () {
      const { double, result } = yield* run({ steps: 5 })
      const { message } = yield* Effect.flip(Effect.fromResult(result))
      assert.deepStrictEqual([message, double.asked.length], ["prompt: Missing key", 0])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("refuses images that are none before anything is sent", () =>
    Effect.gen(function* () {
      const image = `data:image/png;base64,${Buffer.from("no image").toString("base64")}`
      const { double, result } = yield* run({ mode: "img2img", prompt: "p", init_images: [image] })
      const failure = yield* Effect.flip(Effect.fromResult(result))
      assert.deepStrictEqual([failure.kind, double.asked.length], ["InvalidPayload", 0])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live(
    "refuses images that are too much together",
    () =>
      Effect.gen(function* () {
        const store = yield* AssetStore
        const image = Buffer.concat([png, Buffer.alloc(45 * 1024 * 1024)])
        const { file_name: asset } = yield* Effect.orDie(
          store.saveInput({ type: "image", content: Stream.make(image) })
        )
        const { double, result } = yield* run({
          mode: "img2img",
          prompt: "p",
          init_images: [{ asset }, { asset }],
          mask: { asset }
        })
        const failure = yield* Effect.flip(Effect.fromResult(result))
        assert.deepStrictEqual([failure.kind, double.asked.length], ["InvalidPayload", 0])
        assert.match(failure.message, /^mask: the images are larger than .* together$/)
      }).pipe(Effect.scoped, Effect.provide(services)),
    120_000
  )

  it.live("tells what is wrong, and when memory ran out", () =>
    Effect.gen(function* () {
      const wrong = yield* Effect.flip(Effect.fromResult((yield* run({ prompt: "wrong" })).result))
      assert.deepStrictEqual(
        [wrong.kind, wrong.message],
        ["InvalidPayload", "the web UI answered 422: body.sampler_name: no sampler"]
      )
      const oom = yield* Effect.flip(Effect.fromResult((yield* run({ prompt: "oom", steps: 1 })).result))
      assert.strictEqual(oom.kind, "ResourceExhausted")
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("waits for others, and stops nothing of theirs", () =>
    Effect.gen(function* () {
      const { double, running } = yield* up
      double.busy("somebody else", 10)
      const fiber = yield* Effect.forkChild(running.process(jobOf({ prompt: "endless" }), () => Effect.void))
      yield* eventually("ours begins", () => double.asked.length === 1)
      double.busy("the next", 3)
      yield* Fiber.interrupt(fiber)
      yield* eventually("all is done", () => double.running() === 0)
      assert.deepStrictEqual(
        double.interrupted.map((id) => id.startsWith("muster-")),
        [true]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("one that waits behind others when it is cancelled is stopped when its turn comes, and no other", () =>
    Effect.gen(function* () {
      const double = yield* webUiDouble({ tellsTasks: true })
      const seconds = Duration.seconds
      const webUi = yield* WebUi.make({
        url: double.url,
        auth: undefined,
        timeout: seconds(30),
        generationTimeout: seconds(60),
        maxRetries: 0
      })
      const settings = { pollEvery: Duration.millis(5), patience: seconds(60), stopWithin: Duration.millis(50) }
      const running = yield* WebUiJobs.make(webUi, settings)
      double.overtake("somebody else")
      const fiber = yield* Effect.forkChild(running.process(jobOf({ prompt: "endless" }), () => Effect.void))
      yield* eventually("ours waits", () => double.running() === 2)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual([double.running(), double.interrupted], [2, []])
      double.leave()
      yield* running.process(jobOf({ prompt: "a cat", steps: 1 }), () => Effect.void)
      assert.strictEqual(double.running(), 0)
      assert.deepStrictEqual(
        double.interrupted.map((id) => id.startsWith("muster-")),
        [true]
      )
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("images that could not be stored are not made again by the next attempt", () =>
    Effect.gen(function* () {
      let isFull = true
      const store = yield* AssetStore
      const failing = AssetStore.of({
        ...store,
        save: (asset) =>
          isFull ? Effect.fail(new AssetFailed({ detail: "the disk is full", cause: undefined })) : store.save(asset)
      })
      const { double, running } = yield* Effect.provideService(up, AssetStore, failing)
      const job = jobOf({ prompt: "a cat", steps: 1 })
      const failure = yield* Effect.flip(running.process(job, () => Effect.void))
      assert.strictEqual(failure.kind, "AssetFailed")
      isFull = false
      yield* running.process({ ...job, attempt: 2 }, () => Effect.void)
      assert.strictEqual(double.asked.length, 1)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("offers its models, its samplers and its memory", () =>
    Effect.gen(function* () {
      const { running } = yield* up
      assert.deepStrictEqual(yield* running.offer!, {
        hardware: { gpu_count: 1, gpu_memory_gb: 24 },
        models: ["v1-5-pruned", "v1-5-pruned.safetensors [6ce0161689]"],
        labels: { samplers: ["Euler a"] }
      })
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})
