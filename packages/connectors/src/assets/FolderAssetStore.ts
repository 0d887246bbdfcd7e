/** Assets in a folder: what a broker without a cloud uses. A name appears only with all of its content behind it. */
import { AssetStore } from "@muster/core/connector/AssetStore"
import { Effect, FileSystem, Layer, Option, Path, type PlatformError, Stream } from "effect"
import { ofName } from "./ContentType.ts"
import { failed, refused } from "./Spool.ts"
import * as Storing from "./Storing.ts"

const isMissing = (error: PlatformError.PlatformError): boolean => error.reason._tag === "NotFound"

/** Keeps assets below `root`, which is made when it is not there. */
export const layer = (root: string): Layer.Layer<AssetStore, never, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    AssetStore,
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const paths = yield* Path.Path
      const incoming = paths.join(root, "incoming")
      const folders = files.makeDirectory(incoming, { recursive: true })
      // A disk that is full or away is told by ping and by each save, not by the start.
      yield* Effect.ignore(folders)

      /** So that the name outlives a loss of power as the content does. */
      const syncFolder = (folder: string) =>
        Effect.scoped(Effect.flatMap(files.open(folder, { flag: "r" }), (opened) => opened.sync)).pipe(Effect.ignore)

      /** Where a file can have one name only, as on many network folders. */
      const copy = (from: string, to: string) =>
        Effect.andThen(
          files.copyFile(from, to),
          Effect.scoped(Effect.flatMap(files.open(to, { flag: "r+" }), (opened) => opened.sync))
        )

      const put = Effect.fnUntraced(
        function* (from: { readonly path: string }, path: string) {
          const to = paths.join(root, path)
          const folder = paths.dirname(to)
          yield* files.makeDirectory(folder, { recursive: true })
          // The content is needed again when reading it back fails, so a second name of it is moved.
          const second = `${from.path}-${globalThis.crypto.randomUUID()}`
          yield* Effect.ensuring(
            Effect.andThen(
              Effect.catch(files.link(from.path, second), () => copy(from.path, second)),
              files.rename(second, to)
            ),
            Effect.ignore(files.remove(second, { force: true }))
          )
          yield* syncFolder(folder)
        },
        Effect.mapError(failed("it cannot be moved into its folder"))
      )

      const open = Effect.fnUntraced(
        function* (path: string) {
          const at = paths.join(root, path)
          const info = yield* files.stat(at)
          if (info.type !== "File") return Option.none()
          return Option.some({
            content_type: ofName(path),
            size: Number(info.size),
            content: Stream.mapError(files.stream(at), failed("it cannot be read"))
          })
        },
        Effect.catchIf(isMissing, () => Effect.succeedNone),
        Effect.mapError(failed("it cannot be read"))
      )

      return yield* Storing.make(incoming, {
        put,
        open,
        ping: Effect.andThen(folders, files.access(incoming, { writable: true })).pipe(
          Effect.mapError(refused(`${root} cannot be written to`))
        )
      })
    })
  )
