/**
 * The queue at a glance: how many jobs there are, and which requirement classes wait, with who could run them. However
 * many look, and however often, the classes are read once a second by a process.
 */
import { Context, DateTime, Duration, Effect, Exit, Layer, Schema } from "effect"
import { EventFeed } from "../event/EventFeed.ts"
import { type Acceptance, WorkerRepository } from "../worker/internal/WorkerRepository.ts"
import type { RepositoryError } from "../worker/WorkerErrors.ts"
import type { WorkerGroup } from "../worker/WorkerGroup.ts"
import { type ClassDepth, type ClassPage, JobQueue, type QueueCounts } from "./internal/JobQueue.ts"
import { JobRequest } from "./Job.ts"
import type { StorageError } from "./JobErrors.ts"
import { matches } from "./Matching.ts"
import { machinesNamed, normalRequirements } from "./RequirementClass.ts"

const perMinute = {
  submitted: Schema.Int,
  /** Taken up by a worker, retries included. */
  started: Schema.Int,
  ended: Schema.Int
}

const { customer_id, requirements, service_required, workflow_id } = JobRequest.fields

export const WaitingClass = Schema.Struct({
  /** As events name it. */
  id: Schema.String,
  service_required,
  requirements,
  /** Null also where no worker makes a difference between customers, or workflows. */
  customer_id,
  workflow_id,
  pending: Schema.Int,
  /** When the job that is next was submitted: with equal priorities, the oldest. */
  next_created_at: Schema.DateTimeUtc,
  /** Jobs within the last minute, as this server saw them. */
  per_minute: Schema.Struct(perMinute),
  /** How many workers match: those active now, and all that are registered. Null: the registry is away. */
  matching: Schema.NullOr(Schema.Struct({ active: Schema.Int, registered: Schema.Int }))
})
export type WaitingClass = typeof WaitingClass.Type

export const QueueOverview = Schema.Struct({
  counts: Schema.Struct({
    scheduled: Schema.Int,
    pending: Schema.Int,
    /** Assigned or processing. */
    held: Schema.Int,
    /** Ended, and not forgotten. */
    finished: Schema.Int,
    /** Of these, not archived yet; null where there is no archive. */
    unarchived: Schema.NullOr(Schema.Int)
  }),
  /** Of all classes. */
  per_minute: Schema.Struct(perMinute),
  /** Those that nobody registered matches first, then those that nobody active matches, then those that wait longest. */
  classes: Schema.Array(WaitingClass),
  /** How many more have jobs waiting. */
  classes_left_out: Schema.Int,
  /** There are more classes than are looked at: it is at least so many. */
  left_out_at_least: Schema.Boolean
})
export type QueueOverview = typeof QueueOverview.Type

/** Classes answered. */
export const classesAnswered = { fallback: 50, maximum: 1_000 }

/** How long what was read of the classes is good for. */
const fresh = Duration.seconds(1)
/** Pages read for one look, at most. */
const mostPages = 200
/** Classes that name machines are asked about one by one; so many. */
const mostLocated = 100

const age = ({ next_created_at }: ClassDepth): number => DateTime.toEpochMillis(next_created_at)

/** Those that nobody claims first, then those that wait longest. */
const candidatesFirst = (a: ClassDepth, b: ClassDepth): number =>
  Number(a.has_claimers) - Number(b.has_claimers) || age(a) - age(b)

/** A class, and who could run its jobs; null when nobody can say. */
interface Served {
  readonly depth: ClassDepth
  readonly matching: Acceptance | null
}

interface Look {
  /** Those worth showing, in the order in which they are shown. */
  readonly shown: ReadonlyArray<Served>
  readonly classes: number
  readonly complete: boolean
}

const urgency = ({ matching }: Served): number => {
  if (matching === null) return 2
  return matching.registered === 0 ? 0 : matching.active === 0 ? 1 : 2
}

const byUrgency = (a: Served, b: Served): number => urgency(a) - urgency(b) || age(a.depth) - age(b.depth)

const readClasses = Effect.fnUntraced(function* (queue: JobQueue["Service"]) {
  const classes: Array<ClassDepth> = []
  let after: string | null = null
  for (let page = 0; page < mostPages; page++) {
    const { classes: found, next }: ClassPage = yield* queue.classes(after)
    classes.push(...found)
    if (next === null) return { classes, complete: true }
    after = next
  }
  return { classes, complete: false }
})

/** Groups by the job types they accept, those that are registered. */
const byType = (groups: ReadonlyArray<WorkerGroup>): ReadonlyMap<string, ReadonlyArray<WorkerGroup>> => {
  const found = new Map<string, Array<WorkerGroup>>()
  for (const group of groups) {
    if (group.status === "gone") continue
    for (const type of group.capabilities.job_types) {
      const others = found.get(type)
      if (others === undefined) found.set(type, [group])
      else others.push(group)
    }
  }
  return found
}

const make = Effect.gen(function* () {
  const queue = yield* JobQueue
  const workers = yield* WorkerRepository
  const feed = yield* EventFeed

  /** Which kinds match a class, for as long as the kinds are the same. */
  let outcomes = new Map<string, ReadonlySet<string>>()
  let settledFor = ""

  const kindsFor = ({ facts, id }: ClassDepth, groups: ReadonlyArray<WorkerGroup>): ReadonlySet<string> => {
    const known = outcomes.get(id)
    if (known !== undefined) return known
    const kinds = new Map(groups.map(({ capabilities, kind }) => [kind, capabilities]))
    const settled = new Set([...kinds].flatMap(([kind, offer]) => (matches(facts, offer) ? [kind] : [])))
    outcomes.set(id, settled)
    return settled
  }

  const countAll = Effect.fnUntraced(function* (depths: ReadonlyArray<ClassDepth>) {
    const groups = yield* workers.groups({ machines: [] })
    const kinds = [...new Set(groups.map(({ kind }) => kind))].toSorted().join(" ")
    const shown = new Set(depths.map(({ id }) => id))
    outcomes = kinds === settledFor ? new Map([...outcomes].filter(([id]) => shown.has(id))) : new Map()
    settledFor = kinds
    const ofType = byType(groups)
    let located = 0
    return yield* Effect.forEach(depths, (depth, at) =>
      Effect.gen(function* () {
        // Others have their turn between a hundred classes and the next.
        if (at % 100 === 99) yield* Effect.yieldNow
        if (machinesNamed(depth.facts.requirements).length > 0) {
          const matching = located++ < mostLocated ? yield* workers.accepting(depth.facts) : null
          return { depth, matching }
        }
        const accepting = ofType.get(depth.facts.service_required) ?? []
        const matching = kindsFor(depth, accepting)
        let [active, registered] = [0, 0]
        for (const { kind, status, workers: count } of accepting) {
          if (!matching.has(kind)) continue
          registered += count
          if (status === "active") active += count
        }
        return { depth, matching: { active, registered } }
      })
    )
  })

  const look = Effect.gen(function* () {
    const { classes, complete } = yield* readClasses(queue)
    const candidates = classes.toSorted(candidatesFirst).slice(0, classesAnswered.maximum)
    const served: ReadonlyArray<Served> = yield* countAll(candidates).pipe(
      // What waits is worth knowing without it.
      Effect.catchIf(
        (error) => error.unavailable,
        () => Effect.succeed(candidates.map((depth) => ({ depth, matching: null })))
      )
    )
    return { shown: served.toSorted(byUrgency), classes: classes.length, complete } satisfies Look
  })

  const [classes] = yield* Effect.cachedInvalidateWithTTL(look, (exit) =>
    Exit.isSuccess(exit) ? fresh : Duration.zero
  )

  return QueueView.of({
    view: Effect.fn("QueueView.view")(function* (limit) {
      const [counts, { classes: known, complete, shown }, rates] = yield* Effect.all(
        [queue.counts, classes, feed.rates],
        { concurrency: 3 }
      )
      const answered = shown.slice(0, limit)
      const none = { submitted: 0, started: 0, ended: 0 }
      const all = [...rates.values()].reduce(
        (sum, rate) => ({
          submitted: sum.submitted + rate.submitted,
          started: sum.started + rate.started,
          ended: sum.ended + rate.ended
        }),
        none
      )
      return {
        counts: counts satisfies QueueCounts,
        per_minute: all,
        classes: answered.map(({ depth: { facts, id, next_created_at, pending }, matching }): WaitingClass => ({
          id,
          service_required: facts.service_required,
          requirements: normalRequirements(facts.requirements),
          customer_id: facts.customer_id,
          workflow_id: facts.workflow_id,
          pending,
          next_created_at,
          per_minute: rates.get(id) ?? none,
          matching
        })),
        classes_left_out: known - answered.length,
        left_out_at_least: !complete
      }
    })
  })
})

export class QueueView extends Context.Service<
  QueueView,
  {
    /** The queue now, with at most so many classes; what is said of them may be a second old. */
    readonly view: (limit: number) => Effect.Effect<QueueOverview, StorageError | RepositoryError>
  }
>()("@muster/core/job/QueueView") {}

export const layer: Layer.Layer<QueueView, never, JobQueue | WorkerRepository | EventFeed> = Layer.effect(
  QueueView,
  make
)

/** The queue at a glance. */
export const viewQueue = Effect.fn("QueueView.viewQueue")(function* ({
  limit = classesAnswered.fallback
}: { readonly limit?: number | undefined } = {}) {
  const { view } = yield* QueueView
  return yield* view(limit)
})
