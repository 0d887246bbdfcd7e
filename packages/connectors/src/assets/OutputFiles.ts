/**
 * Files in the JSON that a service answers: `data:` URLs, URLs, and base64 where the service says that it is. They become
 * assets, and in their place stands the name of the asset; results hold no URLs and no content.
 */
import type { Asset } from "@muster/core/connector/Asset"
import type { AssetStore } from "@muster/core/connector/AssetStore"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import type { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { RemoteFiles } from "@muster/core/connector/RemoteFiles"
import { Effect } from "effect"
import { saveUrl } from "./Saving.ts"

/** Files of one answer at most, and how deep in it; what is more or deeper is left as it is. */
const mostFiles = 1_000
export const deepest = 20

const isFile = (text: string): boolean => /^data:[^,]{0,200},/.test(text) || /^https?:\/\/\S+$/.test(text)

export interface SavedOutput {
  readonly output: unknown
  readonly assets: ReadonlyArray<Asset>
}

/** Saves the files in an output. `isWanted` decides by the path of a text in it whether that names a file. */
export const save = Effect.fnUntraced(function* (
  job: Pick<ConnectorJob, "id" | "attempt">,
  output: unknown,
  isWanted: (path: ReadonlyArray<string | number>) => boolean = () => true
): Effect.fn.Return<SavedOutput, ConnectorFailure, AssetStore | RemoteFiles> {
  const assets: Array<Asset> = []

  const walk = (
    value: unknown,
    path: ReadonlyArray<string | number>
  ): Effect.Effect<unknown, ConnectorFailure, AssetStore | RemoteFiles> => {
    if (path.length > deepest) return Effect.succeed(value)
    if (typeof value === "string") {
      if (assets.length >= mostFiles || !isFile(value) || !isWanted(path)) return Effect.succeed(value)
      return Effect.map(saveUrl(job, value), (asset) => {
        assets.push(asset)
        return { asset: asset.file_name }
      })
    }
    if (Array.isArray(value)) return Effect.forEach(value, (member, at) => walk(member, [...path, at]))
    if (typeof value !== "object" || value === null) return Effect.succeed(value)
    return Effect.map(
      Effect.forEach(Object.entries(value), ([name, member]) =>
        Effect.map(walk(member, [...path, name]), (saved) => [name, saved] as const)
      ),
      (members) => Object.fromEntries(members)
    )
  }

  const saved = yield* walk(output, [])
  return { output: saved, assets }
})
