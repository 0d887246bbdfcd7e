/**
 * Files that a job gives to its service: by URL, as a `data:` URL, or as an asset that is there. Such a file waits in a
 * file of this process and is sent from there, so that a large one needs little memory.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { AssetFileName } from "@muster/core/connector/Asset"
import { AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { RemoteFiles } from "@muster/core/connector/RemoteFiles"
import { JobId } from "@muster/core/job/Job"
import { Duration, Effect, FileSystem, Layer, Option, Schema, type Scope, Stream } from "effect"
import { openAsBlob } from "node:fs"
import * as Spool from "./Spool.ts"

/** An asset of a job, or an input when no job is named. */
export const GivenAsset = Schema.Struct({ asset: AssetFileName, job_id: Schema.optionalKey(JobId) })
export type GivenAsset = typeof GivenAsset.Type

export const Given = Schema.Union([
  Schema.String.check(Schema.isPattern(/^(https?:|data:)/, { expected: "an http, https or data URL" })),
  GivenAsset
])
export type Given = typeof Given.Type

export interface ReadyFile {
  /** Made of its content, so that the same file is called the same each time. */
  readonly name: string
  /** Read from disk, for as long as the scope. */
  readonly content: Blob
  readonly content_type: string
  /** How long it may take to send it, beside the answer. */
  readonly sentWithin: Duration.Duration
}

/** Bytes a second; a slower line runs into a timeout. */
const slowest = 1024 * 1024

/** So many characters of the hash tell contents apart. */
const telling = 32

const invalid = (message: string) => new ConnectorFailure({ kind: "InvalidPayload", message })

const unread = (error: AssetFailed) => new ConnectorFailure({ kind: "AssetFailed", message: error.message })

const open = Effect.fnUntraced(function* (path: string, given: Given, maxBytes: number) {
  if (typeof given === "string") return yield* Effect.flatMap(RemoteFiles, (files) => files.open(given, { maxBytes }))
  const store = yield* AssetStore
  const { asset, job_id } = given
  const found = yield* Effect.mapError(
    job_id === undefined ? store.openInput(asset) : store.open(job_id, asset),
    unread
  )
  if (Option.isNone(found)) return yield* invalid(`${path}: there is no asset ${asset}`)
  const { content, content_type, size } = found.value
  return { content_type, size, content: Stream.mapError(content, unread) }
})

/** What went wrong with the content, from the error of spooling it. */
const causeOf = (error: AssetFailed) => (error.cause instanceof ConnectorFailure ? error.cause : unread(error))

/** Fetches a file of at most `maxBytes`. `path` says where it stands in the payload. */
export const read = Effect.fnUntraced(
  function* (path: string, given: Given, maxBytes: number) {
    const { content, content_type, size = 0 } = yield* open(path, given, maxBytes)
    const tooLarge = invalid(`${path}: the file is larger than ${maxBytes} bytes`)
    if (size > maxBytes) return yield* tooLarge
    let total = 0
    const bounded = Stream.mapEffect(content, (bytes) => {
      total += bytes.length
      return total > maxBytes ? Effect.fail(tooLarge) : Effect.succeed(bytes)
    })
    const files = yield* FileSystem.FileSystem
    const folder = yield* Effect.mapError(files.makeTempDirectoryScoped({ prefix: "muster-input-" }), () =>
      unread(new AssetFailed({ detail: "there is no place for a temporary file", cause: undefined }))
    )
    const spooled = yield* Spool.write(folder, {
      type: "file",
      content: Stream.mapError(bounded, (cause) => new AssetFailed({ detail: cause.message, cause })),
      content_type
    }).pipe(Effect.mapError(causeOf))
    if (spooled.size === 0) return yield* invalid(`${path}: the file is empty`)
    const blob = yield* Effect.promise(() => openAsBlob(spooled.path, { type: spooled.content_type }))
    return {
      name: `muster-${spooled.sha256.slice(0, telling)}.${spooled.extension}`,
      content: blob,
      content_type: spooled.content_type,
      sentWithin: Duration.seconds(spooled.size / slowest)
    } satisfies ReadyFile as ReadyFile
  },
  (effect): Effect.Effect<ReadyFile, ConnectorFailure, AssetStore | RemoteFiles | Scope.Scope> =>
    Effect.provide(effect, Layer.merge(NodeFileSystem.layer, NodePath.layer))
)
