/** How assets are called: by job, attempt and content, so that no two contents share a name. */
import { type Asset, AssetFileName, AssetType } from "@muster/core/connector/Asset"
import type { AssetContent } from "@muster/core/connector/AssetStore"
import { JobId } from "@muster/core/job/Job"
import { Schema } from "effect"
import type { Spooled } from "./Spool.ts"

/** So many characters of the hash tell contents apart. */
const telling = 32

/** Where jobs' assets and inputs are, below the root of a store. */
const jobs = "jobs"
const inputs = "inputs"

const isFileName = Schema.is(AssetFileName)
const isType = Schema.is(AssetType)
const isJobId = Schema.is(JobId)

/** What was only called a file is what its content is. */
const typeOf = (type: Asset["type"], content_type: string): Asset["type"] => {
  const [family = ""] = content_type.split("/")
  return type === "file" && isType(family) ? family : type
}

const assetOf = (type: Asset["type"], folder: string, file_name: string, spooled: Spooled): Asset => ({
  type: typeOf(type, spooled.content_type),
  file_name,
  file_path: `${folder}/${file_name}`,
  content_type: spooled.content_type,
  size: spooled.size,
  sha256: spooled.sha256
})

/** The asset that spooled content becomes. */
export const ofJob = (type: Asset["type"], job: AssetContent["job"], spooled: Spooled): Asset =>
  assetOf(
    type,
    `${jobs}/${job.id}`,
    `${job.id}-${job.attempt}-${spooled.sha256.slice(0, telling)}.${spooled.extension}`,
    spooled
  )

export const ofInput = (type: Asset["type"], spooled: Spooled): Asset =>
  assetOf(type, inputs, `${spooled.sha256}.${spooled.extension}`, spooled)

/** Of a picture that shows what an attempt is making; one takes the place of the other. No hash has such a name. */
export const ofPreview = (job: AssetContent["job"], extension: string): string =>
  `${job.id}-${job.attempt}-preview.${extension}`

export const isPreview = (file_name: string): boolean => /-\d+-preview\.[a-z0-9]+$/.test(file_name)

/** Where an asset of a job is; undefined for what cannot be one. */
export const pathOfJob = (job: string, file_name: string): string | undefined =>
  isJobId(job) && isFileName(file_name) ? `${jobs}/${job}/${file_name}` : undefined

export const pathOfInput = (file_name: string): string | undefined =>
  isFileName(file_name) ? `${inputs}/${file_name}` : undefined

/** Where a note about a job is; no asset has such a name. Undefined for what cannot be one. */
export const pathOfNote = (job: string, name: string): string | undefined =>
  isJobId(job) && /^[a-z0-9-]{1,100}$/.test(name) ? `${jobs}/${job}/.${name}` : undefined
