/** What kind of content some bytes are: their first bytes say more than whoever sent them. */
import type { AssetType } from "@muster/core/connector/Asset"
import { Effect, Option } from "effect"
import * as Mime from "effect/http/Mime"
import { fileTypeFromBuffer } from "file-type"

/** So many bytes are enough to tell. */
export const telling = 4_100

export interface ContentType {
  readonly content_type: string
  /** Without a dot. */
  readonly extension: string
}

const fallbacks: Record<AssetType, ContentType> = {
  image: { content_type: "application/octet-stream", extension: "bin" },
  video: { content_type: "application/octet-stream", extension: "bin" },
  audio: { content_type: "application/octet-stream", extension: "bin" },
  text: { content_type: "text/plain; charset=utf-8", extension: "txt" },
  file: { content_type: "application/octet-stream", extension: "bin" }
}

/** An extension that can be part of an asset's name. */
const plain = /^[a-z0-9]{1,10}$/

/** With parameters such as a charset: what can stand in a header. */
const inHeader = /^[\x20-\x7e]{1,200}$/

const said = (content_type: string): Option.Option<ContentType> => {
  const [type = ""] = content_type.split(";")
  const bare = type.trim()
  return Option.map(
    Option.filter(Mime.getExtension(bare), (extension) => plain.test(extension)),
    (extension) => ({ content_type: inHeader.test(content_type) ? content_type : bare, extension })
  )
}

/** What the bytes themselves say; undefined when they say nothing, or what cannot be made sense of. */
export const fileTypeOf = (beginning: Uint8Array) =>
  Effect.promise(() => fileTypeFromBuffer(beginning).catch(() => undefined))

/** What a browser shows as a picture; nothing that can hold a script. */
const pictures: ReadonlySet<string> = new Set(["image/png", "image/jpeg", "image/webp", "image/gif", "image/avif"])

/** The type of a picture by its own bytes; undefined when they are none. */
export const ofPicture = (bytes: Uint8Array): Effect.Effect<ContentType | undefined> =>
  Effect.map(fileTypeOf(bytes.subarray(0, telling)), (found) =>
    found !== undefined && pictures.has(found.mime) ? { content_type: found.mime, extension: found.ext } : undefined
  )

/** The type of content that begins with these bytes. `content_type` is believed where the bytes say nothing. */
export const detect = (
  beginning: Uint8Array,
  type: AssetType,
  content_type: string | undefined
): Effect.Effect<ContentType> =>
  Effect.map(fileTypeOf(beginning), (found) => {
    if (found !== undefined && plain.test(found.ext)) return { content_type: found.mime, extension: found.ext }
    const believed = content_type === undefined ? Option.none() : said(content_type)
    return Option.getOrElse(believed, () => fallbacks[type])
  })

/** The type that a file name speaks of. */
export const ofName = (file_name: string): string =>
  file_name.endsWith(".txt")
    ? fallbacks.text.content_type
    : Option.getOrElse(Mime.getType(file_name), () => fallbacks.file.content_type)
