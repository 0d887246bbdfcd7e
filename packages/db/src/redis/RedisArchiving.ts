/** The part of the queue on Redis that the archive asks for: finished jobs go there, and failed ones come back. */
import type { FinishedJob } from "@muster/core/job/internal/JobArchive"
import type { JobQueue } from "@muster/core/job/internal/JobQueue"
import { JobRequest } from "@muster/core/job/Job"
import { JobAlreadyExists, type StorageError } from "@muster/core/job/JobErrors"
import { Array, Effect, Struct } from "effect"
import * as JobCommands from "./JobCommands.ts"
import { inMethod, type RedisFailure } from "./RedisFailure.ts"
import type { FunctionCalls } from "./RedisFunctions.ts"
import { requestText } from "./StoredRequest.ts"
import * as ViewCommands from "./ViewCommands.ts"

const storage = inMethod("JobQueue")

/** Jobs that one call hands out or marks, so that it stays near 1 ms. */
const perCall = 25
const markedPerCall = 100

type Archiving = Pick<JobQueue["Service"], "keepForArchive" | "unarchived" | "markArchived" | "revive">

const requestFields = Struct.keys(JobRequest.fields)

export const make = (
  functions: FunctionCalls,
  queue: string,
  options: {
    readonly priorityStepMs: string
    readonly refuseWhenFull: Effect.Effect<void, RedisFailure>
    readonly otherStep: (operation: string, noted: string) => StorageError
  }
): Archiving => {
  const keepForArchive = ViewCommands.keepForArchive(functions, queue)
  const unarchived = ViewCommands.unarchived(functions, queue)
  const markArchived = ViewCommands.markArchived(functions, queue)
  const revive = ViewCommands.revive(functions, queue)
  const { otherStep, priorityStepMs, refuseWhenFull } = options

  return {
    keepForArchive: Effect.asVoid(storage("keepForArchive")(Effect.suspend(keepForArchive))),

    unarchived: Effect.fnUntraced(function* (limit) {
      const jobs: globalThis.Array<FinishedJob> = []
      for (let offset = 0; jobs.length < limit;) {
        const wanted = Math.min(perCall, limit - jobs.length)
        const [looked, ...found] = yield* unarchived({ offset, limit: wanted })
        offset += looked
        jobs.push(...found.map(([position, job, attempts]) => ({ position, job, attempts })))
        // There are no more, or they are large: that is enough for one answer.
        if (looked < wanted) break
      }
      return jobs
    }, storage("unarchived")),

    markArchived: (jobs) =>
      Effect.forEach(Array.chunksOf(jobs, markedPerCall), markArchived, { discard: true }).pipe(
        storage("markArchived")
      ),

    revive: (failed) =>
      Effect.gen(function* () {
        yield* refuseWhenFull
        const { job } = failed
        const request = Struct.pick(job, requestFields)
        // It waits as if it came now; what is told of it is what was asked for once.
        const again = {
          ...JobCommands.written({ id: job.id, request: { ...request, run_at: null, workflow_datetime: null } }),
          text: requestText(request)
        }
        const reply = yield* revive({ failed, again, priorityStepMs })
        if (reply[0] === "already_exists") return yield* new JobAlreadyExists({ id: job.id })
        if (reply[0] === "priority_step") return yield* otherStep("revive", reply[1])
        return { ...request, ...reply[1] }
      }).pipe(storage("revive"))
  }
}
