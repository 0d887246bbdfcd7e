/** What every asset store does: spool, store, read back, and try the storing again, never the work. */
import { type Asset } from "@muster/core/connector/Asset"
import {
  type AssetContent,
  AssetFailed,
  AssetStore,
  largestPreview,
  type StoredAsset
} from "@muster/core/connector/AssetStore"
import { Effect, FileSystem, Option, Path, Schedule, Stream } from "effect"
import { createHash } from "node:crypto"
import * as AssetName from "./AssetName.ts"
import * as ContentType from "./ContentType.ts"
import * as Spool from "./Spool.ts"

/** Where bytes are put: a folder, a container. */
export interface Place {
  /** Puts a file at a path, in the place of what is there: the same content, or an older note or preview. */
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

  const savePreview = (job: AssetContent["job"], picture: Uint8Array) =>
    Effect.gen(function* () {
      const kind = yield* ContentType.ofPicture(picture)
      if (kind === undefined || picture.length > largestPreview) {
        const size = `${picture.length} bytes`
        return yield* Spool.failed(`a preview of ${size} is no picture, or too large`)(new Error(size))
      }
      const file_name = AssetName.ofPreview(job, kind.extension)
      const path = AssetName.pathOfJob(job.id, file_name)
      if (path === undefined) return yield* Spool.failed("a preview cannot have this name")(new Error(file_name))
      yield* place.put(yield* Spool.write(folder, { type: "image", content: Stream.make(picture) }), path)
      return file_name
    }).pipe(Effect.scoped, Effect.provideContext(services))

  /** Read as a whole: while it was sent in parts, another could take its place. */
  const openPreview = Effect.fnUntraced(function* (path: string) {
    const found = yield* place.open(path)
    if (Option.isNone(found) || found.value.size > largestPreview) return Option.none<StoredAsset>()
    const bytes = Buffer.concat(yield* Stream.runCollect(found.value.content))
    return Option.some<StoredAsset>({
      content_type: found.value.content_type,
      size: bytes.length,
      content: Stream.make(bytes),
      version: createHash("sha256").update(bytes).digest("hex")
    })
  })

  return AssetStore.of({
    save: (content) => store(content, (spooled) => AssetName.ofJob(content.type, content.job, spooled)),
    open: (job, file_name) => {
      const path = AssetName.pathOfJob(job, file_name)
      return path !== undefined && AssetName.isPreview(file_name) ? openPreview(path) : openAt(path)
    },
    savePreview,
    saveInput: (content) => store(content, (spooled) => AssetName.ofInput(content.type, spooled)),
    openInput: (file_name) => openAt(AssetName.pathOfInput(file_name)),
    note,
    noted,
    ping: place.ping
  })
})
