/**
 * How the broker is doing, in figures that cost the stores the same however many ask: each is read when somebody wants
 * it, once in a few seconds, and given up after two. Nothing here counts jobs, workers or events one by one.
 */
import { Context, type DateTime, Duration, Effect, Layer } from "effect"
import { EventLog, type LogSize } from "../event/internal/EventLog.ts"
import { JobArchive } from "../job/internal/JobArchive.ts"
import { type ClassDepth, type ClassPage, JobQueue, type QueueCounts } from "../job/internal/JobQueue.ts"
import { StorageError } from "../job/JobErrors.ts"
import { limit as webhookLimit, WebhookStore } from "../webhook/internal/WebhookStore.ts"
import type { WorkerStanding, WorkerStatus } from "../worker/Worker.ts"
import { WorkerRepository } from "../worker/internal/WorkerRepository.ts"
import type { RepositoryError } from "../worker/WorkerErrors.ts"
import { type MemoryFigures, QueueMemory } from "./QueueMemory.ts"

/** The requirement classes with waiting jobs, those one would look at first in front. */
export interface WaitingClasses {
  /** Those that wait longest and those that are deepest; classes that nobody claims come first. */
  readonly shown: ReadonlyArray<ClassDepth>
  readonly classes: number
  /** Jobs in classes that no worker claims, and how many such classes there are. */
  readonly unserved: { readonly jobs: number; readonly classes: number }
  /** When the job that waits longest was submitted, by the jobs that are next in their class. */
  readonly oldest_at: DateTime.Utc | null
  /** Whether these are all classes; otherwise everything here is "at least". */
  readonly complete: boolean
}

/** Classes shown by age, and as many by depth. */
const shownBy = 20
/** Pages of classes read for one look. */
const mostPages = 50

const patience = Duration.seconds(2)
const fresh = Duration.seconds(2)
/** Classes are read page by page. */
const freshClasses = Duration.seconds(5)
const freshWebhooks = Duration.seconds(10)

const byAge = (left: ClassDepth, right: ClassDepth): number =>
  left.next_created_at.epochMilliseconds - right.next_created_at.epochMilliseconds

const byDepth = (left: ClassDepth, right: ClassDepth): number => right.pending - left.pending

const unservedFirst = (left: ClassDepth, right: ClassDepth): number =>
  Number(left.has_claimers) - Number(right.has_claimers)

/** What is worth showing of these classes. */
export const waitingClasses = (classes: ReadonlyArray<ClassDepth>, complete: boolean): WaitingClasses => {
  const oldest = classes.toSorted(byAge)
  const shown = new Set([
    ...classes
      .filter(({ has_claimers }) => !has_claimers)
      .toSorted(byAge)
      .slice(0, shownBy),
    ...oldest.slice(0, shownBy),
    ...classes.toSorted(byDepth).slice(0, shownBy)
  ])
  const unserved = classes.filter(({ has_claimers }) => !has_claimers)
  return {
    shown: [...shown].toSorted((left, right) => unservedFirst(left, right) || byAge(left, right)),
    classes: classes.length,
    unserved: { jobs: unserved.reduce((sum, { pending }) => sum + pending, 0), classes: unserved.length },
    oldest_at: oldest[0]?.next_created_at ?? null,
    complete
  }
}

const storeAway = (operation: string) =>
  Effect.suspend(() =>
    Effect.fail(
      new StorageError({
        operation,
        detail: "does not answer",
        unavailable: true,
        cause: new Error("no answer in time")
      })
    )
  )

/** Read at most once in `fresh`, for at most 2 s, however many ask at the same time. */
const shared = <A, E>(
  operation: string,
  read: Effect.Effect<A, E>,
  timeToLive = fresh
): Effect.Effect<Effect.Effect<A, E | StorageError>> =>
  read.pipe(
    Effect.timeoutOrElse({ duration: patience, orElse: () => storeAway(operation) }),
    Effect.cachedWithTTL(timeToLive)
  )

/** How many workers there are, by what they are and by what an operator asked of them; those that left are not among them. */
export interface WorkerCounts {
  readonly status: Readonly<Record<WorkerStatus, number>>
  readonly standing: Readonly<Record<WorkerStanding, number>>
  /** Workers that are not offline and cannot run some of their job types now. */
  readonly unhealthy: number
}

/** How webhooks are doing. Failing ones are active and were not delivered to lately. */
export interface WebhookCounts {
  readonly healthy: number
  readonly failing: number
  readonly disabled: number
  /** Since when the one that fails longest does; null when none does. */
  readonly failing_since: DateTime.Utc | null
}

type Failure = StorageError | RepositoryError

export class Overview extends Context.Service<
  Overview,
  {
    /** Whether each store can work now, as its port's `ping` says. */
    readonly registry: Effect.Effect<void, Failure>
    readonly queue: Effect.Effect<void, Failure>
    /** Null: there is no archive. */
    readonly archive: Effect.Effect<void, Failure> | null
    readonly counts: Effect.Effect<QueueCounts, Failure>
    readonly waiting: Effect.Effect<WaitingClasses, Failure>
    readonly log: Effect.Effect<LogSize, Failure>
    /** Null where the queue lives in this process. */
    readonly memory: Effect.Effect<MemoryFigures | null, Failure>
    readonly workers: Effect.Effect<WorkerCounts, Failure>
    readonly webhooks: Effect.Effect<WebhookCounts, Failure>
  }
>()("@muster/core/diagnosis/Overview") {}

const readClasses = Effect.gen(function* () {
  const jobs = yield* JobQueue
  const classes: Array<ClassDepth> = []
  let after: string | null = null
  for (let page = 0; page < mostPages; page++) {
    const { classes: found, next }: ClassPage = yield* jobs.classes(after)
    classes.push(...found)
    if (next === null) return waitingClasses(classes, true)
    after = next
  }
  return waitingClasses(classes, false)
})

const countWorkers = Effect.gen(function* () {
  const workers = yield* WorkerRepository
  const status = { pending: 0, active: 0, offline: 0 }
  const standing = { open: 0, paused: 0, draining: 0 }
  let unhealthy = 0
  for (const group of yield* workers.groups({ machines: [] })) {
    if (group.status === "gone") continue
    status[group.status] += group.workers
    standing[group.standing] += group.workers
    // What a worker that is offline said last of its services is no news of them.
    if (group.unhealthy_job_types.length > 0 && group.status !== "offline") unhealthy += group.workers
  }
  return { status, standing, unhealthy }
})

/** There are few webhooks: their store takes no more than it lists here. */
const countWebhooks = Effect.gen(function* () {
  const store = yield* WebhookStore
  const webhooks = yield* store.list({ limit: webhookLimit })
  const failing = webhooks.filter(({ failing_since, status }) => status === "active" && failing_since !== null)
  const disabled = webhooks.filter(({ status }) => status === "disabled").length
  const since = failing.flatMap(({ failing_since }) => (failing_since === null ? [] : [failing_since]))
  return {
    healthy: webhooks.length - failing.length - disabled,
    failing: failing.length,
    disabled,
    failing_since: since.toSorted((left, right) => left.epochMilliseconds - right.epochMilliseconds)[0] ?? null
  }
})

type Needs = JobQueue | JobArchive | EventLog | WorkerRepository | WebhookStore

export const make = Effect.gen(function* () {
  const ports = yield* Effect.context<Needs>()
  const jobs = yield* JobQueue
  const archive = yield* JobArchive
  const memory = yield* QueueMemory
  return Overview.of({
    registry: yield* shared("WorkerRepository.ping", (yield* WorkerRepository).ping),
    queue: yield* shared("JobQueue.ping", jobs.ping),
    archive: archive.keeps ? yield* shared("JobArchive.ping", archive.ping) : null,
    counts: yield* shared("JobQueue.counts", jobs.counts),
    waiting: yield* shared("JobQueue.classes", Effect.provideContext(readClasses, ports), freshClasses),
    log: yield* shared("EventLog.size", (yield* EventLog).size),
    memory: yield* shared("QueueMemory.read", memory.read),
    workers: yield* shared("WorkerRepository.groups", Effect.provideContext(countWorkers, ports)),
    webhooks: yield* shared("WebhookStore.list", Effect.provideContext(countWebhooks, ports), freshWebhooks)
  })
})

export const layer: Layer.Layer<Overview, never, Needs> = Layer.effect(Overview, make)
