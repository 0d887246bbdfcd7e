/**
 * Images that a job gives: by URL, as a data URL, or as an asset that is there already. They are read whole, because
 * they go on in a form; what is too large or no image is refused before anything is paid.
 */
import { AssetFileName } from "@muster/core/connector/Asset"
import { type AssetFailed, AssetStore } from "@muster/core/connector/AssetStore"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { RemoteFiles } from "@muster/core/connector/RemoteFiles"
import { JobId } from "@muster/core/job/Job"
import { Effect, Option, Schema, Stream } from "effect"
import * as ContentType from "./ContentType.ts"

/** What the API takes, in bytes. */
export const largest = 50 * 1024 * 1024

const kinds: Readonly<Record<string, string>> = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp" }

/** Long enough for a data URL of the largest image. */
const Url = Schema.NonEmptyString.check(
  Schema.isMaxLength(largest * 1.4, { expected: `a URL, with at most ${largest} bytes in it` })
)

/** A URL, or an asset: of a job, or an input when no job is named. */
export const Given = Schema.Union([
  Url,
  Schema.Struct({ url: Url }),
  Schema.Struct({ asset: AssetFileName, job_id: Schema.optionalKey(JobId) })
])
export type Given = typeof Given.Type

const invalid = (name: string, what: string) =>
  new ConnectorFailure({ kind: "InvalidPayload", message: `${name}: ${what}` })

const tooLarge = (name: string) => invalid(name, `the image is larger than ${largest} bytes`)

const unread = (error: AssetFailed) => new ConnectorFailure({ kind: "AssetFailed", message: error.message })

const openAsset = Effect.fnUntraced(function* (name: string, asset: string, job: typeof JobId.Type | undefined) {
  const store = yield* AssetStore
  const found = yield* Effect.mapError(job === undefined ? store.openInput(asset) : store.open(job, asset), unread)
  if (Option.isNone(found)) return yield* invalid(name, `there is no asset ${asset}`)
  const { content, size } = found.value
  if (size > largest) return yield* tooLarge(name)
  return Stream.mapError(content, unread)
})

const openUrl = Effect.fnUntraced(function* (url: string) {
  const files = yield* RemoteFiles
  return (yield* files.open(url, { maxBytes: largest })).content
})

/** Reads an image, ready to be sent in a form. `name` says where it stands in the payload. */
export const read = Effect.fnUntraced(function* (
  name: string,
  given: Given
): Effect.fn.Return<File, ConnectorFailure, AssetStore | RemoteFiles> {
  const content = yield* typeof given === "string"
    ? openUrl(given)
    : "url" in given
      ? openUrl(given.url)
      : openAsset(name, given.asset, given.job_id)
  const parts: Array<Uint8Array<ArrayBuffer>> = []
  let size = 0
  yield* Stream.runForEach(content, (bytes) => {
    size += bytes.length
    if (size > largest) return Effect.fail(tooLarge(name))
    parts.push(new Uint8Array(bytes))
    return Effect.void
  })
  const file = new Blob(parts)
  const beginning = new Uint8Array(yield* Effect.promise(() => file.slice(0, ContentType.telling).arrayBuffer()))
  const found = yield* ContentType.fileTypeOf(beginning)
  const extension = found === undefined ? undefined : kinds[found.mime]
  if (found === undefined || extension === undefined) {
    return yield* invalid(name, `a PNG, JPEG or WebP image is wanted, and this is ${found?.mime ?? "none"}`)
  }
  return new File([file], `${name}.${extension}`, { type: found.mime })
})
