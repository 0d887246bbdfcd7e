import { NodeServices } from "@effect/platform-node"
import * as FolderAssetStore from "@muster/connectors/assets/FolderAssetStore"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { JobId } from "@muster/core/job/Job"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Option, Stream } from "effect"
import { png, suite } from "./AssetStoreSuite.ts"

const inFolder = (use: (folder: string) => Layer.Layer<AssetStore, never, FileSystem.FileSystem | never>) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      return use(yield* files.makeTempDirectoryScoped({ prefix: "muster-assets-" }))
    })
  )

describe("assets in a folder", () => {
  const layer = inFolder((folder) => FolderAssetStore.layer(`${folder}/assets`).pipe(Layer.provide(NodeServices.layer)))
  suite(layer.pipe(Layer.provide(NodeServices.layer), Layer.orDie))

  it.live("leave no part of a file behind", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const root = yield* files.makeTempDirectoryScoped({ prefix: "muster-assets-" })
      yield* Effect.gen(function* () {
        const store = yield* AssetStore
        const job = { id: JobId.make("j"), attempt: 1 }
        const save = store.save({ job, type: "image", content: Stream.make(png) })
        const asset = yield* save
        // A file that was damaged since is made whole by saving it again.
        yield* files.writeFileString(`${root}/${asset.file_path}`, "damaged")
        yield* save
        const found = Option.getOrThrow(yield* store.open(job.id, asset.file_name))
        assert.strictEqual(found.size, png.length)
        yield* Effect.interruptible(
          Effect.timeoutOption(
            store.save({ job, type: "image", content: Stream.concat(Stream.make(png), Stream.never) }),
            "50 millis"
          )
        )
        assert.deepStrictEqual(yield* files.readDirectory(`${root}/incoming`), [])
        assert.deepStrictEqual(yield* files.readDirectory(`${root}/jobs/j`), [asset.file_name])
      }).pipe(Effect.provide(FolderAssetStore.layer(root)))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("say when they cannot be written", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const root = yield* files.makeTempDirectoryScoped({ prefix: "muster-assets-" })
      yield* files.writeFileString(`${root}/file`, "")
      const store = yield* AssetStore.pipe(Effect.provide(FolderAssetStore.layer(`${root}/file`)))
      assert.match((yield* Effect.flip(store.ping)).detail, /file cannot be written to/)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
