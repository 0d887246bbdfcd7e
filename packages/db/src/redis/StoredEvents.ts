/**
 * Events as they are kept in the log: see lua/includes/events.lua. Those of jobs are short lines, for there are several
 * of each job; those that other stores tell are JSON. Lines were written by the functions out of what was checked at the
 * door; only their form is looked at when they are read.
 */
import { type Event, Event as EventSchema, type JobEventType, type NewEvent } from "@muster/core/event/Event"
import * as EventCursor from "@muster/core/event/EventCursor"
import type { AttemptOutcome } from "@muster/core/job/Attempt"
import type { JobId, JobStatus } from "@muster/core/job/Job"
import type { WorkerId } from "@muster/core/worker/Worker"
import { DateTime, Effect, Schema, SchemaGetter, SchemaIssue, Struct } from "effect"

/** A position in the log, without its name: an entry and a line in it. */
export interface LogPosition {
  readonly entry: string
  readonly line: number
}

const positionForm = /^(\d{1,16}-\d{1,16})-(\d{1,4})$/

const positioned = (text: string): Effect.Effect<LogPosition, SchemaIssue.Issue> => {
  const [, entry, line] = positionForm.exec(text) ?? []
  return entry === undefined
    ? Effect.fail(new SchemaIssue.InvalidValue({ expected: "a position in the log" }))
    : Effect.succeed({ entry, line: Number(line) })
}

/** As the functions answer it. */
export const LogPosition = Schema.String.pipe(
  Schema.decodeTo(
    Schema.declare((value): value is LogPosition => typeof value === "object"),
    {
      decode: SchemaGetter.transformEffect(positioned),
      encode: SchemaGetter.transform(({ entry, line }: LogPosition) => `${entry}-${line}`)
    }
  )
)

export const cursorAt = (log: string, { entry, line }: LogPosition): EventCursor.EventCursor => {
  const [ms, seq] = entry.split("-").map(Number)
  return EventCursor.make({ log, ms: ms ?? 0, seq: seq ?? 0, index: line })
}

/** Where a cursor stands, and in which log. */
export const positionAt = (cursor: EventCursor.EventCursor): LogPosition & { readonly log: string } => {
  const { index, log, ms, seq } = EventCursor.positionOf(cursor)
  return { log, entry: `${ms}-${seq}`, line: index }
}

const types: Record<string, JobEventType> = {
  s: "job.submitted",
  a: "job.assigned",
  b: "job.started",
  g: "job.progress",
  c: "job.completed",
  f: "job.failed",
  x: "job.cancelled",
  e: "job.expired",
  r: "job.requeued",
  p: "job.promoted",
  d: "job.deferred",
  t: "job.retried"
}
const statuses: Record<string, JobStatus> = {
  s: "scheduled",
  p: "pending",
  a: "assigned",
  r: "processing",
  c: "completed",
  f: "failed",
  x: "cancelled",
  e: "expired"
}
const outcomes: Record<string, AttemptOutcome> = {
  c: "completed",
  f: "failed",
  t: "timed_out",
  x: "cancelled",
  r: "returned",
  l: "lost"
}

/** The first words of a line; what follows them may hold spaces. */
const words = 8

const split = (line: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  let at = 0
  while (found.length < words) {
    const end = line.indexOf(" ", at)
    if (end === -1) throw new Error("a line of the event log that is too short")
    found.push(line.slice(at, end))
    at = end + 1
  }
  found.push(line.slice(at))
  return found
}

/** Throws for a line that is none. */
const jobEvent = (cursor: EventCursor.EventCursor, at: DateTime.Utc, line: string): Event => {
  const [what = "", id, service, customer, workflow, requirement_class, attempt, worker, detail = ""] = split(line)
  const type = types[what.charAt(0)]
  const status = statuses[what.charAt(1)]
  const outcome = outcomes[what.charAt(2)]
  if (type === undefined || status === undefined) throw new Error("a line of the event log of an unknown kind")
  return {
    cursor,
    at,
    type,
    job_id: id as JobId,
    status,
    attempt: Number(attempt),
    ...(outcome !== undefined && { outcome }),
    ...(worker !== "" && { worker_id: worker as WorkerId }),
    service_required: service as string,
    ...(customer !== "" && { customer_id: customer as string }),
    ...(workflow !== "" && { workflow_id: workflow as string }),
    ...(requirement_class !== "" && { requirement_class: requirement_class as string }),
    ...(detail !== "" && (type === "job.progress" ? { progress: JSON.parse(detail) } : { error: JSON.parse(detail) }))
  }
}

const Relayed = Schema.fromJsonString(
  Schema.Struct({ ...EventSchema.fields, at: Schema.DateTimeUtcFromString }).mapFields(Struct.omit(["cursor"]))
)
const decodeRelayed = Schema.decodeSync(Relayed)
const encodeRelayed = Schema.encodeSync(Relayed)

/** An event of another store, as a line. */
export const relayedLine = (event: NewEvent): string => encodeRelayed(event)

/** The events of an entry after a line of it; -1 for all. Throws for an entry that is none. */
const parse = (log: string, entry: string, text: string, after: number): ReadonlyArray<Event> => {
  const [header = "", ...lines] = text.split("\n")
  const at = DateTime.makeUnsafe(Number.parseInt(header, 10))
  return lines.flatMap((line, index) => {
    if (index <= after) return []
    const cursor = cursorAt(log, { entry, line: index })
    return [line.startsWith("{") ? { cursor, ...decodeRelayed(line) } : jobEvent(cursor, at, line)]
  })
}

/** The same, as an effect. */
export const eventsIn = (
  log: string,
  [entry, text]: readonly [string, string],
  after: number
): Effect.Effect<ReadonlyArray<Event>, SchemaIssue.Issue> => {
  try {
    return Effect.succeed(parse(log, entry, text, after))
  } catch {
    return Effect.fail(new SchemaIssue.InvalidValue({ expected: "an entry of the event log" }))
  }
}
