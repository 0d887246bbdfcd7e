import { connector } from "@muster/connectors/RunPodConnector"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { Asset } from "@muster/core/connector/Asset"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { acquire, eventually, jobOf, services, suite } from "./ConnectorSuite.ts"
import { png } from "./assets/AssetStoreSuite.ts"
import { endpoint, runPodDouble } from "./doubles/RunPodDouble.ts"

const key = "rpa_very_secret"

const service = Effect.map(runPodDouble(key), (double) => ({
  ...double,
  environment: {
    RUNPOD_API_KEY: key,
    RUNPOD_ENDPOINT_ID: endpoint,
    RUNPOD_BASE_URL: double.url,
    RUNPOD_MAX_RETRIES: "1",
    RUNPOD_POLL_INTERVAL_MS: "10"
  },
  impatient: { RUNPOD_TIMEOUT_SECONDS: "1", RUNPOD_MAX_RETRIES: "0" }
}))

suite("RunPodConnector", {
  connector,
  service,
  quick: { input: { looks: 4 } },
  endless: { input: { endless: true } },
  invalid: { inputs: {} },
  failures: { html: null },
  secrets: [key]
})

const Result = Schema.Struct({ output: Schema.Unknown, assets: Schema.Array(Asset) })

describe("RunPodConnector", () => {
  it.live("keeps files that a handler answers in base64, and sends the request as it is", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      const output = { images: [{ filename: "a.png", type: "base64", data: png.toString("base64") }] }
      const payload = { input: { output }, policy: { executionTimeout: 5_000 } }
      const result = yield* running.process(jobOf(payload), () => Effect.void)
      const { assets, output: saved } = Schema.decodeUnknownSync(Result)(result)
      assert.deepStrictEqual(
        assets.map(({ content_type, size, type }) => [content_type, size, type]),
        [["image/png", png.length, "image"]]
      )
      assert.deepStrictEqual(saved, {
        images: [{ filename: "a.png", type: "base64", data: { asset: assets[0]?.file_name } }]
      })
      assert.deepStrictEqual(double.created, [payload])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("says why a run failed", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      const failure = yield* Effect.flip(running.process(jobOf({ input: { fail: "no model" } }), () => Effect.void))
      assert.deepStrictEqual([failure.kind, failure.message], ["ServiceUnavailable", "the run failed: no model"])
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("what an earlier attempt paid for is not run again, and assets are brought in the request", () =>
    Effect.gen(function* () {
      const double = yield* service
      const running = yield* Effect.orDie(acquire(connector, double.environment))
      const store = yield* AssetStore
      const { file_name } = yield* Effect.orDie(store.saveInput({ type: "image", content: Stream.make(png) }))
      const job = jobOf({ input: { looks: 100, image: { asset: file_name } } })
      // Dies without a word: nothing is cancelled.
      const dead = yield* Effect.forkDetach(running.process(job, () => Effect.void))
      yield* eventually("it is noted and followed", () => double.looks() > 1)
      yield* running.process({ ...job, attempt: 2 }, () => Effect.void)
      assert.deepStrictEqual(double.created, [
        { input: { looks: 100, image: `data:image/png;base64,${png.toString("base64")}` } }
      ])
      yield* Fiber.interrupt(dead)
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})
