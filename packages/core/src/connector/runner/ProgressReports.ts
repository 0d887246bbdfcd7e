/**
 * The progress of one attempt on its way to the store. A connector may report as often as is natural and never waits:
 * the latest report is sent when the one before has arrived, at most every 200 ms. A report that fails costs only
 * itself.
 */
import { Duration, Effect, Queue, Schema } from "effect"
import { JobQueue } from "../../job/internal/JobQueue.ts"
import type { Fence, Progress } from "../../job/Job.ts"
import { AssetFileName } from "../Asset.ts"
import type * as HeldJobs from "./HeldJobs.ts"

const interval = Duration.millis(200)
const longestMessage = 1_000
const isFileName = Schema.is(AssetFileName)

/** What a connector says, as far as it can be stored: connectors are written by others. */
const storable = (said: Progress): Progress | undefined => {
  if (!Number.isFinite(said.percent)) return undefined
  const { message, preview, step, total_steps } = said
  return {
    percent: Math.min(100, Math.max(0, said.percent)),
    ...(message === undefined ? {} : { message: String(message).slice(0, longestMessage) }),
    ...(Number.isSafeInteger(step) && step !== undefined ? { step } : {}),
    ...(Number.isSafeInteger(total_steps) && total_steps !== undefined ? { total_steps } : {}),
    ...(isFileName(preview) ? { preview } : {})
  }
}

export interface ProgressReports {
  readonly report: (progress: Progress) => Effect.Effect<void>
  /** Sends for as long as it runs. */
  readonly sending: Effect.Effect<never>
  /** Sends what is left; for the end of the work. Work that is done is all done, whatever was said of it last. */
  readonly flush: (isDone: boolean) => Effect.Effect<void>
}

export const make = Effect.fnUntraced(function* (fence: Fence, held: HeldJobs.HeldJobs) {
  const queue = yield* JobQueue
  const latest = yield* Queue.sliding<Progress>(1)
  let last: Progress | undefined

  const send = (progress: Progress) =>
    queue.progress(fence, progress).pipe(
      Effect.catchTag("LeaseLost", () => held.refused(fence)),
      Effect.catchTag("StorageError", (error) => Effect.logDebug(`progress not reported: ${error.detail}`))
    )

  return {
    report: (said) =>
      Effect.suspend(() => {
        const progress = storable(said)
        if (progress === undefined) return Effect.void
        last = progress
        return Effect.asVoid(Queue.offer(latest, progress))
      }),
    sending: Queue.take(latest).pipe(Effect.flatMap(send), Effect.andThen(Effect.sleep(interval)), Effect.forever),
    flush: (isDone) =>
      Effect.flatMap(Queue.clear(latest), (left) => {
        const untold = isDone && last !== undefined && last.percent < 100 ? [{ ...last, percent: 100 }] : left
        return Effect.forEach(untold, send, { discard: true })
      })
  } satisfies ProgressReports
})
