/**
 * Jobs on a web UI. It does one thing at a time, for everybody who asks, and its `interrupt` stops whatever runs: so a
 * job is sent when nothing else goes on, and is stopped only while it is what runs.
 */
import type { ConnectorJob, ConnectorServices, RunningConnector } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { Clock, Duration, Effect, Exit, Fiber, Option, Schedule, Schema, type Scope, Semaphore } from "effect"
import { saveBytes } from "../assets/Saving.ts"
import * as PaidResults from "../assets/PaidResults.ts"
import * as RequestKey from "../protocol/RequestKey.ts"
import * as Polling from "../protocol/Polling.ts"
import * as GenerationRequest from "./GenerationRequest.ts"
import type { Generated, State, WebUi } from "./WebUi.ts"
import * as WebUiOffer from "./WebUiOffer.ts"

export interface JobSettings {
  readonly pollEvery: Duration.Duration
  /** How long a job waits for others to be done with the web UI. */
  readonly patience: Duration.Duration
  /** How long an interrupted job waits until it is stopped there; that goes on behind it. */
  readonly stopWithin: Duration.Duration
}

const stopEvery = Duration.millis(100)
/** Between tries to stop while the web UI does not answer. */
const stopAgain = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("5 seconds")])
/** Looks at an idle web UI after which a request that was sent is taken for ended. */
const idleLooks = 5

const isBusy = ({ state }: State): boolean => state.job_count !== 0

/** Where a request of ours is at the web UI. */
type Standing = "running" | "waiting" | "over"

const Info = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))

/** Whether a request ended with an answer, good or bad: then nothing of it goes on. */
const hasBeenAnswered = (exit: Exit.Exit<unknown, ConnectorFailure>): boolean => {
  const failure = Exit.findErrorOption(exit)
  if (Option.isNone(failure)) return Exit.isSuccess(exit)
  return failure.value.kind !== "Timeout" && failure.value.kind !== "ServiceUnavailable"
}

/** What the web UI says of its images: seeds, sampler, model and the rest; without the images. */
const infoOf = ({ info }: Generated): unknown => Option.getOrElse(Schema.decodeOption(Info)(info), () => ({}))

const save = (job: ConnectorJob, { images }: Generated) =>
  Effect.forEach(images ?? [], (image) =>
    // Some extensions answer data URLs.
    saveBytes(job, "image", Buffer.from(image.replace(/^data:[^,]{0,200},/, ""), "base64"))
  )

export const make = Effect.fnUntraced(function* (
  webUi: WebUi,
  settings: JobSettings
): Effect.fn.Return<RunningConnector, never, ConnectorServices | Scope.Scope> {
  const scope = yield* Effect.scope
  const services = yield* Effect.context<ConnectorServices>()
  const turn = yield* Semaphore.make(1)
  const made = PaidResults.make(({ images }: Generated) => (images ?? []).reduce((sum, { length }) => sum + length, 0))

  /** Waits until nothing goes on; gives when the last thing began, to tell it from ours. */
  const untilIdle = Effect.gen(function* () {
    const since = yield* Clock.currentTimeMillis
    while (true) {
      const looked = yield* webUi.state
      if (!isBusy(looked)) return looked.state.job_timestamp ?? null
      if ((yield* Clock.currentTimeMillis) - since >= Duration.toMillis(settings.patience)) {
        return yield* new ConnectorFailure({
          kind: "ServiceUnavailable",
          message: `the web UI was busy with other work for ${Duration.format(settings.patience)}`
        })
      }
      yield* Effect.sleep(settings.pollEvery)
    }
  })

  /** By its id where the build tells it; otherwise what began after we looked is ours. */
  const standing = Effect.fnUntraced(function* (id: string, before: string | null) {
    const task = yield* webUi.task(id)
    const looked = yield* webUi.state
    if (Option.isSome(task)) {
      const { active, completed, queued } = task.value
      const now: Standing = active ? "running" : queued ? "waiting" : "over"
      return { looked, now, isKnown: completed }
    }
    const isOurs = isBusy(looked) && (looked.state.job_timestamp ?? null) !== before
    const now: Standing = isOurs ? "running" : isBusy(looked) ? "waiting" : "over"
    return { looked, now, isKnown: false }
  })

  const stop = Effect.fnUntraced(function* (id: string, before: string | null) {
    let idle = 0
    while (true) {
      const { isKnown, looked, now } = yield* standing(id, before)
      // One that has not heard of it may be one that has not heard of it yet.
      if (now === "over" && (isKnown || ++idle >= idleLooks)) return
      if (now === "running" && looked.state.interrupted !== true) yield* webUi.interrupt
      yield* Effect.sleep(stopEvery)
    }
  })

  /**
   * Stops ours, and lets the next one take its turn once ours is over. Behind the work of others that may take longer than
   * anybody waits here, and must not be forgotten: it would run for nobody.
   */
  const stopping = Effect.fnUntraced(function* (id: string, before: string | null) {
    const stopped = stop(id, before).pipe(
      Effect.retry({ while: Polling.mayPass, schedule: stopAgain }),
      Effect.timeout(Duration.max(settings.patience, settings.stopWithin)),
      Effect.ignore({ log: "Warn", message: "work that is not wanted any more may go on at the web UI" }),
      Effect.ensuring(turn.release(1))
    )
    const fiber = yield* Effect.forkIn(Effect.interruptible(stopped), scope, { startImmediately: true })
    yield* Effect.timeoutOption(Fiber.await(fiber), settings.stopWithin)
  })

  /** Tells how far ours is, until it is interrupted; fails when somebody stopped it at the web UI. */
  const follow = Effect.fnUntraced(function* (
    id: string,
    before: string | null,
    report: (progress: Progress) => Effect.Effect<void>
  ): Effect.fn.Return<never, ConnectorFailure> {
    let farthest = 0
    while (true) {
      yield* Effect.sleep(settings.pollEvery)
      const looked = yield* Effect.option(standing(id, before))
      if (Option.isNone(looked) || looked.value.now !== "running") continue
      const { progress, state } = looked.value.looked
      if (state.interrupted === true) {
        return yield* new ConnectorFailure({ kind: "ServiceUnavailable", message: "it was stopped at the web UI" })
      }
      farthest = Math.max(farthest, Math.min(99, Math.max(0, progress * 100)))
      yield* report({
        percent: farthest,
        message: state.sampling_steps ? `step ${state.sampling_step ?? 0} of ${state.sampling_steps}` : "running"
      })
    }
  })

  const generate = Effect.fnUntraced(function* (
    job: ConnectorJob,
    { mode, request }: GenerationRequest.Generation,
    report: (progress: Progress) => Effect.Effect<void>
  ) {
    const id = `muster-${job.id}-${job.attempt}`
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        yield* restore(turn.take(1))
        const before = yield* Effect.onError(restore(untilIdle), () => turn.release(1))
        const sent = webUi.generate(mode, { ...request, send_images: true, save_images: false, force_task_id: id })
        return yield* restore(Effect.raceFirst(sent, follow(id, before, report))).pipe(
          Effect.onExit((exit) => (hasBeenAnswered(exit) ? turn.release(1) : stopping(id, before)))
        )
      })
    )
  })

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const read = yield* GenerationRequest.read(job.payload)
    const { mode, save_assets } = read
    // When images cannot be stored the next attempt, if it comes here, does not make them anew.
    return yield* made.through(
      RequestKey.make(job, job.payload),
      generate(job, read, report),
      Effect.fnUntraced(function* (generated) {
        yield* report({ percent: 100, message: "done" })
        const assets = save_assets ? yield* save(job, generated) : []
        return { mode, images: generated.images?.length ?? 0, info: infoOf(generated), assets }
      })
    )
  })

  return {
    health: Effect.asVoid(webUi.state),
    process: (job, report) => Effect.provideContext(process(job, report), services),
    max_concurrent_jobs: 1,
    offer: WebUiOffer.read(webUi)
  }
})
