/** What every asset store does: spool, store, read back, and try the storing again, never the work. */
import { type Asset } from "@muster/core/connector/Asset"
import { type AssetContent, AssetFailed, AssetStore, type StoredAsset } from "@muster/core/connector/AssetStore"
import { Effect, FileSystem, Option, Path, Schedule, Stream } from "effect"
import * as AssetName from "./AssetName.ts"
import * as Spool from "./Spool.ts"

/** Where bytes are put: a folder, a container. */
export interface Place {
  /** Puts a file at a path, in the place of what is there: the same content, or an older note. */
  readonly put: (from: Spool.Spooled, path: string) => Effect.Effect<void, AssetFailed>
  readonly open: (path: string) => Effect.Effect<Option.Option<StoredAsset>, AssetFailed>
  /** Done once an asset is stored: waits for a CDN, say. Never fails. */
  readonly published?: ((asset: Asset) => Effect.Effect<void>) | undefined
  readonly ping: Effect.Effect<void, AssetFailed>
}

/** After the first try. */
const tries = 3
const patiently = Schedule.jittered(Schedule.exponential("200 millis"))

/** The longest note, in characters. */
const longestNote = 1_000

/** A store over a place; contents wait in `folder` until they are stored. */
export const make = Effect.fnUntraced(function* (folder: string, place: Place) {
  const services = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  yield* Effect.forkScoped(Spool.sweeping(folder))

  const again = <A>(self: Effect.Effect<A, AssetFailed>) =>
    self.pipe(
      Effect.tapError((error) => Effect.logWarning(error.message, error.cause)),
      Effect.retry({ times: tries, schedule: patiently })
    )

  const readBack = Effect.fnUntraced(function* (asset: Asset) {
    const stored = yield* place.open(asset.file_path)
    if (Option.isNone(stored)) return yield* Spool.failed("what was stored cannot be found")(new Error("no such asset"))
    yield* Spool.sameAs(asset, stored.value.content)
  })

  const store = (content: Omit<AssetContent, "job">, name: (spooled: Spool.Spooled) => Asset) =>
    Effect.gen(function* () {
      const spooled = yield* Spool.write(folder, content)
      const asset = name(spooled)
      yield* again(Effect.andThen(place.put(spooled, asset.file_path), readBack(asset)))
      yield* place.published?.(asset) ?? Effect.void
      return asset
    }).pipe(Effect.scoped, Effect.provideContext(services))

  const notePath = (job: string, name: string) => {
    const path = AssetName.pathOfNote(job, name)
    return path === undefined
      ? Effect.fail(Spool.failed("a note cannot have this name")(new Error(name)))
      : Effect.succeed(path)
  }

  const note = (job: string, name: string, words: string) =>
    Effect.gen(function* () {
      const path = yield* notePath(job, name)
      const content = Stream.make(Buffer.from(words.slice(0, longestNote)))
      const spooled = yield* Spool.write(folder, { type: "text", content })
      yield* again(place.put(spooled, path))
    }).pipe(Effect.scoped, Effect.provideContext(services))

  const noted = Effect.fnUntraced(function* (job: string, name: string) {
    const found = yield* again(Effect.flatMap(notePath(job, name), place.open))
    if (Option.isNone(found)) return Option.none<string>()
    const parts = yield* Stream.runCollect(found.value.content)
    return Option.some(Buffer.concat(parts).toString().slice(0, longestNote))
  })

  const openAt = (path: string | undefined) =>
    path === undefined ? Effect.succeed(Option.none<StoredAsset>()) : place.open(path)

  return AssetStore.of({
    save: (content) => store(content, (spooled) => AssetName.ofJob(content.type, content.job, spooled)),
    open: (job, file_name) => openAt(AssetName.pathOfJob(job, file_name)),
    saveInput: (content) => store(content, (spooled) => AssetName.ofInput(content.type, spooled)),
    openInput: (file_name) => openAt(AssetName.pathOfInput(file_name)),
    note,
    noted,
    ping: place.ping
  })
})
