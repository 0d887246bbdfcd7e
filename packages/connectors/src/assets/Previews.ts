/**
 * Shows what an attempt is making while it makes it: of the pictures that a service sends, the newest is kept every so
 * often, and progress names it. Nothing waits for that, and nothing fails by it.
 */
import { AssetStore, largestPreview } from "@muster/core/connector/AssetStore"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import type { Progress } from "@muster/core/job/Job"
import { Duration, Effect, Queue } from "effect"

type Report = (progress: Progress) => Effect.Effect<void>

export interface Previews {
  /** Reports progress, with the preview that is kept. */
  readonly report: Report
  /** Takes the newest picture; it is kept when its time comes and no newer one has come. Never waits. */
  readonly show: (picture: Uint8Array) => void
  /** Does the work and, beside it, keeps pictures; only the work is waited for. */
  readonly during: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** A store that takes longer is not waited for: there is a newer picture then. */
const keptWithin = Duration.seconds(30)

/** Keeps none. */
export const none = (report: Report): Previews => ({ report, show: () => undefined, during: (work) => work })

/** Keeps one, and then at most one in `every`; each that is kept is told by a report. */
export const make = Effect.fnUntraced(function* (
  job: Pick<ConnectorJob, "id" | "attempt">,
  every: Duration.Duration,
  report: Report
): Effect.fn.Return<Previews, never, AssetStore> {
  const store = yield* AssetStore
  const newest = yield* Queue.sliding<Uint8Array>(1)
  let preview: string | undefined
  let last: Progress | undefined
  const told = (progress: Progress) => report(preview === undefined ? progress : { ...progress, preview })

  const keep = (picture: Uint8Array) =>
    store.savePreview(job, picture).pipe(
      Effect.timeout(keptWithin),
      Effect.flatMap((file_name) => {
        preview = file_name
        return last === undefined ? Effect.void : told(last)
      }),
      Effect.catchCause((cause) => Effect.logDebug("a preview was not kept", cause))
    )
  const keeping = Queue.take(newest).pipe(Effect.flatMap(keep), Effect.andThen(Effect.sleep(every)), Effect.forever)

  return {
    report: (progress) =>
      Effect.suspend(() => {
        last = progress
        return told(progress)
      }),
    show: (picture) => {
      if (picture.length <= largestPreview) Queue.offerUnsafe(newest, picture)
    },
    during: (work) => Effect.raceFirst(work, keeping)
  }
})
