/**
 * Why a job is not running: the answer, and how it is made from what the queue and the registry say. Nothing is asked
 * for here, so that every case can be tested.
 *
 * A job waits for one of five reasons. `next`: a worker that matches has room. `busy`: those that match are full, paused,
 * draining, or have an unhealthy connector. `later`: its time has not come, or it steps aside. `offline`: only workers
 * that were lost match. `impossible`: none of all known does.
 */
import { DateTime, Schema } from "effect"
import { WorkerId, WorkerStanding, WorkerStatus } from "../worker/Worker.ts"
import { textOf, type WorkerGlimpse, type WorkerGroup } from "../worker/WorkerGroup.ts"
import * as ExplanationHints from "./ExplanationHints.ts"
import type { Place } from "./internal/JobQueue.ts"
import { isFinished, isHeld, type Job, JobError, JobId, JobStatus } from "./Job.ts"
import type { UnmetClause } from "./Matching.ts"
import { type Judged, judgeAll, wanted } from "./NearMisses.ts"

export const Verdict = Schema.Literals(["next", "busy", "later", "offline", "impossible"])
export type Verdict = typeof Verdict.Type

/** Why its time has not come: `run_at`, the pause after a failure, or that the worker it failed on must not have it. */
export const LaterReason = Schema.Literals(["scheduled", "backing_off", "stepped_aside"])
export type LaterReason = typeof LaterReason.Type

export const Unmet = Schema.Struct({
  /** Where it stands: `hardware.gpu_memory_gb`, `labels.tier`, `customers.deny`, `connector_unhealthy`. */
  clause: Schema.String,
  required: Schema.Unknown,
  /** Null: nothing of the kind. Of a long list its first entries. */
  offered: Schema.Unknown,
  offered_left_out: Schema.optionalKey(Schema.Int)
})
export type Unmet = typeof Unmet.Type

export const ExplainedWorker = Schema.Struct({
  worker_id: WorkerId,
  /** `gone`: it was unregistered within the last day. */
  status: Schema.Literals([...WorkerStatus.literals, "gone"]),
  standing: WorkerStanding,
  capacity: Schema.Int,
  /** How many jobs it holds; null where that does not matter. */
  holds: Schema.NullOr(Schema.Int),
  machine_id: Schema.NullOr(Schema.String),
  last_heartbeat_at: Schema.NullOr(Schema.DateTimeUtc),
  status_changed_at: Schema.DateTimeUtc,
  /** Empty: it matches. */
  unmet: Schema.Array(Unmet)
})
export type ExplainedWorker = typeof ExplainedWorker.Type

/** How many workers match by what they offer, and how they are. Those not offline or gone are in one of the first six. */
export const Matching = Schema.Struct({
  /** With room for a job. */
  free: Schema.Int,
  full: Schema.Int,
  /** Open and healthy as those two, and too many to look at each. */
  not_looked_at: Schema.Int,
  paused: Schema.Int,
  draining: Schema.Int,
  /** Their connector for the job type is unhealthy. */
  unhealthy: Schema.Int,
  offline: Schema.Int,
  /** Unregistered within the last day. */
  gone: Schema.Int
})
export type Matching = typeof Matching.Type

export const Explanation = Schema.Struct({
  job_id: JobId,
  service_required: Schema.String,
  status: JobStatus,
  /** Null: the job does not wait. */
  verdict: Schema.NullOr(Verdict),
  /** The verdict in a sentence. */
  summary: Schema.String,
  /** Waiting jobs that workers which match would be given before it; null for a job that does not wait to be claimed. */
  ahead: Schema.NullOr(Schema.Int),
  /** There are too many to count: it is at least so many. */
  ahead_at_least: Schema.Boolean,
  /** Why `later`, and until when, where that is known. */
  reason: Schema.NullOr(LaterReason),
  due_at: Schema.NullOr(Schema.DateTimeUtc),
  /** Why its last attempt did not complete. */
  error: Schema.NullOr(JobError),
  /** Who holds it, or held it when it ended. */
  worker_id: Schema.NullOr(WorkerId),
  matching: Schema.NullOr(Matching),
  /** Those that match first, then the nearest misses. */
  workers: Schema.Array(ExplainedWorker),
  /** How many more are known. */
  workers_left_out: Schema.Int,
  /** What to do about it. */
  hints: Schema.Array(Schema.String)
})
export type Explanation = typeof Explanation.Type

/** Entries of a list that are answered. */
const longestList = 20

const shortened = ({ clause, offered, required }: UnmetClause): Unmet =>
  Array.isArray(offered) && offered.length > longestList
    ? { clause, required, offered: offered.slice(0, longestList), offered_left_out: offered.length - longestList }
    : { clause, required, offered }

/** A worker that was looked at, with its group as the job sees it. */
export interface Seen {
  readonly judged: Judged
  readonly glimpse: WorkerGlimpse
  /** Null where nobody asked. */
  readonly holds: number | null
}

const hasRoom = ({ glimpse, holds }: Seen): boolean => holds !== null && holds < glimpse.capacity

const explained = ({ glimpse, holds, judged }: Seen): ExplainedWorker => ({
  worker_id: glimpse.id,
  status: glimpse.status,
  standing: glimpse.standing,
  capacity: glimpse.capacity,
  holds,
  machine_id: glimpse.machine_id,
  last_heartbeat_at: glimpse.last_heartbeat_at,
  status_changed_at: glimpse.status_changed_at,
  unmet: judged.unmet.map(shortened)
})

const count = (judged: ReadonlyArray<Judged>, standing: Judged["standing"]): number =>
  judged.reduce((sum, one) => (one.standing === standing ? sum + one.group.workers : sum), 0)

const countAll = (judged: ReadonlyArray<Judged>, open: ReadonlyArray<Seen>): Matching => {
  const free = open.filter(hasRoom).length
  return {
    free,
    full: open.length - free,
    not_looked_at: Math.max(0, count(judged, "open") - open.length),
    paused: count(judged, "paused"),
    draining: count(judged, "draining"),
    unhealthy: count(judged, "unhealthy"),
    offline: count(judged, "offline"),
    gone: count(judged, "gone")
  }
}

/** Those that live: registered, and not offline. */
const living = ({ draining, free, full, not_looked_at, paused, unhealthy }: Matching): number =>
  free + full + not_looked_at + paused + draining + unhealthy

/** How long a job at most steps aside for a moment, in ms: what is due later is backing off. */
const stepsAside = 1_500

const laterReason = ({ error }: Job, { avoids, due_at }: Place, now: DateTime.Utc): LaterReason => {
  if (due_at === null) return "stepped_aside"
  const soon = DateTime.toEpochMillis(due_at) - DateTime.toEpochMillis(now) <= stepsAside
  if (avoids !== null && soon) return "stepped_aside"
  return error === null ? "scheduled" : "backing_off"
}

const verdictOf = ({ status }: Job, place: Place, matching: Matching, open: ReadonlyArray<Seen>): Verdict => {
  if (status === "scheduled" || place.due_at !== null) return "later"
  const free = open.filter(hasRoom)
  if (free.some(({ glimpse }) => glimpse.id !== place.avoids)) return "next"
  const alive = living(matching)
  // Nobody else could have it: it goes back to the worker it failed on, in a moment.
  if (free.length > 0 && alive === 1) return "later"
  if (alive > 0) return "busy"
  return matching.offline + matching.gone > 0 ? "offline" : "impossible"
}

/** What there is to see, once the groups are known. */
export interface Sight {
  readonly judged: ReadonlyArray<Judged>
  /** Workers to look at. */
  readonly wanted: ReturnType<typeof wanted>
}

/** What to look at to explain a job that waits; `limit` is how many workers will be answered. */
export const sight = (job: Job, groups: ReadonlyArray<WorkerGroup>, limit: number): Sight => {
  const judged = judgeAll(job, groups)
  return { judged, wanted: wanted(judged, limit, ExplanationHints.groupsToTell(job, judged)) }
}

/** Whether some worker that lives could be given the job: if not, counts should be of this very moment. */
export const isServed = ({ judged }: Sight): boolean => judged.some(({ standing }) => standing === "open")

/** The workers whose jobs are to be counted. */
export const mayBeFree = ({ judged }: Sight, glimpses: ReadonlyArray<WorkerGlimpse>): ReadonlyArray<WorkerId> => {
  const open = new Set(judged.flatMap(({ group, standing }) => (standing === "open" ? [textOf(group)] : [])))
  return glimpses.flatMap((glimpse) => (open.has(textOf(glimpse)) ? [glimpse.id] : []))
}

/** Nearest group first; within one those with most room, then those heard of last. */
const seenOf = (
  judged: ReadonlyArray<Judged>,
  glimpses: ReadonlyArray<WorkerGlimpse>,
  holds: ReadonlyMap<WorkerId, number>
): ReadonlyArray<Seen> => {
  const order = new Map(judged.map((one, at) => [textOf(one.group), { at, one }]))
  const room = ({ glimpse, holds }: Seen) => (holds === null ? 0 : glimpse.capacity - holds)
  const lately = ({ glimpse }: Seen) =>
    glimpse.last_heartbeat_at === null ? 0 : DateTime.toEpochMillis(glimpse.last_heartbeat_at)
  return glimpses
    .flatMap((glimpse) => {
      const found = order.get(textOf(glimpse))
      return found === undefined
        ? []
        : [{ at: found.at, seen: { judged: found.one, glimpse, holds: holds.get(glimpse.id) ?? null } }]
    })
    .toSorted((a, b) => {
      const bothOpen = a.seen.judged.standing === "open" && b.seen.judged.standing === "open"
      return (
        (bothOpen ? Number(room(b.seen) > 0) - Number(room(a.seen) > 0) : 0) ||
        a.at - b.at ||
        room(b.seen) - room(a.seen) ||
        lately(b.seen) - lately(a.seen) ||
        (a.seen.glimpse.id < b.seen.glimpse.id ? -1 : 1)
      )
    })
    .map(({ seen }) => seen)
}

/** Why a job that waits does. */
export const explainWaiting = (options: {
  readonly job: Job
  readonly place: Place
  readonly sight: Sight
  readonly glimpses: ReadonlyArray<WorkerGlimpse>
  /** How many jobs each worker holds that may be free. */
  readonly holds: ReadonlyMap<WorkerId, number>
  readonly now: DateTime.Utc
  /** Workers answered, at most. */
  readonly limit: number
  /** Worker types that accept the job type by the mapping of this process. */
  readonly startable?: ReadonlyArray<string>
}): Explanation => {
  const { glimpses, holds, job, limit, now, place, sight, startable = [] } = options
  const { judged } = sight
  const seen = seenOf(judged, glimpses, holds)
  const open = seen.filter((one) => one.judged.standing === "open")
  const matching = countAll(judged, open)
  const verdict = verdictOf(job, place, matching, open)
  const reason = verdict === "later" ? laterReason(job, place, now) : null
  const about = { job, place, judged, seen, matching, verdict, reason, now, startable, free: open.filter(hasRoom) }
  const workers = seen.slice(0, limit).map(explained)
  const known = judged.reduce((sum, { group }) => sum + group.workers, 0)
  return {
    job_id: job.id,
    service_required: job.service_required,
    status: job.status,
    verdict,
    summary: ExplanationHints.summary(about),
    ahead: place.due_at === null ? place.ahead : null,
    ahead_at_least: place.due_at === null && place.at_least,
    reason,
    due_at: place.due_at,
    error: job.error,
    worker_id: null,
    matching,
    workers,
    workers_left_out: Math.max(0, known - workers.length),
    hints: ExplanationHints.hints(about)
  }
}

/** What there is to say of a job that does not wait: who holds it, or how it ended. */
export const explainOther = (
  job: Job,
  holder: { readonly status: WorkerStatus | "gone" } | null,
  now: DateTime.Utc
): Explanation => ({
  job_id: job.id,
  service_required: job.service_required,
  status: job.status,
  verdict: null,
  summary: isFinished(job.status) ? ExplanationHints.endOf(job, now) : ExplanationHints.holdOf(job, now),
  ahead: null,
  ahead_at_least: false,
  reason: null,
  due_at: null,
  error: job.error,
  worker_id: job.worker_id,
  matching: null,
  workers: [],
  workers_left_out: 0,
  hints: isHeld(job.status) ? ExplanationHints.ofHeld(job, holder) : ExplanationHints.ofFinished(job)
})
