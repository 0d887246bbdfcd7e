/**
 * The claim loop of a worker: claim → run the connector → report. It runs until it is interrupted; then it stops the
 * connectors, hands the jobs it holds back and ends.
 *
 * It does not promise that a job runs once: a worker that loses its lease stops, and another may have begun. The
 * fence on every report makes sure that only one of them is believed.
 */
import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, FiberSet, Queue, Random, Result } from "effect"
import { type ClaimRequest, JobQueue, type Signal } from "../../job/internal/JobQueue.ts"
import type { Fence, Job } from "../../job/Job.ts"
import type { LeaseLost, StorageError } from "../../job/JobErrors.ts"
import * as JobUseCases from "../../job/JobUseCases.ts"
import { whileAway } from "../../WhileAway.ts"
import type { Capabilities, WorkerId } from "../../worker/Worker.ts"
import type { RunningConnector } from "../Connector.ts"
import type { Offering } from "../runtime/Offering.ts"
import { ConnectorFailure } from "../ConnectorFailure.ts"
import * as HeldJobs from "./HeldJobs.ts"
import * as ProgressReports from "./ProgressReports.ts"

export interface RunnerOptions {
  readonly worker_id: WorkerId
  /** What the worker can run, now and as a whole, and by which connectors. */
  readonly offering: Offering
  /** Jobs run at once. */
  readonly capacity: number
  /** The longest JSON text of a result, in characters. */
  readonly maxResultLength?: number | undefined
}

/** How long a connector may take to stop its service's work once it is told to; after that it is left behind. */
const stopWithin = Duration.seconds(5)

/** The longest message of a failure, in characters. */
const longestMessage = 2_000

/** How long a stopping worker waits for the store to take its jobs back; after that their leases run out. */
const returnWithin = Duration.seconds(1)

/** A wake may get lost, and one that stays silent is not woken any more: so idle workers also claim so often. */
const claimsAgain = Effect.map(Random.next, (jitter) => Duration.seconds(4 + 2 * jitter))

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
    ? new ConnectorFailure({ ...squashed, message: squashed.message.slice(0, longestMessage) })
    : new ConnectorFailure({
        kind: "ProtocolError",
        message: `the connector crashed: ${String(squashed).slice(0, longestMessage)}`
      })
}

/** Makes a part of an uninterruptible effect interruptible again. */
type Restore = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Runs the connector until it ends, its time is over, or the job must be let go. It runs in a fiber of its own, so that
 * one that does not stop when it is told to holds up neither the job nor the worker.
 */
const superviseConnector = Effect.fnUntraced(function* (
  restore: Restore,
  job: Job,
  connector: Pick<RunningConnector, "process">,
  progress: ProgressReports.ProgressReports,
  letGo: Effect.Effect<HeldJobs.LetGo>
) {
  const work = yield* Effect.forkDetach(connector.process(job, progress.report))
  const stop = (patience: Duration.Duration) =>
    Fiber.interrupt(work).pipe(
      Effect.timeoutOrElse({
        duration: patience,
        orElse: () => Effect.logWarning("the connector does not stop; it is left behind")
      })
    )
  const ended = Effect.map(
    Fiber.await(work),
    Exit.match({
      onSuccess: (result): Outcome => ({ _tag: "Completed", result }),
      onFailure: (cause): Outcome => ({ _tag: "Failed", failure: asFailure(cause) })
    })
  )
  const overTime =
    job.timeout_ms === null
      ? Effect.never
      : Effect.as(Effect.sleep(Duration.millis(job.timeout_ms)), {
          _tag: "Failed",
          failure: new ConnectorFailure({ kind: "Timeout", message: `ran longer than ${job.timeout_ms} ms` })
        } satisfies Outcome)
  const mustLetGo = Effect.map(letGo, (why): Outcome => ({ _tag: "LetGo", why }))
  const outcome = yield* restore(Effect.raceAllFirst([ended, overTime, mustLetGo])).pipe(
    Effect.onInterrupt(() => stop(returnWithin))
  )
  yield* restore(stop(stopWithin))
  return outcome
})

const runConnector = (
  job: Job,
  connector: Pick<RunningConnector, "process">,
  progress: ProgressReports.ProgressReports,
  letGo: Effect.Effect<HeldJobs.LetGo>
) =>
  // No interruption may fall between the start of the connector and its supervision.
  Effect.uninterruptibleMask((restore) => superviseConnector(restore, job, connector, progress, letGo))

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

/** How an outcome is told; nothing is told of a job that was taken away. */
const reportOf = (
  outcome: Outcome,
  fence: Fence,
  job: Job
): Effect.Effect<unknown, LeaseLost | StorageError, JobQueue> => {
  switch (outcome._tag) {
    case "Completed":
      return Effect.andThen(JobUseCases.completeJob(fence, outcome.result), Effect.logInfo("job completed"))
    case "Failed": {
      const { kind, message } = outcome.failure
      return Effect.andThen(
        JobUseCases.failJob(fence, outcome.failure, job),
        Effect.logWarning(`attempt failed (${kind}): ${message}`)
      )
    }
    case "LetGo":
      return outcome.why === "fenced" ? Effect.void : JobUseCases.returnJob(fence)
  }
}

const noConnector = (options: RunnerOptions, job: Job): Outcome => ({
  _tag: "Failed",
  failure: new ConnectorFailure({
    kind: "ServiceUnavailable",
    message: `worker ${options.worker_id} has no connector for ${job.service_required}`
  })
})

/** Runs one claimed job to its end and reports it. */
const runJob = (
  options: RunnerOptions,
  held: HeldJobs.HeldJobs,
  job: Job,
  fence: Fence,
  letGo: Effect.Effect<HeldJobs.LetGo>,
  ended: () => void
) =>
  Effect.suspend(() => {
    // What is said when the worker stops: the job goes back, unless its work is done and only its end is untold.
    let lastWord: Effect.Effect<unknown, LeaseLost | StorageError, JobQueue> = JobUseCases.returnJob(fence)

    const work = Effect.gen(function* () {
      const connector = options.offering.connectorOf(job.service_required)
      if (connector === undefined) return noConnector(options, job)
      yield* untilHeard(JobUseCases.startJob(fence))
      yield* Effect.logInfo("job started")
      const progress = yield* ProgressReports.make(fence, held)
      const sending = yield* Effect.forkChild(progress.sending)
      const outcome = storable(yield* runConnector(job, connector, progress, letGo), options.maxResultLength)
      lastWord = reportOf(outcome, fence, job)
      yield* Fiber.interrupt(sending)
      if (outcome._tag !== "LetGo") yield* progress.flush(outcome._tag === "Completed")
      else {
        yield* Effect.logWarning(
          outcome.why === "fenced" ? "job taken away" : "job let go: its lease could not be renewed"
        )
      }
      return outcome
    })

    return work.pipe(
      Effect.flatMap((outcome) => untilHeard(reportOf(outcome, fence, job))),
      Effect.catchTag("LeaseLost", () => Effect.logInfo("the job is not ours any more")),
      Effect.catchTag("StorageError", (error) => Effect.logError("the end could not be reported", error)),
      Effect.onExit((exit) =>
        Exit.hasInterrupts(exit)
          ? lastWord.pipe(Effect.timeout(returnWithin), Effect.ignore({ log: "Warn" }))
          : Effect.void
      ),
      Effect.ensuring(
        Effect.sync(() => {
          ended()
          held.remove(fence)
        })
      ),
      Effect.annotateLogs({ job_id: job.id, attempt: job.attempt }),
      Effect.asVoid
    )
  })

const fenceOf = (job: Job, nonce: string): Fence => ({ job_id: job.id, attempt: job.attempt, nonce })

/** Runs the claim loop for ever. */
export const run = Effect.fnUntraced(function* (options: RunnerOptions) {
  const queue = yield* JobQueue
  const { capacity, offering, worker_id } = options
  const held = yield* HeldJobs.make(worker_id)
  const jobs = yield* FiberSet.make<void>()
  const signals = yield* queue.signals(worker_id)
  let woken = Deferred.makeUnsafe<void>()
  const wake = Effect.sync(() => void Deferred.doneUnsafe(woken, Effect.void))

  // What is offered now must be what the queue wakes this worker for.
  yield* Effect.acquireRelease(
    Effect.sync(() => offering.onChange(() => Deferred.doneUnsafe(woken, Effect.void))),
    (forget) => Effect.sync(forget)
  )
  yield* Effect.forkScoped(held.renewing)
  yield* Effect.forkScoped(held.watching)
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.flatMap(claimsAgain, Effect.sleep), wake)))

  const takeUp = (fence: Fence, job: Job, heldFrom: bigint) =>
    FiberSet.run(
      jobs,
      runJob(options, held, job, fence, held.add(fence, heldFrom), offering.take(job.service_required))
    )

  /** Claims that stood when their answers were lost, and have not been repeated since. */
  const unheard: Array<string> = []

  const hear = (signal: Signal) => {
    switch (signal._tag) {
      case "Wake":
        return wake
      case "Fenced":
        return held.refused(signal.fence)
      case "Given": {
        const { askedAt, jobs: given, nonce } = signal
        return Effect.andThen(
          Effect.forEach(given, (job) => takeUp(fenceOf(job, nonce), job, askedAt), { discard: true }),
          wake
        )
      }
      case "Unheard":
        unheard.push(signal.nonce)
        return wake
    }
  }
  // No interruption may fall between hearing of a job and taking it up.
  yield* Effect.uninterruptibleMask((restore) =>
    Effect.forever(Effect.flatMap(restore(Queue.take(signals)), hear))
  ).pipe(Effect.forkScoped)

  /** A claim that was sent goes on when the worker stops meanwhile: its jobs, if it gets any, go back at once. */
  const send = Effect.fnUntraced(function* (restore: Restore, request: ClaimRequest) {
    const sent = yield* Effect.forkDetach(JobUseCases.claimJobs(request), { startImmediately: true })
    const handBack = Fiber.join(sent).pipe(
      Effect.flatMap(Effect.forEach((job) => JobUseCases.returnJob(fenceOf(job, request.nonce)), { discard: true })),
      Effect.timeout(returnWithin),
      Effect.ignore
    )
    return yield* Effect.onInterrupt(restore(Fiber.join(sent)), () => handBack)
  })

  /** Of jobs that were claimed at a time nobody knows, those that are still ours, with a lease that begins now. */
  const renewed = Effect.fnUntraced(function* (claimed: ReadonlyArray<Job>, claiming: string) {
    const ours = claimed.map((job) => fenceOf(job, claiming))
    const lost = yield* queue.renew({ worker_id, fences: [...held.fences(), ...ours], claiming })
    return claimed.filter(({ id }) => !lost.some(({ job_id, nonce }) => job_id === id && nonce === claiming))
  })

  /**
   * Claims under one nonce until an answer is heard: when the answer was lost, the same claim finds the jobs it was
   * given, instead of leaving them to the end of their leases. That of an idle worker stands. No interruption may fall
   * between hearing of a job and taking it up.
   */
  const claim = (capabilities: Capabilities) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const lost = unheard.shift()
        const nonce = lost ?? globalThis.crypto.randomUUID()
        const limit = Math.max(1, Math.min(capacity - held.size(), offering.room()))
        held.claiming(nonce)
        for (let tries = 0; ; tries++) {
          const again = tries > 0 || lost !== undefined
          const sentAt = yield* Clock.currentTimeNanos
          // One that is at work gets its next jobs soon enough by claiming, and many of them at once.
          const standing = held.size() === 0
          const request = { worker_id, capabilities, capacity, limit, nonce, again, standing }
          const heard = yield* send(restore, request).pipe(
            Effect.flatMap((claimed) =>
              again && claimed.length > 0 ? renewed(claimed, nonce) : Effect.succeed(claimed)
            ),
            Effect.result
          )
          if (Result.isSuccess(heard)) {
            if (tries > 0) yield* Effect.logInfo("claims are answered again")
            for (const job of heard.success) yield* takeUp(fenceOf(job, nonce), job, sentAt)
            held.claiming(undefined)
            return heard.success.length
          }
          if (tries === 0) yield* Effect.logWarning(`no claim possible: ${heard.failure.detail}; trying on`)
          yield* restore(Effect.sleep(Duration.millis(Math.min(100 * 2 ** Math.min(tries, 6), 5_000))))
        }
      })
    )

  const leave = queue.leaveIdle(worker_id).pipe(Effect.timeout(returnWithin), Effect.ignore)

  const round = Effect.gen(function* () {
    yield* held.below(capacity)
    // What woke us up to now is answered by the claim that follows.
    woken = Deferred.makeUnsafe()
    const capabilities = offering.now()
    const isOffering = capabilities.job_types.length > 0
    const found = yield* isOffering ? claim(capabilities) : Effect.as(leave, 0)
    const isToRepeat = isOffering && unheard.length > 0
    if (found === 0 && !isToRepeat) yield* Deferred.await(woken)
  })
  return yield* Effect.ensuring(Effect.forever(round), leave)
}, Effect.scoped)
