import { NodeServices } from "@effect/platform-node"
import * as FolderAssetStore from "@muster/connectors/assets/FolderAssetStore"
import { AssetStore } from "@muster/core/connector/AssetStore"
import { JobId } from "@muster/core/job/Job"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Option, Schedule, Stream } from "effect"
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
        yield* store.savePreview(job, png)
        const preview = yield* store.savePreview(job, png)
        assert.deepStrictEqual(yield* files.readDirectory(`${root}/incoming`), [])
        assert.sameMembers(yield* files.readDirectory(`${root}/jobs/j`), [asset.file_name, preview])
      }).pipe(Effect.provide(FolderAssetStore.layer(root)))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("are kept where a file can have one name only", () => {
    const oneName = Layer.effect(
      FileSystem.FileSystem,
      Effect.map(FileSystem.FileSystem, (files) => ({
        ...files,
        link: (from: string, to: string) => files.stat(`${from}-${to}-of-nothing`).pipe(Effect.asVoid)
      }))
    ).pipe(Layer.provide(NodeServices.layer))
    return Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const root = yield* files.makeTempDirectoryScoped({ prefix: "muster-assets-" })
      const store = yield* AssetStore.pipe(Effect.provide(Layer.provide(FolderAssetStore.layer(root), oneName)))
      const asset = yield* store.save({
        job: { id: JobId.make("j"), attempt: 1 },
        type: "image",
        content: Stream.make(png)
      })
      assert.deepStrictEqual(Buffer.from(yield* files.readFile(`${root}/${asset.file_path}`)), png)
      assert.deepStrictEqual(yield* files.readDirectory(`${root}/incoming`), [])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  })

  it.live("are cleared of what a process that died left on its way, and of nothing else", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const root = yield* files.makeTempDirectoryScoped({ prefix: "muster-assets-" })
      const incoming = `${root}/incoming`
      yield* files.makeDirectory(incoming)
      const name = () => `.${globalThis.crypto.randomUUID()}.part`
      const [lost, second, young] = [name(), `${name()}-${globalThis.crypto.randomUUID()}`, name()]
      const longAgo = new Date(Date.now() - 7 * 3_600_000)
      for (const one of [lost, second, young, "mine.txt"]) {
        yield* files.writeFileString(`${incoming}/${one}`, "half")
        if (one !== young) yield* files.utimes(`${incoming}/${one}`, longAgo, longAgo)
      }
      yield* Effect.gen(function* () {
        yield* AssetStore
        yield* files.readDirectory(incoming).pipe(
          Effect.filterOrFail((names) => names.length === 2),
          Effect.retry({ schedule: Schedule.spaced("5 millis") }),
          Effect.timeout("10 seconds")
        )
        assert.sameMembers(yield* files.readDirectory(incoming), [young, "mine.txt"])
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
