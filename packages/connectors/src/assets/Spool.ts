/**
 * Content on its way to a store, in a file of its own: its hash is part of its name, so it has to be read through once
 * before it can be stored, and it may be larger than memory.
 */
import { AssetFailed, type AssetContent } from "@muster/core/connector/AssetStore"
import { Clock, Duration, Effect, FileSystem, Option, Path, Schedule, Stream } from "effect"
import { createHash } from "node:crypto"
import { type ContentType, detect, telling } from "./ContentType.ts"

export interface Spooled extends ContentType {
  readonly path: string
  readonly size: number
  readonly sha256: string
}

export const failed = (detail: string) => (cause: unknown) => new AssetFailed({ detail, cause })

/** The same, when waiting heals nothing. */
export const refused = (detail: string) => (cause: unknown) => new AssetFailed({ detail, cause, refused: true })

/** Names of such files, and of second names they are given on their way. */
const isSpooled = (name: string): boolean => /^\.[0-9a-f-]{36}\.part(?:-[0-9a-f-]{36})?$/.test(name)

/** Nothing is on its way for so long without being written to. */
const lostAfter = Duration.hours(6)
const sweepEvery = Duration.hours(1)

/** Removes what processes that died left on its way, now and every hour. Others may be writing into the same folder. */
export const sweeping = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const sweep = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    for (const name of yield* files.readDirectory(folder)) {
      if (!isSpooled(name)) continue
      const path = paths.join(folder, name)
      const { mtime } = yield* files.stat(path)
      const written = Option.match(mtime, { onNone: () => now, onSome: (date) => date.getTime() })
      if (now - written > Duration.toMillis(lostAfter)) yield* files.remove(path, { force: true })
    }
  })
  // What another process removes first is no matter, and a disk that is away is told by each save.
  return yield* Effect.repeat(Effect.ignore(sweep), Schedule.spaced(sweepEvery))
})

/** Writes content into a new file in `folder`, through to the disk; the file goes with the scope. */
export const write = Effect.fnUntraced(function* (
  folder: string,
  asset: Pick<AssetContent, "type" | "content" | "content_type">
) {
  const files = yield* FileSystem.FileSystem
  const paths = yield* Path.Path
  const path = paths.join(folder, `.${globalThis.crypto.randomUUID()}.part`)
  yield* Effect.addFinalizer(() => Effect.ignore(files.remove(path, { force: true })))
  const hash = createHash("sha256")
  let beginning: Uint8Array = new Uint8Array(0)
  let size = 0
  yield* Effect.scoped(
    Effect.gen(function* () {
      const file = yield* files.open(path, { flag: "wx" })
      yield* Stream.runForEach(asset.content, (bytes) => {
        hash.update(bytes)
        size += bytes.length
        if (beginning.length < telling) beginning = Buffer.concat([beginning, bytes.subarray(0, telling)])
        return file.writeAll(bytes)
      })
      yield* file.sync
    })
  ).pipe(Effect.catchTag("PlatformError", (error) => Effect.fail(failed("it cannot be written to disk")(error))))
  const { content_type, extension } = yield* detect(beginning, asset.type, asset.content_type)
  return { path, size, sha256: hash.digest("hex"), content_type, extension } satisfies Spooled
})

/** Fails unless content read back is what was spooled. */
export const sameAs = Effect.fnUntraced(function* (
  { sha256, size }: Pick<Spooled, "sha256" | "size">,
  content: Stream.Stream<Uint8Array, AssetFailed>
) {
  const hash = createHash("sha256")
  let read = 0
  yield* Stream.runForEach(content, (bytes) =>
    Effect.sync(() => {
      hash.update(bytes)
      read += bytes.length
    })
  )
  if (read === size && hash.digest("hex") === sha256) return
  return yield* failed(`what is stored is not what was sent (${read} of ${size} bytes)`)(new Error("the hashes differ"))
})
