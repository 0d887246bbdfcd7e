/**
 * The port that keeps what jobs make: in a folder or in a blob container; one contract suite runs on both.
 *
 * An asset is saved, hashed and read back before its job completes, so a completed job's assets are there. Its name
 * carries the job, the attempt and the hash: saving the same again changes nothing, and two attempts never overwrite
 * each other. Only a preview, which shows what is coming, changes under its name. Source: design, section 8.
 */
import { Context, type Effect, type Option, Schema, type Stream } from "effect"
import type { JobId } from "../job/Job.ts"
import type { Asset, AssetType } from "./Asset.ts"

/** The content could not be kept, or not be read back as it was. The work that made it need not be done again. */
export class AssetFailed extends Schema.TaggedError<AssetFailed>("@muster/core/connector/AssetStore/AssetFailed")(
  "AssetFailed",
  {
    detail: Schema.String,
    cause: Schema.Defect(),
    /** The place refuses us, or is not there: waiting heals nothing. */
    refused: Schema.optionalKey(Schema.Boolean)
  }
) {
  override get message() {
    return `the asset could not be kept: ${this.detail}`
  }
}

export interface AssetContent {
  readonly job: { readonly id: JobId; readonly attempt: number }
  readonly type: AssetType
  /** Read as it comes; it is never held in memory as a whole. */
  readonly content: Stream.Stream<Uint8Array, AssetFailed>
  /** What the service said it is; what the first bytes say goes before it. */
  readonly content_type?: string | undefined
}

/** An asset that can be read. */
export interface StoredAsset {
  readonly content_type: string
  readonly size: number
  readonly content: Stream.Stream<Uint8Array, AssetFailed>
  /** Says which content this is, where another may take its place under the same name. */
  readonly version?: string | undefined
}

/** The largest preview that is kept, in bytes. */
export const largestPreview = 4 * 1024 * 1024

export class AssetStore extends Context.Service<
  AssetStore,
  {
    /**
     * Keeps the content, reads it back, and says where it is. Fails after a few tries of its own; only the storing is
     * repeated, never the work.
     */
    readonly save: (asset: AssetContent) => Effect.Effect<Asset, AssetFailed>

    /** An asset of a job by its file name; none when there is none. */
    readonly open: (job: JobId, file_name: string) => Effect.Effect<Option.Option<StoredAsset>, AssetFailed>

    /**
     * Keeps a picture of what the attempt is making, in the place of the one before it, and gives the name by which
     * `open` finds it. For what may be lost: it is tried once and not read back. Fails for what is no picture or larger
     * than {@link largestPreview}. To be called by one fiber of an attempt at a time.
     */
    readonly savePreview: (job: AssetContent["job"], picture: Uint8Array) => Effect.Effect<string, AssetFailed>

    /** Keeps an input that is too large for a payload, under a name made of its hash. */
    readonly saveInput: (content: Omit<AssetContent, "job">) => Effect.Effect<Asset, AssetFailed>

    /** Such an input by its file name. */
    readonly openInput: (file_name: string) => Effect.Effect<Option.Option<StoredAsset>, AssetFailed>

    /**
     * Keeps a short word about a job beside its assets, in the place of the one before it: what the next attempt has to
     * know, on whatever worker it runs. `name` is of lower-case letters, digits and dashes.
     */
    readonly note: (job: JobId, name: string, words: string) => Effect.Effect<void, AssetFailed>

    /** Such a word; none when there is none. */
    readonly noted: (job: JobId, name: string) => Effect.Effect<Option.Option<string>, AssetFailed>

    /** Fails when nothing could be kept now; with `refused` when somebody has to do something about it. */
    readonly ping: Effect.Effect<void, AssetFailed>
  }
>()("@muster/core/connector/AssetStore") {}
