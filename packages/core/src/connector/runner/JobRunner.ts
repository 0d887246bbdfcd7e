/**
 * The claim loop of a worker: claim → run the connector → report. It runs until it is interrupted; then it stops the
 * connectors, hands the jobs it holds back and ends.
 *
 * It does not promise that a job runs once: a worker that loses its lease stops, and another may have begun. The
 * fence on every report makes sure that only one of them is believed.
 */
import { Cause, Clock, Duration, Effect, Exit, FiberSet, Schedule } from "effect"
import { JobQueue } from "../../job/internal/JobQueue.ts"
import type { Fence, Job, Progress } from "../../job/Job.ts"
import type { LeaseLost, StorageError } from "../../job/JobErrors.ts"
import * as JobUseCases from "../../job/JobUseCases.ts"
import type { WorkerId } from "../../worker/Worker.ts"
import type { RunningConnector } from "../Connector.ts"
import { ConnectorFailure } from "../ConnectorFailure.ts"
import * as HeldJobs from "./HeldJobs.ts"

export interface RunnerOptions {
  readonly worker_id: WorkerId
  /** Jobs run at once. */
  readonly capacity: number
  /** Which connector runs a job of which type. */
  readonly connectors: ReadonlyMap<string, RunningConnector>
  /** The longest JSON text of a result, in characters. */
  readonly maxResultLength?: number | undefined
}

/** How often progress reaches the store; what comes in between is dropped. */
const progressInterval = 200_000_000n

/** How long a stopping worker waits for the store to take its jobs back; after that their leases run out. */
const returnWithin = Duration.seconds(1)

/** While the store is away, tries again soon at first and every 5 s in the end. */
const whileAway = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")])

type Outcome =
  | { readonly _tag: "Completed"; readonly result: unknown }
  | { readonly _tag: "Failed"; readonly failure: ConnectorFailure }
  | { readonly _tag: "LetGo"; readonly why: HeldJobs.LetGo }

/** A report is repeated while the store is away: the work is done, only its end is not yet known. */
const untilHeard = <A>(report: Effect.Effect<A, LeaseLost | StorageError, JobQueue>) =>
  report.pipe(
    Effect.retry({
      while: (error) => error._tag === "StorageError" && error.unavailable,
      schedule: whileAway
    })
  )

const asFailure = (cause: Cause.Cause<ConnectorFailure>): ConnectorFailure => {
  const squashed = Cause.squash(cause)
  return squashed instanceof ConnectorFailure
    ? squashed
    : new ConnectorFailure({ kind: "ProtocolError", message: `the connector crashed: ${String(squashed)}` })
}

/** The progress reports of one attempt, thinned out; a report that fails costs only itself. */
const progressReporter = (fence: Fence, held: HeldJobs.HeldJobs, queue: JobQueue["Service"]) => {
  let reportedAt: bigint | undefined
  return (progress: Progress) =>
    Effect.flatMap(Clock.currentTimeNanos, (now) => {
      if (reportedAt !== undefined && now - reportedAt < progressInterval && progress.percent < 100) return Effect.void
      reportedAt = now
      return queue.progress(fence, progress).pipe(
        Effect.catchTag("LeaseLost", () => held.refused(fence)),
        Effect.catchTag("StorageError", (error) => Effect.logDebug("progress not reported", error))
      )
    })
}

const runConnector = (
  job: Job,
  connector: RunningConnector,
  report: (progress: Progress) => Effect.Effect<void>
): Effect.Effect<Outcome> => {
  const work = connector.process(job, report)
  const timed =
    job.timeout_ms === null
      ? work
      : Effect.timeoutOrElse(work, {
          duration: Duration.millis(job.timeout_ms),
          orElse: () =>
            Effect.fail(new ConnectorFailure({ kind: "Timeout", message: `ran longer than ${job.timeout_ms} ms` }))
        })
  return Effect.matchCause(timed, {
    onSuccess: (result): Outcome => ({ _tag: "Completed", result }),
    onFailure: (cause): Outcome => ({ _tag: "Failed", failure: asFailure(cause) })
  })
}

const invalidResult = (message: string): Outcome => ({
  _tag: "Failed",
  failure: new ConnectorFailure({ kind: "InvalidPayload", message })
})

/** A result that cannot be stored is a failure of the job; trying again would give the same. */
const storable = (outcome: Outcome, limit: number | undefined): Outcome => {
  if (outcome._tag !== "Completed") return outcome
  try {
    const { length } = JSON.stringify(outcome.result ?? null)
    return limit === undefined || length <= limit
      ? outcome
      : invalidResult(`the result has ${length} characters, more than the ${limit} allowed`)
  } catch (error) {
    return invalidResult(`the result is no JSON: ${String(error)}`)
  }
}

/** Runs one claimed job to its end and reports it. */
const runJob = Effect.fnUntraced(
  function* (
    options: RunnerOptions,
    held: HeldJobs.HeldJobs,
    job: Job,
    fence: Fence,
    letGo: Effect.Effect<HeldJobs.LetGo>
  ) {
    const queue = yield* JobQueue
    const connector = options.connectors.get(job.service_required)
    if (connector === undefined) {
      const message = `worker ${options.worker_id} has no connector for ${job.service_required}`
      yield* untilHeard(JobUseCases.failJob(fence, { kind: "ServiceUnavailable", message }, job))
      return
    }
    yield* untilHeard(JobUseCases.startJob(fence))
    yield* Effect.logInfo("job started")
    const finished = yield* runConnector(job, connector, progressReporter(fence, held, queue)).pipe(
      Effect.raceFirst(Effect.map(letGo, (why): Outcome => ({ _tag: "LetGo", why })))
    )
    const outcome = storable(finished, options.maxResultLength)
    switch (outcome._tag) {
      case "Completed":
        yield* untilHeard(JobUseCases.completeJob(fence, outcome.result))
        return yield* Effect.logInfo("job completed")
      case "Failed": {
        const after = yield* untilHeard(JobUseCases.failJob(fence, outcome.failure, job))
        return yield* Effect.logWarning(
          `job failed (${outcome.failure.kind}): ${outcome.failure.message}; it is ${after.status} now`
        )
      }
      case "LetGo":
        yield* Effect.logWarning(
          outcome.why === "fenced" ? "job taken away" : "job let go: its lease could not be renewed"
        )
        if (outcome.why === "unrenewed") yield* untilHeard(JobUseCases.returnJob(fence))
    }
  },
  (effect, _options, held, job, fence) =>
    effect.pipe(
      Effect.catchTag("LeaseLost", () => Effect.logInfo("the job is not ours any more")),
      Effect.catchTag("StorageError", (error) => Effect.logError("the end could not be reported", error)),
      Effect.onExit((exit) =>
        Exit.hasInterrupts(exit)
          ? JobUseCases.returnJob(fence).pipe(Effect.timeout(returnWithin), Effect.ignore({ log: "Warn" }))
          : Effect.void
      ),
      Effect.ensuring(Effect.sync(() => held.remove(fence))),
      Effect.annotateLogs({ job_id: job.id, attempt: job.attempt })
    )
)

/** Runs the claim loop for ever. */
export const run = Effect.fnUntraced(function* (options: RunnerOptions) {
  const queue = yield* JobQueue
  const held = yield* HeldJobs.make
  const jobs = yield* FiberSet.make<void>()
  const job_types = [...options.connectors.keys()]

  yield* Effect.forkScoped(held.renewing)

  const claim = Effect.gen(function* () {
    const nonce = globalThis.crypto.randomUUID()
    const claimedAt = yield* Clock.currentTimeNanos
    const limit = options.capacity - held.size()
    const { capacity, worker_id } = options
    const claimed = yield* JobUseCases.claimJobs({ worker_id, job_types, capacity, limit, nonce })
    for (const job of claimed) {
      const fence: Fence = { job_id: job.id, attempt: job.attempt, nonce }
      yield* FiberSet.run(jobs, runJob(options, held, job, fence, held.add(fence, claimedAt)))
    }
    return claimed.length
  }).pipe(
    // A claim that was sent must be taken up, or its jobs would hang until their leases end.
    Effect.uninterruptible,
    Effect.tapError((error) => Effect.logWarning(`no claim possible: ${error.detail}; trying again`)),
    Effect.retry(whileAway)
  )

  const round = Effect.gen(function* () {
    yield* held.below(options.capacity)
    if ((yield* claim) === 0) yield* queue.awaitWork(job_types)
  })
  return yield* Effect.forever(round)
}, Effect.scoped)
