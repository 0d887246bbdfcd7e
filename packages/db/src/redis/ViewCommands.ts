/** The functions that look at jobs and classes, and those for the archive: one typed command each. */
import type { JobId } from "@muster/core/job/Job"
import type { Placed } from "@muster/core/job/internal/JobQueue"
import { type DateTime, Schema } from "effect"
import { errorText, Flag, millis, named, OtherStep, submissionArgs, type WrittenSubmission } from "./JobCommands.ts"
import { command } from "./RedisFunctions.ts"
import { StoredAttempts } from "./StoredAttempts.ts"
import { LogPosition } from "./StoredEvents.ts"
import { StoredJob, StoredState, Time } from "./StoredJob.ts"

const Count = Schema.FiniteFromString

export const observe = command({
  name: "observe",
  args: (id: JobId) => [id],
  reply: Schema.Union([
    Schema.Tuple([Schema.Literal("job"), StoredJob, Schema.String, LogPosition]),
    named("not_found")
  ])
})

export const place = command({
  name: "place",
  args: (id: JobId) => [id],
  reply: Schema.Union([
    Schema.Tuple([Schema.Literal("place"), Count, Flag, Schema.Union([Schema.Literal(""), Time]), Schema.String]),
    named("none")
  ])
})

export const counts = command({
  name: "counts",
  args: (_: void) => [],
  reply: Schema.Tuple([Count, Count, Count, Count, Schema.Union([Schema.Literal(""), Count])])
})

export const classes = command({
  name: "classes",
  args: (after: string) => [after],
  reply: Schema.TupleWithRest(Schema.Tuple([Schema.String]), [
    Schema.Tuple([Schema.String, Schema.String, Schema.String, Schema.String, Schema.String, Count, Time, Count])
  ])
})

export const keepForArchive = command({ name: "keep_for_archive", args: (_: void) => [], reply: named("ok") })

export const unarchived = command({
  name: "unarchived",
  args: (request: { readonly offset: number; readonly limit: number }) => [
    String(request.offset),
    String(request.limit)
  ],
  reply: Schema.TupleWithRest(Schema.Tuple([Count]), [Schema.Tuple([Schema.String, StoredJob, StoredAttempts])])
})

export const markArchived = command({
  name: "mark_archived",
  args: (jobs: ReadonlyArray<{ readonly id: JobId; readonly finished_at: DateTime.Utc }>) =>
    jobs.flatMap(({ finished_at, id }) => [id, millis(finished_at)]),
  reply: named("ok")
})

export const revive = command({
  name: "revive",
  args: (request: {
    readonly failed: Placed
    /** The job as a request that is to be run at once. */
    readonly again: WrittenSubmission
    readonly priorityStepMs: string
  }) => [
    request.priorityStepMs,
    request.failed.position,
    String(request.failed.job.attempt),
    request.failed.job.error === null ? "" : errorText(request.failed.job.error),
    millis(request.failed.job.created_at),
    ...submissionArgs(request.again)
  ],
  reply: Schema.Union([Schema.Tuple([Schema.Literal("job"), StoredState]), named("already_exists"), OtherStep])
})
