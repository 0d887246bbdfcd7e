/** How much memory the store of the queue uses, and when it will be short of it. A store without a limit has no such figures. */
import { Context, Effect } from "effect"
import type { StorageError } from "../job/JobErrors.ts"

export interface MemoryFigures {
  readonly used_bytes: number
  /** Null: no limit is set. */
  readonly limit_bytes: number | null
  /** Seconds until no job is taken any more, if it goes on as in the last minutes; null when that is not in sight. */
  readonly short_in_s: number | null
}

/** The part of the limit from which no job is taken. */
export const shortFrom = 0.9

export interface QueueMemory {
  /** Null: the queue lives in the memory of this process. */
  readonly read: Effect.Effect<MemoryFigures | null, StorageError>
}

export const QueueMemory = Context.Reference<QueueMemory>("@muster/core/diagnosis/QueueMemory", {
  defaultValue: () => ({ read: Effect.succeed(null) })
})
