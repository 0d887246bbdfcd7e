/**
 * What happened: each change of a job, a worker or a machine is one event in one ordered log. Fields are spelled as on
 * the wire; what does not concern an event is left out of it.
 */
import { Schema } from "effect"
import { Name } from "../Identifier.ts"
import { AttemptOutcome } from "../job/Attempt.ts"
import { JobError, JobId, JobStatus, Progress } from "../job/Job.ts"
import { WorkerId, WorkerStanding, WorkerStatus } from "../worker/Worker.ts"
import { EventCursor } from "./EventCursor.ts"

/**
 * An event of a job says what the job is then: its status, the number of its last claim, its type, customer, workflow
 * and the class it was last filed in. `worker_id` is the worker that holds or held it; `outcome` and `error` tell how
 * an attempt ended. What changes nothing, such as repeating a cancel, is no event.
 */
export const JobEventType = Schema.Literals([
  /** Stored: `pending`, or `scheduled` when its time has not come. */
  "job.submitted",
  /** Claimed by a worker. */
  "job.assigned",
  /** The worker has begun. */
  "job.started",
  "job.progress",
  "job.completed",
  "job.failed",
  "job.cancelled",
  "job.expired",
  /** An attempt ended (`outcome` says how) and the job waits again: `pending`, or `scheduled` until its backoff ends. */
  "job.requeued",
  /** Scheduled, and its time has come. */
  "job.promoted",
  /** It stepped aside for a moment: `worker_id` asked, on which it failed. */
  "job.deferred",
  /** A failed job starts over by hand, also out of the archive. */
  "job.retried"
])
export type JobEventType = typeof JobEventType.Type

export const WorkerEventType = Schema.Literals([
  "worker.registered",
  /** The same id with another instance or another offer. */
  "worker.updated",
  /** Its status changed: `worker_status`. */
  "worker.status",
  /** Paused, drained or resumed: `standing`. */
  "worker.standing",
  "worker.unregistered"
])
export type WorkerEventType = typeof WorkerEventType.Type

export const MachineEventType = Schema.Literals(["machine.event"])

export const EventType = Schema.Literals([
  ...JobEventType.literals,
  ...WorkerEventType.literals,
  ...MachineEventType.literals
])
export type EventType = typeof EventType.Type

export const Event = Schema.Struct({
  cursor: EventCursor,
  /** By the clock of the store that changed. */
  at: Schema.DateTimeUtc,
  type: EventType,
  job_id: Schema.optionalKey(JobId),
  /** What the job is now. */
  status: Schema.optionalKey(JobStatus),
  attempt: Schema.optionalKey(Schema.Int),
  /** How the attempt ended. */
  outcome: Schema.optionalKey(AttemptOutcome),
  worker_id: Schema.optionalKey(WorkerId),
  service_required: Schema.optionalKey(Name),
  customer_id: Schema.optionalKey(Name),
  workflow_id: Schema.optionalKey(Name),
  /** The requirement class the job waits in, or was taken from, as `GET /queue` names it. */
  requirement_class: Schema.optionalKey(Schema.String),
  error: Schema.optionalKey(JobError),
  progress: Schema.optionalKey(Progress),
  worker_status: Schema.optionalKey(WorkerStatus),
  standing: Schema.optionalKey(WorkerStanding),
  machine_id: Schema.optionalKey(Name),
  /** Why, in words: of workers and machines. */
  reason: Schema.optionalKey(Schema.String)
})
export type Event = typeof Event.Type

/** An event that no log has numbered yet. */
export type NewEvent = Omit<Event, "cursor">

/** Which events are meant: all of which everything said here holds. */
export const EventFilter = Schema.Struct({
  types: Schema.optionalKey(Schema.Array(EventType)),
  job_id: Schema.optionalKey(JobId),
  worker_id: Schema.optionalKey(WorkerId),
  machine_id: Schema.optionalKey(Name),
  service_required: Schema.optionalKey(Name),
  customer_id: Schema.optionalKey(Name),
  workflow_id: Schema.optionalKey(Name)
})
export type EventFilter = typeof EventFilter.Type

const compared = ["job_id", "worker_id", "machine_id", "service_required", "customer_id", "workflow_id"] as const

/** Whether the filter means an event. Made once for many events: only what the filter says is compared. */
export const meantBy = (filter: EventFilter): ((event: Event) => boolean) => {
  const types = filter.types === undefined ? undefined : new Set(filter.types)
  const names = compared.filter((name) => filter[name] !== undefined)
  return (event) => types?.has(event.type) !== false && names.every((name) => filter[name] === event[name])
}

export const isMeant = (event: Event, filter: EventFilter): boolean => meantBy(filter)(event)
