/**
 * Random commands to a queue, and what is compared when two stores are given the same ones. Lengths of time end on 5
 * seconds and time passes in tens, so that the store's own clock, which runs on meanwhile, never decides anything.
 */
import { DateTime, Duration, Effect, Option, Schema } from "effect"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { type Fence, type Job, type JobRequest, JobStatus, request } from "@muster/core/job/Job"
import type { QueueSettings } from "@muster/core/job/QueueSettings"
import { jobId, settings, StoreTime, worker } from "./QueueTest.ts"

export const modelSettings: QueueSettings = {
  ...settings,
  lease: Duration.seconds(25),
  retention: Duration.seconds(95),
  tickInterval: Duration.millis(22_500)
}

const ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] as const
const workers = ["w1", "w2"] as const
const types = ["x", "y"] as const

const Id = Schema.Literals(ids)
const Worker = Schema.Literals(workers)
const Type = Schema.Literals(types)
/** One of the claims so far, counted from the last. */
const Which = Schema.Literals([0, 1, 2, 3])
const Seconds = <const S extends ReadonlyArray<number>>(...seconds: S) => Schema.NullOr(Schema.Literals(seconds))

const Submit = Schema.TaggedStruct("submit", {
  id: Id,
  service_required: Type,
  payload: Schema.Literals([0, 1]),
  priority: Schema.Literals([0, 50, 51, 100]),
  workflow_priority: Schema.NullOr(Schema.Literals([0, 50])),
  workflow_in: Seconds(-90_000, -43, -17, 33),
  run_in: Seconds(-15, 5, 15),
  expires_in: Seconds(5, 35, 55),
  max_retries: Schema.Literals([0, 1, 2])
})
/** What runs at once, so that there is something to claim. */
const Plain = Schema.TaggedStruct("submit plain", { id: Id, service_required: Type, payload: Schema.Literals([0, 1]) })
const SubmitMany = Schema.TaggedStruct("submit many", {
  jobs: Schema.Array(Schema.Union([Submit, Plain, Plain])).check(Schema.isMaxLength(4))
})
const Claim = Schema.TaggedStruct("claim", {
  worker: Worker,
  types: Schema.Literals(["x", "y", "xy", "yx"]),
  capacity: Schema.Literals([1, 2, 5]),
  limit: Schema.Literals([0, 1, 2, 5])
})
const Report = Schema.TaggedStruct("report", {
  which: Which,
  as: Schema.Literals(["start", "progress", "complete", "give up", "retry", "retry later", "retry free", "give back"])
})
const Renew = Schema.TaggedStruct("renew", { which: Schema.Array(Which).check(Schema.isMaxLength(3)) })
const Cancel = Schema.TaggedStruct("cancel", { id: Id })
const Retry = Schema.TaggedStruct("retry", { id: Id })
const RetryFailed = Schema.TaggedStruct("retry failed", {
  type: Schema.NullOr(Type),
  kind: Schema.NullOr(Schema.Literals(["Timeout", "Lost"]))
})
const Get = Schema.TaggedStruct("get", { id: Id })
const List = Schema.TaggedStruct("list", {
  status: Schema.NullOr(JobStatus),
  type: Schema.NullOr(Type),
  limit: Schema.Literals([1, 2, 10])
})
const GiveBackAll = Schema.TaggedStruct("give back all", { worker: Worker })
const Tick = Schema.TaggedStruct("tick", {})
const Pass = Schema.TaggedStruct("pass", { seconds: Schema.Literals([10, 20, 30, 50, 100]) })

/** What comes often is named often. */
export const Command = Schema.Union([
  Submit,
  Submit,
  Plain,
  Plain,
  SubmitMany,
  Claim,
  Claim,
  Claim,
  Report,
  Report,
  Report,
  Tick,
  Tick,
  Pass,
  Pass,
  Renew,
  Cancel,
  Retry,
  RetryFailed,
  Get,
  List,
  GiveBackAll
])
export type Command = typeof Command.Type

type Asked = Extract<Command, { readonly _tag: "submit" | "submit plain" }>

const late = { kind: "Timeout", message: "late" } as const

/** A job without its times: only whether it has them. */
const timeless = (job: Job) => {
  const entries = Object.entries(job).map(([name, value]) => [name, DateTime.isDateTime(value) ? "a time" : value])
  return Object.fromEntries(entries) as Record<string, unknown>
}

const outcome = <A, E extends { readonly _tag: string }>(
  effect: Effect.Effect<A, E, never>,
  show: (value: A) => unknown
) => Effect.match(effect, { onSuccess: show, onFailure: ({ _tag }) => _tag })

const done = () => "done"
const sorted = (values: ReadonlyArray<string>) => values.toSorted()

/** Follows commands on the queue of its context. */
export const follower = Effect.gen(function* () {
  const queue = yield* JobQueue
  const time = yield* StoreTime
  const fences: Array<Fence> = []
  /** Requests by what was asked, so that asking the same again is the same request, at any later time. */
  const requests = new Map<string, JobRequest>()
  let claims = 0

  const fence = (which: number): Fence =>
    fences.at(-1 - which) ?? { job_id: jobId("a"), attempt: 1, nonce: "never given" }

  const requestOf = Effect.fnUntraced(function* (asked: Asked) {
    const known = requests.get(JSON.stringify(asked))
    if (known !== undefined) return known
    const now = yield* time.now
    const at = (seconds: number | null) => (seconds === null ? null : DateTime.makeUnsafe(now + seconds * 1_000))
    const { payload, service_required } = asked
    const made = request({
      service_required,
      payload,
      ...(asked._tag === "submit" && {
        priority: asked.priority,
        workflow_priority: asked.workflow_priority,
        workflow_datetime: at(asked.workflow_in),
        run_at: at(asked.run_in),
        expires_at: at(asked.expires_in),
        max_retries: asked.max_retries
      })
    })
    requests.set(JSON.stringify(asked), made)
    return made
  })

  const report = (to: Fence, as: (typeof Report.Type)["as"]) => {
    const fail = (delaySeconds: number, usesRetry: boolean) =>
      outcome(queue.fail(to, late, { delay: Duration.seconds(delaySeconds), usesRetry }), timeless)
    switch (as) {
      case "start":
        return outcome(queue.start(to), done)
      case "progress":
        return outcome(queue.progress(to, { percent: to.attempt }), done)
      case "complete":
        return outcome(queue.complete(to, { attempt: to.attempt }), timeless)
      case "give up":
        return outcome(queue.fail(to, late, null), timeless)
      case "retry":
        return fail(0, true)
      case "retry later":
        return fail(15, true)
      case "retry free":
        return fail(0, false)
      case "give back":
        return outcome(queue.giveBack(to), done)
    }
  }

  /** Does a command and returns what must be equal on every store. */
  const follow = Effect.fnUntraced(function* (command: Command) {
    switch (command._tag) {
      case "submit":
      case "submit plain": {
        const asked = yield* requestOf(command)
        return yield* outcome(queue.submit(jobId(command.id), asked), ({ created, job }) => [created, timeless(job)])
      }
      case "submit many": {
        const jobs = yield* Effect.forEach(command.jobs, (asked) =>
          Effect.map(requestOf(asked), (request) => ({ id: jobId(asked.id), request }))
        )
        return yield* Effect.match(queue.submitMany(jobs), {
          onSuccess: (submitted) => submitted,
          onFailure: (error) => ({ refused: error._tag, id: "id" in error ? error.id : null })
        })
      }
      case "claim": {
        const nonce = `claim-${++claims}`
        const jobs = yield* queue.claim({
          worker_id: worker(command.worker),
          job_types: [...command.types],
          capacity: command.capacity,
          limit: command.limit,
          nonce
        })
        fences.push(...jobs.map(({ attempt, id }) => ({ job_id: id, attempt, nonce })))
        return jobs.map(timeless)
      }
      case "report":
        return yield* report(fence(command.which), command.as)
      case "renew":
        return yield* queue.renew(command.which.map(fence))
      case "cancel":
        return yield* outcome(queue.cancel(jobId(command.id)), timeless)
      case "retry":
        return yield* outcome(queue.retry(jobId(command.id)), timeless)
      case "retry failed":
        return yield* queue.retryFailed({
          service_required: command.type ?? undefined,
          error_kind: command.kind ?? undefined
        })
      case "get":
        return Option.getOrNull(Option.map(yield* queue.get(jobId(command.id)), timeless))
      case "list": {
        const page = yield* queue.list({
          status: command.status ?? undefined,
          service_required: command.type ?? undefined,
          limit: command.limit
        })
        return [page.jobs.map(timeless), page.next_cursor]
      }
      case "give back all":
        return sorted(yield* queue.giveBackAll(worker(command.worker)))
      case "tick": {
        const { expired, forgotten, lost, more, promoted } = yield* queue.tick
        return { expired: sorted(expired), forgotten, lost: sorted(lost), more, promoted: sorted(promoted) }
      }
      case "pass":
        yield* time.pass(Duration.seconds(command.seconds))
        return "passed"
    }
  })

  /** All that can be seen of the queue, then what is left when everything is claimed. */
  const finalState = Effect.gen(function* () {
    const { jobs } = yield* queue.list({ limit: 100 })
    const held = yield* queue.heldBy(workers.map(worker))
    const left = yield* queue.claim({
      worker_id: worker("last"),
      job_types: types,
      capacity: 100,
      limit: 100,
      nonce: "last"
    })
    return { jobs: jobs.map(timeless), held: [...held.values()].map(sorted), left: left.map(timeless) }
  })

  return { finalState, follow }
})
