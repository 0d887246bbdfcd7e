/** What can be wrong with queue and fleet whatever they are stored in. */
import { Clock, DateTime, Duration, Effect, Layer, Ref } from "effect"
import { EventSettings } from "../event/EventSettings.ts"
import { ArchiverState } from "../job/ArchiverState.ts"
import type { StorageError } from "../job/JobErrors.ts"
import type { RepositoryError } from "../worker/WorkerErrors.ts"
import { type Check, contribute } from "./Diagnosis.ts"
import * as Finding from "./Finding.ts"
import { Overview } from "./Overview.ts"

/** Classes named in one sentence. */
const named = 3

/** Waiting longer than this for workers that are there is worth a word. */
const longWait = Duration.hours(1)

const count = (number: number, one: string, many = `${one}s`): string => `${number} ${number === 1 ? one : many}`

/** A length of time in its largest unit, rounded down. */
const length = (millis: number): string => {
  const units = [
    [86_400_000, "d"],
    [3_600_000, "h"],
    [60_000, "min"]
  ] as const
  const unit = units.find(([size]) => millis >= size)
  return unit === undefined ? `${Math.floor(millis / 1_000)} s` : `${Math.floor(millis / unit[0])} ${unit[1]}`
}

const megabytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MB`

/** A store that is away has its own check; nothing here repeats it. */
const unlessAway = <E extends StorageError | RepositoryError>(check: Effect.Effect<Finding.Found, E>): Check["run"] =>
  Effect.catch(check, (error: E) =>
    Effect.succeed(
      error.unavailable ? null : Finding.error(error.detail, "the log of the server says more about this failure")
    )
  )

const serves = (overview: Overview["Service"]): Check["run"] =>
  overview.queue.pipe(
    Effect.as(Finding.ok("jobs are taken and given")),
    Effect.catch(({ detail, unavailable }) =>
      Effect.succeed(
        Finding.error(
          detail,
          unavailable
            ? "see the lines about its store, and `muster server` heals by itself when the store is back"
            : "change the setting it names and start the server again"
        )
      )
    )
  )

const registryAnswers = (overview: Overview["Service"]): Check["run"] =>
  overview.registry.pipe(
    Effect.andThen(overview.workers),
    Effect.map(({ standing, status, unhealthy }) => {
      const all = status.active + status.offline + status.pending
      const parts = [
        `${status.active} active`,
        ...(status.pending > 0 ? [`${status.pending} not heard from yet`] : []),
        ...(status.offline > 0 ? [`${status.offline} offline`] : []),
        ...(standing.paused > 0 ? [`${standing.paused} paused`] : []),
        ...(standing.draining > 0 ? [`${standing.draining} draining`] : []),
        ...(unhealthy > 0 ? [`${unhealthy} with a connector that is unhealthy`] : [])
      ]
      const detail = `${count(all, "worker")}: ${parts.join(", ")}`
      if (all === 0)
        return Finding.warning(
          "no worker is registered",
          "start one: WORKER_ID=w-1 CONNECTORS=simulation muster worker"
        )
      if (status.active === 0 && status.offline > 0)
        return Finding.error(detail, "see why they are silent: muster workers list --status offline")
      const fixes = [
        ...(status.offline > 0 ? ["see who is offline: muster workers list --status offline"] : []),
        ...(unhealthy > 0 ? ["see whose: muster workers list, and why: muster workers show ID"] : [])
      ]
      return fixes.length > 0 ? Finding.warning(detail, fixes.join("; ")) : Finding.ok(detail)
    }),
    Effect.catch(({ detail, unavailable }) =>
      Effect.succeed(
        Finding.error(
          `the registry of workers: ${detail}`,
          unavailable ? "see the lines about its store" : "the log of the server says more about this failure"
        )
      )
    )
  )

const waiting = (overview: Overview["Service"]): Check["run"] =>
  unlessAway(
    Effect.gen(function* () {
      const { classes, complete, oldest_at, shown, unserved } = yield* overview.waiting
      const now = yield* Clock.currentTimeMillis
      const atLeast = complete ? "" : "at least "
      if (unserved.jobs > 0) {
        const kinds = shown.filter(({ has_claimers }) => !has_claimers).slice(0, named)
        const names = kinds.map(({ facts, pending }) => `${facts.service_required} (${pending})`).join(", ")
        const more = unserved.classes > kinds.length ? ` and ${unserved.classes - kinds.length} more` : ""
        return Finding.warning(
          `${atLeast}${count(unserved.jobs, "waiting job")} that no claiming worker can serve: ${names}${more}`,
          "see what is missing: muster queue, and for one of the jobs: muster job explain ID"
        )
      }
      if (oldest_at === null) return Finding.ok("no job waits")
      const age = Math.max(0, now - DateTime.toEpochMillis(oldest_at))
      const detail = `${atLeast}${count(classes, "class", "classes")} of jobs wait, the oldest for ${length(age)}`
      return age > Duration.toMillis(longWait)
        ? Finding.warning(detail, "more workers, or see who is busy: muster queue")
        : Finding.ok(detail)
    })
  )

const log = (overview: Overview["Service"], { maxBytes }: EventSettings): Check["run"] =>
  unlessAway(
    Effect.map(overview.log, ({ bytes, entries }) => {
      const detail = `the event log holds ${count(entries, "entry", "entries")}, ${megabytes(bytes)} of ${megabytes(maxBytes)}`
      if (bytes >= 2 * maxBytes) {
        return Finding.error(
          `${detail}: no job is taken`,
          "let the archive catch up: see the lines about PostgreSQL and the archive"
        )
      }
      return bytes >= maxBytes
        ? Finding.warning(
            `${detail}: progress is left out of it`,
            "let the archive catch up, or raise MUSTER_EVENT_BYTES where memory allows it"
          )
        : Finding.ok(detail)
    })
  )

/** An archive that is behind by more than this does not catch up by itself, as it looks. */
const farBehind = Duration.minutes(5)

/** What the archiver of this server says. */
const archive = (ping: Overview["Service"]["queue"], state: ArchiverState["Service"]): Check["run"] =>
  Effect.gen(function* () {
    yield* ping
    const { error, events_behind_ms, gaps, jobs_behind, jobs_behind_ms } = yield* Ref.get(state)
    if (error !== null) {
      return Finding.error(
        `the archive cannot be written since ${DateTime.formatIso(error.at)}: ${error.message}`,
        "see the lines about PostgreSQL; nothing is lost meanwhile, but Redis fills up"
      )
    }
    const behind = Math.max(jobs_behind_ms, events_behind_ms)
    const detail =
      behind < 1_000
        ? "the archive has everything"
        : `the archive is ${length(behind)} behind (${jobs_behind ?? 0} jobs)`
    if (gaps > 0) {
      return Finding.warning(
        `${detail}; events were gone before it had them`,
        "give Redis more memory, or see when Redis lost its data: its log says"
      )
    }
    return behind > Duration.toMillis(farBehind)
      ? Finding.warning(detail, "see what keeps PostgreSQL busy: SELECT * FROM pg_stat_activity")
      : Finding.ok(detail)
  }).pipe(
    Effect.catch(({ detail }) =>
      Effect.succeed(
        Finding.error(
          `the archive: ${detail}`,
          "see the lines about PostgreSQL; nothing is lost meanwhile, but Redis fills up"
        )
      )
    )
  )

const webhooks = (overview: Overview["Service"]): Check["run"] =>
  unlessAway(
    Effect.map(overview.webhooks, ({ disabled, failing, healthy }) => {
      const all = healthy + failing + disabled
      if (failing + disabled === 0)
        return Finding.ok(all === 0 ? "there are none" : `${count(all, "webhook")}, all healthy`)
      return Finding.warning(
        `${count(all, "webhook")}: ${failing} failing, ${disabled} disabled`,
        "see why: muster webhooks list, and muster webhooks deliveries ID"
      )
    })
  )

/** The checks of a process that has the stores. */
export const layer: Layer.Layer<never, never, Overview | ArchiverState> = Layer.effectDiscard(
  Effect.gen(function* () {
    const overview = yield* Overview
    const settings = yield* EventSettings
    const state = yield* ArchiverState
    yield* contribute([
      { name: "queue.serves", run: serves(overview) },
      { name: "queue.waiting", run: waiting(overview) },
      { name: "queue.log", run: log(overview, settings) },
      ...(overview.archive === null ? [] : [{ name: "queue.archive", run: archive(overview.archive, state) }]),
      { name: "workers", run: registryAnswers(overview) },
      { name: "webhooks", run: webhooks(overview) }
    ])
  })
)
