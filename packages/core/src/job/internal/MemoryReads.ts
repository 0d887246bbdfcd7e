/** What the queue in memory says of its jobs. Plain: lists and classes are found by looking at all there is. */
import { Clock, DateTime, Effect, Option } from "effect"
import type { MemoryLog } from "../../event/internal/MemoryEventLog.ts"
import type { JobId } from "../Job.ts"
import { InvalidCursor } from "../JobErrors.ts"
import type { ClassDepth, JobQueue, Place } from "./JobQueue.ts"
import { isAskedFor } from "./ListFilter.ts"
import type { Entry, MemoryJobs } from "./MemoryJobs.ts"
import * as PastAttempts from "./PastAttempts.ts"
import type { Line } from "./WaitingLines.ts"

/** Classes of one page. */
const classPage = 100

type Reads = Pick<
  JobQueue["Service"],
  "get" | "observe" | "attempts" | "list" | "heldBy" | "place" | "counts" | "classes"
>

export const make = (jobs: MemoryJobs, log: MemoryLog["Service"], countUnarchived: () => number | null): Reads => {
  const { entries, waiting } = jobs
  const found = (id: JobId) => Option.fromUndefinedOr(entries.get(id))

  const placeOf = (entry: Entry, now: number): Option.Option<Place> => {
    const { status } = entry.job
    if (status !== "pending" && status !== "scheduled") return Option.none()
    return Option.some({
      // One that is scheduled stands in no line, whichever it stood in before.
      ahead: status === "pending" ? waiting.countAhead(entry) : 0,
      at_least: false,
      due_at: entry.due === null ? null : DateTime.makeUnsafe(entry.due),
      avoids: jobs.avoidedBy(entry, now)
    })
  }

  const depthOf = (line: Line<Entry>): ReadonlyArray<ClassDepth> => {
    const { facts, id, jobs } = line
    const [head] = jobs
    return head === undefined
      ? []
      : [
          {
            id: String(id),
            facts,
            pending: jobs.length,
            next_created_at: head.job.created_at,
            has_claimers: waiting.hasKinds(line)
          }
        ]
  }

  return {
    get: (id) => Effect.sync(() => Option.map(found(id), ({ job }) => job)),

    observe: (id) => Effect.sync(() => Option.map(found(id), ({ job }) => ({ job, position: log.end() }))),

    attempts: (id) => Effect.sync(() => Option.map(found(id), ({ job, past }) => PastAttempts.attemptsOf(past, job))),

    list: (request) =>
      Effect.suspend(() => {
        const { cursor, limit } = request
        const before = cursor === undefined ? Infinity : Number(cursor)
        if (cursor !== undefined && !/^[0-9]{1,16}$/.test(cursor)) return Effect.fail(new InvalidCursor({ cursor }))
        const asked = [...entries.values()]
          .filter((entry) => entry.sequence < before && isAskedFor(entry.job, request))
          .toSorted((a, b) => b.sequence - a.sequence)
        const page = asked.slice(0, limit)
        return Effect.succeed({
          jobs: page.map(({ job, sequence }) => ({ position: String(sequence), job })),
          next_cursor: asked.length > limit ? String(page.at(-1)?.sequence) : null
        })
      }),

    heldBy: (workers) =>
      Effect.sync(() => new Map(workers.map((id) => [id, jobs.heldByWorker(id).map(({ job }) => job.id)]))),

    place: (id) =>
      Effect.map(Clock.currentTimeMillis, (now) => Option.flatMap(found(id), (entry) => placeOf(entry, now))),

    counts: Effect.sync(() => ({
      scheduled: jobs.countOf("scheduled"),
      pending: jobs.countOf("pending"),
      held: jobs.countOf("assigned", "processing"),
      finished: jobs.countOf("completed", "failed", "cancelled", "expired"),
      unarchived: countUnarchived()
    })),

    classes: (after) =>
      Effect.sync(() => {
        const lines = waiting.after(after === null ? 0 : Number(after), classPage + 1)
        const page = lines.slice(0, classPage)
        return {
          classes: page.flatMap(depthOf),
          next: lines.length > classPage ? String(page.at(-1)?.id) : null
        }
      })
  }
}
