/** What an event stream holds: the names of its frames, and what their `data` says as JSON. */
import { Event } from "@muster/core/event/Event"
import { EventCursor } from "@muster/core/event/EventCursor"
import { Job } from "@muster/core/job/Job"
import { Schema } from "effect"

/** Events after the cursor of the reader are not kept any more, or its cursor is of another log: read the state again. */
export const Reset = Schema.Struct({
  /** From here on the stream goes on. */
  position: EventCursor,
  why: Schema.Literals(["trimmed", "foreign"])
})
export type Reset = typeof Reset.Type

/** Where a reader begins that came without a cursor: its first frame, so that it can come back from the start. */
export const Begin = Schema.Struct({ position: EventCursor })

/** A job as it is (`snapshot`), or as it ended (`end`). */
export const JobState = Schema.Struct({ job: Job })

/** How a reader that lost its connection waits before it comes back; said once, at the beginning. */
export const retryMillis = 1_000

/**
 * A server says something at least this often, a comment if there is nothing else: a reader that hears nothing for
 * several times as long may take the connection for dead.
 */
export const pulseMillis = 15_000

const json = <S extends Schema.Constraint>(schema: S) => Schema.fromJsonString(Schema.toCodecJson(schema))

/** By the name of the frame; a type of event that is not among them is of a newer server. */
export const data = {
  begin: json(Begin),
  reset: json(Reset),
  snapshot: json(JobState),
  end: json(JobState),
  event: json(Event)
} as const
