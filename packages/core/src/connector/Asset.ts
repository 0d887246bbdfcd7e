/** A file that a job made or was given. Results hold these; where the bytes are is the store's to know. */
import { Schema } from "effect"

export const AssetType = Schema.Literals(["image", "video", "audio", "text", "file"])
export type AssetType = typeof AssetType.Type

/** No path can be built from it: letters, digits, dots and dashes, and it does not begin with a dot. */
export const AssetFileName = Schema.String.check(
  Schema.isMaxLength(255, { expected: "at most 255 characters" }),
  Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._@:-]*$/, { expected: "the name of an asset" })
)

export const Asset = Schema.Struct({
  type: AssetType,
  file_name: AssetFileName,
  /** Where it is in the store: below its root folder or in its container. */
  file_path: Schema.String,
  content_type: Schema.String,
  /** In bytes. */
  size: Schema.Int,
  /** Of the content, in hex. */
  sha256: Schema.String
})
export type Asset = typeof Asset.Type
