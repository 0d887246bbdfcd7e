import { AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import * as AssetCheck from "@muster/impl/AssetCheck"
import * as ConnectorLayers from "@muster/impl/ConnectorLayers"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "muster-assets-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

const settings = (workspace: string): ConnectorLayers.ConnectorSettings => ({
  workspace,
  assets: { provider: "folder" },
  fetchFrom: false
})

/** A place whose store says this of itself. */
const saying = (ping: Effect.Effect<void, AssetFailed>) => Layer.mock(AssetStore, { ping })

const away = new AssetFailed({ detail: "Azure storage: it does not answer", cause: new Error("ECONNREFUSED") })

const found = (given: ConnectorLayers.ConnectorSettings) =>
  Effect.gen(function* () {
    yield* Layer.build(AssetCheck.diagnosis(given))
    const { checks } = yield* Diagnosis.Diagnosis
    return yield* Stream.runCollect(Diagnosis.run(yield* checks))
  }).pipe(Effect.provide(ConnectorLayers.assetStore(given)), Effect.provide(Diagnosis.layer))

describe("where assets are kept", () => {
  it.live("a folder is made, and is well", () =>
    Effect.gen(function* () {
      const given = settings(join(yield* folder, "new"))
      yield* AssetCheck.beforeWork(given).pipe(Effect.provide(ConnectorLayers.assetStore(given)))
      const [finding] = yield* found(given)
      assert.deepInclude(finding, { name: "assets", verdict: "ok", detail: `are kept in ${given.workspace}/assets` })
    })
  )

  it.live("a folder that cannot be: a worker does not start, and a server says so", () =>
    Effect.gen(function* () {
      const file = join(yield* folder, "file")
      yield* Effect.promise(() => writeFile(file, ""))
      const given = settings(file)
      const refused = yield* Effect.flip(
        AssetCheck.beforeWork(given).pipe(Effect.provide(ConnectorLayers.assetStore(given)))
      )
      assert.strictEqual(refused.path, "MUSTER_WORKSPACE")
      assert.include(refused.detail, `${file}/assets cannot be written to; let MUSTER_WORKSPACE name a folder`)
      const [finding] = yield* found(given)
      assert.deepInclude(finding, { name: "assets", verdict: "error" })
    })
  )

  it.effect("a place that is away passes, and holds up no start", () =>
    AssetCheck.beforeWork(settings("/anywhere")).pipe(Effect.provide(saying(Effect.fail(away))))
  )

  it.live("nor does one that does not answer", () =>
    AssetCheck.beforeWork(settings("/anywhere"), "10 millis").pipe(Effect.provide(saying(Effect.never)))
  )
})
