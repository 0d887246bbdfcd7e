/** The part of the queue on Redis that looks: at jobs, at lists of them, and at what waits. Nothing here writes. */
import { type Job, type JobId } from "@muster/core/job/Job"
import { InvalidCursor } from "@muster/core/job/JobErrors"
import type { ClassDepth, JobQueue, ListRequest, Placed } from "@muster/core/job/internal/JobQueue"
import { factsOf } from "@muster/core/job/RequirementClass"
import { WorkerId } from "@muster/core/worker/Worker"
import { Array, Effect, Option, Schema } from "effect"
import * as JobCommands from "./JobCommands.ts"
import { inMethod } from "./RedisFailure.ts"
import type { FunctionCalls } from "./RedisFunctions.ts"
import { cursorAt } from "./StoredEvents.ts"
import * as ViewCommands from "./ViewCommands.ts"

const storage = inMethod("JobQueue")

/** Workers that one call looks at. */
const lookedAtPerCall = 100
/** Jobs that one call of `list` answers, and the calls after which a page is what was found. */
const listedPerCall = 50
const callsPerList = 8

type Views = Pick<
  JobQueue["Service"],
  "get" | "observe" | "attempts" | "place" | "counts" | "classes" | "list" | "heldBy"
>

const classFacts = Option.liftThrowable(factsOf)
const decodeWorker = Schema.decodeUnknownOption(WorkerId)

export const make = (functions: FunctionCalls, queue: string): Views => {
  const get = JobCommands.get(functions, queue)
  const attempts = JobCommands.attempts(functions, queue)
  const list = JobCommands.list(functions, queue)
  const heldBy = JobCommands.heldBy(functions, queue)
  const observe = ViewCommands.observe(functions, queue)
  const place = ViewCommands.place(functions, queue)
  const counts = ViewCommands.counts(functions, queue)
  const classes = ViewCommands.classes(functions, queue)

  const listPage = Effect.fnUntraced(function* (request: ListRequest) {
    // To the function no workers stand for all.
    if (request.workers?.length === 0) return { jobs: [], next_cursor: null }
    const jobs: globalThis.Array<Placed> = []
    let cursor = request.cursor
    for (let call = 0; call < callsPerList && jobs.length < request.limit; call++) {
      const limit = Math.min(listedPerCall, request.limit - jobs.length)
      const [why, next, ...found] = yield* list({ ...request, cursor, limit })
      jobs.push(...found.map(([position, job]) => ({ position, job })))
      if (why === "end") return { jobs, next_cursor: null }
      cursor = next
      // Fewer than were asked for: the answer has grown large enough.
      if (why === "full" && found.length < limit) break
    }
    return { jobs, next_cursor: cursor ?? null }
  })

  return {
    get: (id) =>
      Effect.map(get(id), (reply) => (reply[0] === "job" ? Option.some(reply[1]) : Option.none<Job>())).pipe(
        storage("get")
      ),

    observe: (id) =>
      Effect.map(observe(id), (reply) => {
        if (reply[0] !== "job") return Option.none()
        const [, job, log, position] = reply
        return Option.some({ job, position: cursorAt(log, position) })
      }).pipe(storage("observe")),

    attempts: (id) => storage("attempts")(Effect.map(attempts(id), Option.fromNullOr)),

    place: (id) =>
      Effect.map(place(id), (reply) => {
        if (reply[0] !== "place") return Option.none()
        const [, ahead, at_least, due_at, avoids] = reply
        return Option.some({
          ahead,
          at_least: at_least === "1",
          due_at: due_at === "" ? null : due_at,
          avoids: Option.getOrNull(decodeWorker(avoids))
        })
      }).pipe(storage("place")),

    counts: Effect.map(counts(), ([scheduled, pending, held, finished, unarchived]) => ({
      scheduled,
      pending,
      held,
      finished,
      unarchived: unarchived === "" ? null : unarchived
    })).pipe(storage("counts")),

    classes: (after) =>
      Effect.map(classes(after ?? "0"), ([next, ...found]) => ({
        classes: found.flatMap(
          ([id, service_required, requirements, customer, workflow, pending, next_created_at, claimers]) => {
            const facts = classFacts({
              service_required,
              requirements,
              customer_id: customer || null,
              workflow_id: workflow || null
            })
            return Option.match(facts, {
              // One that was not written by us, and that nobody can serve.
              onNone: (): ReadonlyArray<ClassDepth> => [],
              onSome: (facts) => [{ id, facts, pending, next_created_at, has_claimers: claimers > 0 }]
            })
          }
        ),
        next: next || null
      })).pipe(storage("classes")),

    list: (request) =>
      request.cursor !== undefined && !/^[0-9]{1,16}$/.test(request.cursor)
        ? Effect.fail(new InvalidCursor({ cursor: request.cursor }))
        : storage("list")(listPage(request)),

    heldBy: (workers) =>
      Effect.forEach(Array.chunksOf(workers, lookedAtPerCall), (chunk) =>
        Effect.map(heldBy(chunk), (held) => chunk.map((worker, at) => [worker, held[at] ?? []] as const))
      ).pipe(
        Effect.map((chunks): ReadonlyMap<WorkerId, ReadonlyArray<JobId>> => new Map(chunks.flat())),
        storage("heldBy")
      )
  }
}
