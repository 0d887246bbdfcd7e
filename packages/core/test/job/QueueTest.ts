/** What the parts of the queue's contract suite share: the settings of its queues, their time, and short commands. */
import { DateTime, Duration, Effect, Context, type Layer, Option, type Scope } from "effect"
import { it } from "@effect/vitest"
import { EventSettings } from "@muster/core/event/EventSettings"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { JobQueue, type Retry } from "@muster/core/job/internal/JobQueue"
import { type Fence, type Job, type JobError, JobId, type JobRequest, request } from "@muster/core/job/Job"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { type Capabilities, WorkerId } from "@muster/core/worker/Worker"

/** Two ticks may lie 40 s apart before the queue takes it for an outage, so a lease of 30 s can be seen to end. */
export const settings: QueueSettings = {
  name: "contract",
  priorityStep: Duration.minutes(1),
  lease: Duration.seconds(30),
  retention: Duration.hours(1),
  tickInterval: Duration.seconds(20)
}

export const eventSettings: EventSettings = {
  retention: Duration.hours(1),
  maxBytes: 64 * 1024 * 1024,
  archiveRetention: Duration.days(1)
}

/** The clock of the store under test, and a way to make time pass there. */
export class StoreTime extends Context.Service<
  StoreTime,
  {
    readonly now: Effect.Effect<number>
    readonly pass: (duration: Duration.Input) => Effect.Effect<void>
    /** Sets the clock back, as an operator or a time server does. */
    readonly setBack: (duration: Duration.Input) => Effect.Effect<void>
  }
>()("@muster/core/test/job/StoreTime") {}

/** Builds an empty queue, and its log, with the `QueueSettings` and `EventSettings` in its context, its name apart. */
export type QueueLayer = Layer.Layer<JobQueue | EventLog | StoreTime, unknown>

/** A test on a queue of its own. */
export const on =
  (layer: QueueLayer) =>
  (
    title: string,
    body: Effect.Effect<unknown, unknown, JobQueue | EventLog | StoreTime | Scope.Scope>,
    over: Partial<QueueSettings> = {},
    events: Partial<EventSettings> = {}
  ): void =>
    it.effect(
      title,
      () =>
        Effect.scoped(body).pipe(
          Effect.provide(layer),
          Effect.provideService(QueueSettings, { ...settings, ...over }),
          Effect.provideService(EventSettings, { ...eventSettings, ...events })
        ),
      120_000
    )

export const worker = (name = "w1"): WorkerId => WorkerId.make(name)
export const jobId = (name: string | number): JobId => JobId.make(String(name))

let made = 0
/** Never the same twice. */
export const nonce = (): string => `nonce-${++made}`

export const submit = (id: string | number, over: Partial<JobRequest> = {}) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const { job } = yield* queue.submit(jobId(id), request({ service_required: "simulation", ...over }))
    return job
  })

export interface Claimed {
  readonly job: Job
  readonly fence: Fence
}

/** What a worker offers that accepts the usual job type and says what matters to a test. */
export const offer = (over: Partial<Capabilities> = {}): Capabilities => ({ job_types: ["simulation"], ...over })

export const claim = (
  over: {
    readonly worker?: string
    readonly types?: ReadonlyArray<string>
    readonly capabilities?: Capabilities
    readonly limit?: number
    readonly capacity?: number
  } = {}
): Effect.Effect<ReadonlyArray<Claimed>, unknown, JobQueue> =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const mine = nonce()
    const jobs = yield* queue.claim({
      worker_id: worker(over.worker),
      capabilities: over.capabilities ?? offer(over.types === undefined ? {} : { job_types: over.types }),
      capacity: over.capacity ?? 1_000,
      limit: over.limit ?? 1,
      nonce: mine
    })
    return jobs.map((job) => ({ job, fence: { job_id: job.id, attempt: job.attempt, nonce: mine } }))
  })

/** Claims the one job that must be there. */
export const claimOne = (name?: string) =>
  Effect.gen(function* () {
    const [first] = yield* claim(name === undefined ? {} : { worker: name })
    if (first === undefined) return yield* Effect.die(new Error("nothing to claim"))
    return first
  })

export const idsOf = (claimed: ReadonlyArray<Claimed>): ReadonlyArray<string> =>
  claimed.map(({ job }) => String(job.id))

/** The ids a worker gets when it claims all there is. */
export const claimedIds = (types?: ReadonlyArray<string>) =>
  Effect.map(claim({ limit: 1_000, ...(types === undefined ? {} : { types }) }), idsOf)

/** The ids a worker of these capabilities gets when it claims all there is. */
export const claimedBy = (capabilities: Partial<Capabilities>, name = "w1") =>
  Effect.map(claim({ worker: name, limit: 1_000, capabilities: offer(capabilities) }), idsOf)

export const jobNow = (id: string | number) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    return Option.getOrThrow(yield* queue.get(jobId(id)))
  })

/** Reports that an attempt completed; the job as it is then. */
export const complete = (fence: Fence, result: unknown) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    yield* queue.complete(fence, result)
    return yield* jobNow(fence.job_id)
  })

/** Reports that an attempt failed; the job as it is then. */
export const fail = (fence: Fence, error: JobError, retry: Retry | null) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    yield* queue.fail(fence, error, retry)
    return yield* jobNow(fence.job_id)
  })

/** A time `seconds` from now on the store's clock. */
export const inSeconds = (seconds: number) =>
  Effect.gen(function* () {
    const { now } = yield* StoreTime
    return DateTime.makeUnsafe((yield* now) + seconds * 1_000)
  })

/** Lets time pass as a server does, which ticks more often than it takes to look like an outage. */
export const passTicking = (duration: Duration.Input) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const time = yield* StoreTime
    const period = Duration.toMillis(settings.tickInterval)
    let left = Duration.toMillis(duration)
    yield* queue.tick
    while (left > 0) {
      yield* time.pass(Duration.millis(Math.min(left, period)))
      left -= period
      if (left > 0) yield* queue.tick
    }
    return yield* queue.tick
  })
