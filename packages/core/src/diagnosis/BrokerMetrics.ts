/**
 * What an operator of a fleet watches, as metrics: from the figures of the overview, so that a scrape costs the stores
 * nothing more. Labels have few values: states, event types, and the classes worth a look; never an id of a job or worker.
 */
import { Clock, DateTime, Effect, Layer, Metric } from "effect"
import { positionOf } from "../event/EventCursor.ts"
import { EventSettings } from "../event/EventSettings.ts"
import type { WorkerStanding, WorkerStatus } from "../worker/Worker.ts"
import { BuildInfo } from "./BuildInfo.ts"
import * as MetricSources from "./MetricSources.ts"
import { Overview } from "./Overview.ts"

const gauge = (name: string, description: string) => Metric.gauge(name, { description })

const buildInfo = gauge("muster_build_info", "Which version of Muster this process runs; always 1")
const storeUp = gauge("muster_store_up", "Whether a store can work now: 1, else 0")
const jobs = gauge("muster_jobs", "Jobs in the queue by state; held: assigned or processing")
const unarchived = gauge("muster_jobs_unarchived", "Finished jobs that the archive does not have yet")
const waitingClasses = gauge("muster_waiting_classes", "Requirement classes that have waiting jobs")
const unservedClasses = gauge(
  "muster_waiting_unserved_classes",
  "Requirement classes with waiting jobs that no claiming worker matches"
)
const unservedJobs = gauge("muster_waiting_unserved_jobs", "Waiting jobs that no claiming worker matches")
const oldest = gauge("muster_waiting_oldest_seconds", "Age of the job that waits longest; 0 when none waits")
const classJobs = gauge(
  "muster_class_waiting_jobs",
  "Waiting jobs of a requirement class; of the oldest, the deepest and the unserved classes"
)
const classOldest = gauge(
  "muster_class_waiting_oldest_seconds",
  "Age of the job that is next in a requirement class; of the same classes"
)
const classServed = gauge(
  "muster_class_served",
  "Whether a claiming worker matches a requirement class: 1, else 0; of the same classes"
)
const logEntries = gauge("muster_event_log_entries", "Atomic steps that the event log holds")
const logBytes = gauge("muster_event_log_bytes", "Bytes that the event log takes")
const logLimit = gauge("muster_event_log_limit_bytes", "Bytes of the event log from which no progress is added to it")
const logAge = gauge("muster_event_log_oldest_seconds", "Age of the oldest event in the log; 0 when it is empty")
const memoryUsed = gauge("muster_queue_memory_used_bytes", "Memory that the store of the queue uses")
const memoryLimit = gauge(
  "muster_queue_memory_limit_bytes",
  "Limit of the memory of the queue's store; absent when it has none"
)
const memoryShort = gauge(
  "muster_queue_memory_short_in_seconds",
  "Time until 90 % of the memory limit is used, if it goes on as in the last minutes; absent when that is not in sight"
)
const workersByStatus = gauge("muster_workers", "Registered workers by status")
const workersByStanding = gauge("muster_workers_standing", "Registered workers by what an operator asked of them")
const unhealthyWorkers = gauge(
  "muster_workers_unhealthy",
  "Registered workers that cannot run some of their job types now"
)

const set = (metric: Metric.Gauge<number>, value: number, labels: Readonly<Record<string, string>> = {}) =>
  Metric.update(Metric.withAttributes(metric, labels), value)

const setEach = <Key extends string>(
  metric: Metric.Gauge<number>,
  label: string,
  values: Readonly<Record<Key, number>>
) =>
  Effect.forEach(Object.entries<number>(values), ([key, value]) => set(metric, value, { [label]: key }), {
    discard: true
  })

const secondsSince = (millis: number, now: number) => Math.max(0, (now - millis) / 1_000)

const stores = Effect.fnUntraced(function* (overview: Overview["Service"]) {
  const up = (ping: Overview["Service"]["queue"]) => Effect.match(ping, { onFailure: () => 0, onSuccess: () => 1 })
  const [registry, queue] = yield* Effect.all([up(overview.registry), up(overview.queue)], { concurrency: 2 })
  yield* setEach(storeUp, "store", { registry, queue })
})

const queue = Effect.fnUntraced(function* (overview: Overview["Service"]) {
  const { finished, held, pending, scheduled, unarchived: left } = yield* overview.counts
  yield* setEach(jobs, "state", { scheduled, pending, held, finished })
  if (left !== null) yield* set(unarchived, left)
})

const waiting = Effect.fnUntraced(function* (overview: Overview["Service"]) {
  const { classes, oldest_at, shown, unserved } = yield* overview.waiting
  const now = yield* Clock.currentTimeMillis
  yield* set(waitingClasses, classes)
  yield* set(unservedClasses, unserved.classes)
  yield* set(unservedJobs, unserved.jobs)
  yield* set(oldest, oldest_at === null ? 0 : secondsSince(DateTime.toEpochMillis(oldest_at), now))
  for (const { facts, has_claimers, id, next_created_at, pending } of shown) {
    const labels = { service_required: facts.service_required, class: id }
    yield* set(classJobs, pending, labels)
    yield* set(classOldest, secondsSince(DateTime.toEpochMillis(next_created_at), now), labels)
    yield* set(classServed, has_claimers ? 1 : 0, labels)
  }
})

const log = Effect.fnUntraced(function* (overview: Overview["Service"]) {
  const { bytes, entries, first } = yield* overview.log
  const { maxBytes } = yield* EventSettings
  const now = yield* Clock.currentTimeMillis
  yield* set(logEntries, entries)
  yield* set(logBytes, bytes)
  yield* set(logLimit, maxBytes)
  yield* set(logAge, first === null ? 0 : secondsSince(positionOf(first).ms, now))
})

const memory = Effect.fnUntraced(function* (overview: Overview["Service"]) {
  const figures = yield* overview.memory
  if (figures === null) return
  yield* set(memoryUsed, figures.used_bytes)
  if (figures.limit_bytes !== null) yield* set(memoryLimit, figures.limit_bytes)
  if (figures.short_in_s !== null) yield* set(memoryShort, figures.short_in_s)
})

const workers = Effect.fnUntraced(function* (overview: Overview["Service"]) {
  const { standing, status, unhealthy } = yield* overview.workers
  yield* setEach<WorkerStatus>(workersByStatus, "status", status)
  yield* setEach<WorkerStanding>(workersByStanding, "standing", standing)
  yield* set(unhealthyWorkers, unhealthy)
})

export const layer: Layer.Layer<never, never, Overview> = Layer.effectDiscard(
  Effect.gen(function* () {
    const overview = yield* Overview
    const settings = yield* EventSettings
    const { version } = yield* BuildInfo
    for (const read of [stores, queue, waiting, log, memory, workers]) {
      yield* MetricSources.contribute(
        MetricSources.sampled(Effect.provideService(read(overview), EventSettings, settings))
      )
    }
    yield* MetricSources.contribute(MetricSources.sampled(set(buildInfo, 1, { version })))
  })
)
