/** Explaining a job: asks the queue where it stands, and the registry who could run it. */
import { DateTime, Duration, Effect, Option } from "effect"
import { KnownMapping } from "../mapping/KnownMapping.ts"
import { routesOf } from "../mapping/Routing.ts"
import { WorkerRepository } from "../worker/internal/WorkerRepository.ts"
import type { WorkerStatus } from "../worker/Worker.ts"
import * as Explanation from "./Explanation.ts"
import { JobQueue, type Place } from "./internal/JobQueue.ts"
import { isHeld, type Job, type JobId } from "./Job.ts"
import { getJob } from "./JobQueries.ts"
import { machinesNamed } from "./RequirementClass.ts"

/** Workers answered. */
export const workersAnswered = { fallback: 20, maximum: 1_000 }

const look = Effect.fnUntraced(function* (job: Job, fresh: boolean, limit: number) {
  const workers = yield* WorkerRepository
  const groups = yield* workers.groups({ machines: machinesNamed(job.requirements), fresh })
  return Explanation.sight(job, groups, limit)
})

/** Which worker types of the mapping accept its job type; a process without a mapping knows none. */
const startableFor = ({ service_required }: Job) =>
  Effect.map(KnownMapping, (known) =>
    known === null
      ? []
      : Object.keys(known.mapping.workers).filter((worker) =>
          routesOf(known.mapping, worker).some(({ job_type }) => job_type === service_required)
        )
  )

const explainWaiting = Effect.fnUntraced(function* (job: Job, place: Place, known: Explanation.Sight, limit: number) {
  const workers = yield* WorkerRepository
  const queue = yield* JobQueue
  // That nobody could take it must be true now, not a second ago.
  const sight = Explanation.isServed(known) ? known : yield* look(job, true, limit)
  const glimpses = yield* workers.glimpses(machinesNamed(job.requirements), sight.wanted)
  const ids = Explanation.mayBeFree(sight, glimpses)
  const held = ids.length === 0 ? new Map() : yield* queue.heldBy(ids)
  const holds = new Map(ids.map((id) => [id, held.get(id)?.length ?? 0]))
  const startable = yield* startableFor(job)
  return Explanation.explainWaiting({ job, place, sight, glimpses, holds, now: yield* DateTime.now, limit, startable })
})

/** How long to wait for the registry where the answer is one without it. */
const patience = Duration.seconds(1)

/** How the worker is that holds a job; null when the registry cannot say. */
const holderOf = Effect.fnUntraced(function* ({ worker_id }: Job) {
  if (worker_id === null) return null
  const workers = yield* WorkerRepository
  return yield* workers.find(worker_id).pipe(
    Effect.map(
      Option.match({
        onNone: () => ({ status: "gone" as const }),
        onSome: ({ status }): { readonly status: WorkerStatus | "gone" } => ({ status })
      })
    ),
    Effect.timeoutOrElse({ duration: patience, orElse: () => Effect.succeed(null) }),
    Effect.catchIf(
      (error) => error.unavailable,
      () => Effect.succeed(null)
    )
  )
})

/** A job that moves while it is looked at is looked at again, so often at most. */
const looks = 3

/**
 * Why a job is not running: a verdict, the workers that are nearest to it, and what to do. Of a job that does not wait:
 * who holds it, or how it ended. Takes as long as there are kinds of workers, not workers or jobs.
 */
export const explainJob = Effect.fn("JobExplanation.explainJob")(function* (
  id: JobId,
  { limit = workersAnswered.fallback }: { readonly limit?: number | undefined } = {}
) {
  const queue = yield* JobQueue
  for (let left = looks; ; left--) {
    const job = yield* getJob(id)
    if (job.status !== "pending" && job.status !== "scheduled") {
      const holder = isHeld(job.status) ? yield* holderOf(job) : null
      return Explanation.explainOther(job, holder, yield* DateTime.now)
    }
    const [place, sight] = yield* Effect.all([queue.place(id), look(job, false, limit)], { concurrency: 2 })
    if (Option.isSome(place)) return yield* explainWaiting(job, place.value, sight, limit)
    if (left > 1) continue
    const unknown: Place = { ahead: 0, at_least: true, due_at: null, avoids: null }
    return yield* explainWaiting({ ...job, status: "pending" }, unknown, sight, limit)
  }
})
