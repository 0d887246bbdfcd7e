/**
 * What an operator of a fleet watches, as metrics: from the figures of the overview, so that a scrape costs the stores
 * nothing more. Labels have few values: states, event types, and the classes worth a look; never an id of a job or worker.
 */
import { Clock, DateTime, Effect, Layer, Metric, Ref } from "effect"
import { positionOf } from "../event/EventCursor.ts"
import { EventFeed } from "../event/EventFeed.ts"
import { EventSettings } from "../event/EventSettings.ts"
import { ArchiverState } from "../job/ArchiverState.ts"
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
  "Registered workers that are not offline and cannot run some of their job types now"
)

const feedLag = gauge(
  "muster_event_feed_lag_seconds",
  "From when the newest event happened to when this server read it; absent before the first"
)
const feedConnected = gauge("muster_event_feed_connected", "Whether this server can read the event log: 1, else 0")
const events = Metric.counter("muster_events_total", {
  description: "Events by type, as this server has read them; every server reads all of them",
  incremental: true
})
const attempts = Metric.counter("muster_attempts_ended_total", {
  description: "Attempts by how they ended and by the kind of error, as this server has read it",
  incremental: true
})
const archiving = gauge("muster_archiver_working", "Whether this is the server that archives now: 1, else 0")
const archiveUp = gauge("muster_archiver_up", "Whether the archive could be written and its lag told lately: 1, else 0")
const jobsBehind = gauge("muster_archive_jobs_behind", "Finished jobs that the archive does not have yet")
const jobsBehindFor = gauge(
  "muster_archive_jobs_behind_seconds",
  "How long ago the first finished job ended that the archive does not have; 0 when it has all"
)
const eventsBehindFor = gauge(
  "muster_archive_events_behind_seconds",
  "How long ago the first event happened that the archive does not have; 0 when it has all"
)
const jobsArchived = Metric.counter("muster_archive_jobs_total", {
  description: "Jobs that this server has archived",
  incremental: true
})
const eventsArchived = Metric.counter("muster_archive_events_total", {
  description: "Events that this server has archived",
  incremental: true
})
const archiveGaps = Metric.counter("muster_archive_gaps_total", {
  description: "How often this server found that events were gone before the archive had them",
  incremental: true
})

const webhooksByState = gauge(
  "muster_webhooks",
  "Webhooks by state; failing: active, and the last delivery was not taken"
)
const webhooksFailing = gauge(
  "muster_webhooks_failing_seconds",
  "For how long the webhook that fails longest has failed; 0 when none does"
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
  const { archive, queue, registry } = overview
  const pings: Record<string, typeof queue> = { registry, queue, ...(archive === null ? {} : { archive }) }
  yield* Effect.forEach(
    Object.entries(pings),
    ([store, ping]) => Effect.flatMap(up(ping), (value) => set(storeUp, value, { store })),
    { concurrency: "unbounded", discard: true }
  )
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

const webhooks = Effect.fnUntraced(function* (overview: Overview["Service"]) {
  const { disabled, failing, failing_since, healthy } = yield* overview.webhooks
  const now = yield* Clock.currentTimeMillis
  yield* setEach(webhooksByState, "state", { healthy, failing, disabled })
  yield* set(webhooksFailing, failing_since === null ? 0 : secondsSince(DateTime.toEpochMillis(failing_since), now))
})

const feed = Effect.fnUntraced(function* ({ attempts: ends, lag, totals }: EventFeed["Service"]) {
  const { connected, ms } = yield* lag
  yield* set(feedConnected, connected ? 1 : 0)
  if (ms !== null) yield* set(feedLag, ms / 1_000)
  for (const [type, total] of yield* totals) {
    yield* Metric.update(Metric.withAttributes(events, { type }), total)
  }
  for (const { count, error_kind, outcome } of yield* ends) {
    const labels = { outcome, ...(error_kind === null ? {} : { error_kind }) }
    yield* Metric.update(Metric.withAttributes(attempts, labels), count)
  }
})

const archiver = Effect.fnUntraced(function* (state: ArchiverState["Service"]) {
  const report = yield* Ref.get(state)
  yield* set(archiving, report.working ? 1 : 0)
  yield* set(archiveUp, report.error === null ? 1 : 0)
  if (report.jobs_behind !== null) yield* set(jobsBehind, report.jobs_behind)
  yield* set(jobsBehindFor, report.jobs_behind_ms / 1_000)
  yield* set(eventsBehindFor, report.events_behind_ms / 1_000)
  yield* Metric.update(jobsArchived, report.jobs_archived)
  yield* Metric.update(eventsArchived, report.events_archived)
  yield* Metric.update(archiveGaps, report.gaps)
})

export const layer: Layer.Layer<never, never, Overview | EventFeed | ArchiverState> = Layer.effectDiscard(
  Effect.gen(function* () {
    const overview = yield* Overview
    const settings = yield* EventSettings
    const { version } = yield* BuildInfo
    for (const read of [stores, queue, waiting, log, memory, workers, webhooks]) {
      yield* MetricSources.contribute(
        MetricSources.sampled(Effect.provideService(read(overview), EventSettings, settings))
      )
    }
    yield* MetricSources.contribute(MetricSources.sampled(feed(yield* EventFeed)))
    if (overview.archive !== null) {
      yield* MetricSources.contribute(MetricSources.sampled(archiver(yield* ArchiverState)))
    }
    yield* MetricSources.contribute(MetricSources.sampled(set(buildInfo, 1, { version })))
  })
)
