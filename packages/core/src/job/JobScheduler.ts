/**
 * The fiber that looks after what time does to jobs: schedules that come due, deadlines that pass, leases that end.
 * Servers and workers run it, so that jobs move on while servers are down.
 */
import { Effect, Layer } from "effect"
import { recurring } from "../Recurring.ts"
import { JobQueue, type TickReport } from "./internal/JobQueue.ts"
import type { JobId } from "./Job.ts"
import type { StorageError } from "./JobErrors.ts"
import { QueueSettings } from "./QueueSettings.ts"

const logLost = (lost: ReadonlyArray<JobId>) =>
  lost.length === 0
    ? Effect.void
    : Effect.logWarning(`${lost.length} lease${lost.length === 1 ? "" : "s"} lost`).pipe(
        Effect.annotateLogs({ jobs: lost.slice(0, 20).join(" ") })
      )

/** Looks until nothing that is due is left. */
const lookAfter = (one: Effect.Effect<TickReport, StorageError>) =>
  one.pipe(
    Effect.tap((report) => logLost(report.lost)),
    Effect.repeat({ while: (report) => report.more })
  )

/** One look, repeated until nothing that is due is left. */
export const tick = Effect.gen(function* () {
  const queue = yield* JobQueue
  yield* lookAfter(queue.tick)
})

export const startScheduledJobs = Effect.gen(function* () {
  const { tickInterval } = yield* QueueSettings
  yield* recurring("job-tick", tickInterval, tick)
})

/** For the many processes that look only in case no server does. */
export const startStandby = Effect.gen(function* () {
  const queue = yield* JobQueue
  const { tickInterval } = yield* QueueSettings
  yield* recurring("job-tick", tickInterval, lookAfter(queue.standbyTick))
})

export const layer = Layer.effectDiscard(startScheduledJobs)
