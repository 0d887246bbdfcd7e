/** How connectors keep what a service made. A job may say `save_assets: false`: then nothing is kept. */
import type { Asset, AssetType } from "@muster/core/connector/Asset"
import { AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { RemoteFiles } from "@muster/core/connector/RemoteFiles"
import { Effect, Stream } from "effect"

/** The largest file that is fetched for a job, in bytes. */
export const largestFile = 4 * 1024 * 1024 * 1024

const asFailure = (error: AssetFailed) => new ConnectorFailure({ kind: "AssetFailed", message: error.message })

type Of = Pick<ConnectorJob, "id" | "attempt">

/** Keeps content that is there. */
export const saveBytes = Effect.fnUntraced(function* (
  job: Of,
  type: AssetType,
  content: Uint8Array,
  content_type?: string | undefined
): Effect.fn.Return<Asset, ConnectorFailure, AssetStore> {
  const store = yield* AssetStore
  return yield* Effect.mapError(store.save({ job, type, content: Stream.make(content), content_type }), asFailure)
})

/**
 * Fetches a file and keeps it, without holding it in memory. Both are tried again together: what broke off is fetched
 * anew, and nothing else is done twice.
 */
export const saveUrl = Effect.fnUntraced(
  function* (job: Of, url: string): Effect.fn.Return<Asset, ConnectorFailure, AssetStore | RemoteFiles> {
    const store = yield* AssetStore
    const files = yield* RemoteFiles
    const file = yield* files.open(url, { maxBytes: largestFile })
    const content = Stream.mapError(
      file.content,
      (failure) => new AssetFailed({ detail: failure.message, cause: failure })
    )
    return yield* Effect.mapError(
      store.save({ job, type: "file", content, content_type: file.content_type }),
      asFailure
    )
  },
  Effect.retry({
    times: 2,
    while: (failure) => failure.kind === "AssetFailed" || failure.kind === "ServiceUnavailable"
  }),
  // The work is done and paid for: whatever keeps its files away is a matter of storage.
  Effect.mapError((failure) => new ConnectorFailure({ kind: "AssetFailed", message: failure.message }))
)
