/**
 * Random commands to a queue, and what is compared when two stores are given the same ones. Lengths of time end on 3 or
 * 5 seconds and time passes in tens, so that the store's own clock, which runs on meanwhile, never decides anything.
 * Whom a store wakes is not compared: it may choose.
 */
import { Arbitrary, DateTime, Duration, Effect, Option, Schema } from "effect"
import type { Attempt } from "@muster/core/job/Attempt"
import { JobQueue, Standing } from "@muster/core/job/internal/JobQueue"
import { type Fence, type Job, type JobId, type JobRequest, JobStatus, request } from "@muster/core/job/Job"
import type { QueueSettings } from "@muster/core/job/QueueSettings"
import { failures, needs, offers } from "./ModelTables.ts"
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

const Need = Schema.Literals(["nothing", "memory", "model", "gold", "not in us", "on m1", "apart"])
const Offer = Schema.Literals(["plain", "big", "gold", "m1", "m2", "allows c1", "denies c1", "pinned to p1", "all"])
const Owner = Schema.NullOr(Schema.Literals(["c1", "c2"]))
const Workflow = Schema.NullOr(Schema.Literal("p1"))
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
  need: Need,
  customer_id: Owner,
  workflow_id: Workflow,
  timeout: Seconds(3, 33),
  priority: Schema.Literals([0, 50, 51, 100]),
  workflow_priority: Schema.NullOr(Schema.Literals([0, 50])),
  workflow_in: Seconds(-90_000, -43, -17, 33),
  run_in: Seconds(-15, 5, 15),
  expires_in: Seconds(5, 35, 55),
  max_retries: Schema.Literals([0, 1, 2])
})
/** What runs at once, so that there is something to claim. */
const Plain = Schema.TaggedStruct("submit plain", {
  id: Id,
  service_required: Type,
  payload: Schema.Literals([0, 1]),
  need: Need,
  customer_id: Owner
})
const SubmitMany = Schema.TaggedStruct("submit many", {
  jobs: Schema.Array(Schema.Union([Submit, Plain, Plain])).check(Schema.isMaxLength(4))
})
const Claim = Schema.TaggedStruct("claim", {
  worker: Worker,
  types: Schema.Literals(["x", "y", "xy", "yx"]),
  offer: Offer,
  capacity: Schema.Literals([1, 2, 5]),
  limit: Schema.Literals([0, 1, 2, 5])
})
const Failure = Schema.Literals(["give up", "retry", "retry later", "retry free", "retry elsewhere"])
const Report = Schema.TaggedStruct("report", {
  which: Which,
  as: Schema.Literals(["start", "progress", "complete", "give back"])
})
const Fail = Schema.TaggedStruct("fail", { which: Which, as: Failure })
const Renew = Schema.TaggedStruct("renew", {
  worker: Worker,
  which: Schema.Array(Which).check(Schema.isMaxLength(3)),
  /** Whether the answer of the last claim is still awaited. */
  claiming: Schema.Boolean
})
const SetStanding = Schema.TaggedStruct("set standing", { worker: Worker, standing: Standing })
const Open = Schema.TaggedStruct("set standing", { worker: Worker, standing: Schema.Literal("open") })
const LeaveIdle = Schema.TaggedStruct("leave idle", { worker: Worker })
const Attempts = Schema.TaggedStruct("attempts", { id: Id })
const Cancel = Schema.TaggedStruct("cancel", { id: Id })
const Retry = Schema.TaggedStruct("retry", { id: Id })
const RetryFailed = Schema.TaggedStruct("retry failed", {
  type: Schema.NullOr(Type),
  kind: Schema.NullOr(Schema.Literals(["Timeout", "Lost", "Rejected"]))
})
const Get = Schema.TaggedStruct("get", { id: Id })
const List = Schema.TaggedStruct("list", {
  status: Schema.NullOr(JobStatus),
  type: Schema.NullOr(Type),
  limit: Schema.Literals([1, 2, 10])
})
const GiveBackAll = Schema.TaggedStruct("give back all", { worker: Worker })
const Tick = Schema.TaggedStruct("tick", {})
/** Does nothing: what is left of a command that a failure does not need. */
const Skip = Schema.TaggedStruct("skip", {})
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
  Fail,
  Fail,
  Tick,
  Tick,
  Pass,
  Pass,
  Renew,
  Cancel,
  Retry,
  RetryFailed,
  Get,
  Attempts,
  List,
  GiveBackAll,
  SetStanding,
  Open,
  LeaveIdle,
  Skip
])
export type Command = typeof Command.Type

const plainest: Record<string, unknown> = {
  payload: 0,
  need: "nothing",
  offer: "plain",
  customer_id: null,
  workflow_id: null,
  timeout: null,
  priority: 50,
  workflow_priority: null,
  workflow_in: null,
  run_in: null,
  expires_in: null,
  max_retries: 0,
  claiming: false,
  jobs: []
}

/** Simpler commands, the simplest first. */
const simpler = (command: Command): ReadonlyArray<Command> => {
  if (command._tag === "skip") return []
  const said: Record<string, unknown> = command
  const simplified = Object.entries(plainest)
    .filter(([name, value]) => name in said && JSON.stringify(said[name]) !== JSON.stringify(value))
    .map(([name, value]) => ({ ...said, [name]: value }) as Command)
  return [{ _tag: "skip" }, ...simplified]
}

/** At least 50 commands, a few more for those that do nothing. */
export const commands = Arbitrary.array(Arbitrary.schema(Command, { shrink: simpler }), {
  minLength: 60,
  maxLength: 90
})

/** The commands up to a step, a line for each that does something. */
export const story = (all: ReadonlyArray<Command>, step = all.length - 1): string =>
  all
    .slice(0, step + 1)
    .flatMap((command) => (command._tag === "skip" ? [] : [`\n  ${JSON.stringify(command)}`]))
    .join("")

type Asked = Extract<Command, { readonly _tag: "submit" | "submit plain" }>

/** Whether there is a time, in place of it. */
const withoutTimes = (value: object) =>
  Object.fromEntries(
    Object.entries(value).map(([name, inner]: [string, unknown]) => [
      name,
      DateTime.isDateTime(inner) ? "a time" : inner
    ])
  ) as Record<string, unknown>

const timeless = (job: Job) => withoutTimes(job)
const timelessAttempts = (attempts: ReadonlyArray<Attempt>) =>
  attempts.map((attempt) => ({ ...withoutTimes(attempt), late_reports: attempt.late_reports.map(withoutTimes) }))

const outcome = <A, E extends { readonly _tag: string }>(
  effect: Effect.Effect<A, E, never>,
  show: (value: A) => unknown
) => Effect.match(effect, { onSuccess: show, onFailure: ({ _tag }) => _tag })

const done = () => "done"
const sorted = (values: ReadonlyArray<string>) => values.toSorted()

const unknown: Fence = { job_id: jobId("a"), attempt: 1, nonce: "never-given" }

/** Follows commands on the queue of its context. */
export const follower = Effect.gen(function* () {
  const queue = yield* JobQueue
  const time = yield* StoreTime
  const fences: Array<Fence & { readonly worker: string }> = []
  /** Requests by what was asked, so that asking the same again is the same request, at any later time. */
  const requests = new Map<string, JobRequest>()
  let claims = 0

  const fence = (which: number): Fence => fences.at(-1 - which) ?? unknown
  const fenceOf = (name: string, which: number): Fence =>
    fences.filter(({ worker }) => worker === name).at(-1 - which) ?? unknown

  const requestOf = Effect.fnUntraced(function* (asked: Asked) {
    const known = requests.get(JSON.stringify(asked))
    if (known !== undefined) return known
    const now = yield* time.now
    const at = (seconds: number | null) => (seconds === null ? null : DateTime.makeUnsafe(now + seconds * 1_000))
    const { customer_id, need, payload, service_required } = asked
    const made = request({
      service_required,
      payload,
      customer_id,
      requirements: needs[need]!,
      ...(asked._tag === "submit" && {
        workflow_id: asked.workflow_id,
        timeout_ms: asked.timeout === null ? null : asked.timeout * 1_000,
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
    switch (as) {
      case "start":
        return outcome(queue.start(to), done)
      case "progress":
        return outcome(queue.progress(to, { percent: to.attempt }), done)
      case "complete":
        return outcome(queue.complete(to, { attempt: to.attempt }), done)
      case "give back":
        return outcome(queue.giveBack(to), done)
    }
  }

  const fail = (to: Fence, as: typeof Failure.Type) => {
    const { error, retry } = failures[as]!
    return outcome(queue.fail(to, error, retry), done)
  }

  const jobOf = (id: JobId) => Effect.map(queue.get(id), Option.match({ onNone: () => null, onSome: timeless }))
  const attemptsOf = (id: JobId) =>
    Effect.map(queue.attempts(id), Option.match({ onNone: () => null, onSome: timelessAttempts }))

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
          capabilities: { job_types: [...command.types], ...offers[command.offer]! },
          capacity: command.capacity,
          limit: command.limit,
          nonce
        })
        fences.push(...jobs.map(({ attempt, id }) => ({ job_id: id, attempt, nonce, worker: command.worker })))
        return jobs.map(timeless)
      }
      case "report": {
        const to = fence(command.which)
        return [yield* report(to, command.as), yield* jobOf(to.job_id)]
      }
      case "fail": {
        const to = fence(command.which)
        return [yield* fail(to, command.as), yield* jobOf(to.job_id)]
      }
      case "renew":
        return yield* queue.renew({
          worker_id: worker(command.worker),
          fences: command.which.map((which) => fenceOf(command.worker, which)),
          claiming: command.claiming ? `claim-${claims}` : undefined
        })
      case "set standing":
        yield* queue.setStanding(worker(command.worker), command.standing)
        return sorted([...(yield* queue.standings)].map((pair) => pair.join(" ")))
      case "leave idle":
        yield* queue.leaveIdle(worker(command.worker))
        return "left"
      case "attempts":
        return yield* attemptsOf(jobId(command.id))
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
        return yield* jobOf(jobId(command.id))
      case "list": {
        const page = yield* queue.list({
          status: command.status ?? undefined,
          service_required: command.type ?? undefined,
          limit: command.limit
        })
        return [page.jobs.map(({ job }) => timeless(job)), page.next_cursor !== null]
      }
      case "give back all":
        return sorted(yield* queue.giveBackAll(worker(command.worker)))
      case "tick": {
        const { expired, forgotten, lost, more, promoted } = yield* queue.tick
        return { expired: sorted(expired), forgotten, lost: sorted(lost), more, promoted: sorted(promoted) }
      }
      case "skip":
        return "skipped"
      case "pass":
        yield* time.pass(Duration.seconds(command.seconds))
        return "passed"
    }
  })

  /** All that can be seen of the queue, then what is left when everything is claimed. */
  const finalState = Effect.gen(function* () {
    const { jobs } = yield* queue.list({ limit: 100 })
    const held = yield* queue.heldBy(workers.map(worker))
    const standings = sorted([...(yield* queue.standings)].map((pair) => pair.join(" ")))
    const left = yield* queue.claim({
      worker_id: worker("last"),
      capabilities: { job_types: types, ...offers["all"]! },
      capacity: 100,
      limit: 100,
      nonce: "last"
    })
    const attempts = yield* Effect.forEach(jobs, ({ job }) => attemptsOf(job.id))
    return {
      jobs: jobs.map(({ job }) => timeless(job)),
      held: [...held.values()].map(sorted),
      standings,
      left: left.map(timeless),
      attempts
    }
  })

  return { finalState, follow }
})
