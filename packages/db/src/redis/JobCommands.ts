/** The functions of the queue in lua/functions, one typed command each. Arguments and replies are described there. */
import { effectivePriority } from "@muster/core/job/Rank"
import type { Fence, Job, JobError, JobId, Progress } from "@muster/core/job/Job"
import { JobStatus, JobId as JobIdSchema } from "@muster/core/job/Job"
import type {
  ClaimRequest,
  FailedFilter,
  ListRequest,
  RenewRequest,
  Standing,
  Submission
} from "@muster/core/job/internal/JobQueue"
import { requirementsText } from "@muster/core/job/RequirementClass"
import type { WorkerId } from "@muster/core/worker/Worker"
import { DateTime, Schema } from "effect"
import { hashOf } from "./Hash.ts"
import { command } from "./RedisFunctions.ts"
import { NoAttempts, StoredAttempts } from "./StoredAttempts.ts"
import { givenJob, StoredJob, StoredState, Time } from "./StoredJob.ts"
import { requestOf, requestText } from "./StoredRequest.ts"

export const Flag = Schema.Literals(["0", "1"])
const Ids = Schema.Array(JobIdSchema)

export const named = <const Name extends string>(...names: ReadonlyArray<Name>) =>
  Schema.Tuple([Schema.Literals(names)])
const Found = Schema.Tuple([Schema.Literal("job"), StoredJob])
const Reported = Schema.Literals(["ok", "lease_lost"])
const reported = (reply: unknown) => (reply === "ok" || reply === "lease_lost" ? reply : undefined)
export const OtherStep = Schema.Tuple([Schema.Literal("priority_step"), Schema.String])

export const millis = (time: DateTime.DateTime | null) => (time === null ? "" : String(DateTime.toEpochMillis(time)))
/** The kind comes first: lua/functions/retry_failed.lua looks for it there. */
export const errorText = ({ kind, message }: JobError) => JSON.stringify({ kind, message })
const fenceArgs = (fence: Fence) => [fence.job_id, String(fence.attempt), fence.nonce]

/** A job on its way in, as it is stored. */
export interface WrittenSubmission extends Submission {
  /** The canonical text of its request. */
  readonly text: string
  /** The text of its normal requirements; empty when it has none. */
  readonly requirements: string
  /** Stands for its job type with these requirements; empty when it has none. */
  readonly base: string
}

export const written = ({ id, request }: Submission): WrittenSubmission => {
  const requirements = requirementsText(request.requirements)
  const base = requirements === "" ? "" : `${request.service_required}#${hashOf(requirements)}`
  return { id, request, text: requestText(request), requirements, base }
}

export const submissionArgs = ({ base, id, request, requirements, text }: WrittenSubmission) => {
  const { customer_id, expires_at, run_at, service_required, timeout_ms, workflow_datetime, workflow_id } = request
  const rest = [
    millis(workflow_datetime),
    millis(run_at),
    millis(expires_at),
    timeout_ms === null ? "" : String(timeout_ms),
    customer_id ?? "",
    workflow_id ?? "",
    base,
    requirements
  ]
  return [
    id,
    service_required,
    text,
    String(effectivePriority(request)),
    String(request.max_retries),
    rest.every((value) => value === "") ? "" : rest.join("\n")
  ]
}

export const submit = command({
  name: "submit",
  args: (request: WrittenSubmission & { readonly priorityStepMs: string }) => [
    request.priorityStepMs,
    ...submissionArgs(request)
  ],
  usual: (reply) => {
    const [, status, time] = typeof reply === "string" ? (/^(pending|scheduled) (\d{1,15})$/.exec(reply) ?? []) : []
    return time === undefined
      ? undefined
      : ([status as "pending" | "scheduled", DateTime.makeUnsafe(Number(time))] as const)
  },
  reply: Schema.Union([
    Schema.Tuple([Schema.Literals(["scheduled", "pending"]), Time]),
    Schema.Tuple([Schema.Literal("known"), StoredState]),
    named("already_exists"),
    OtherStep
  ])
})

const Taken = Schema.Tuple([Schema.Literal("already_exists"), JobIdSchema])

export const checkMany = command({
  name: "check_many",
  args: (jobs: ReadonlyArray<WrittenSubmission>) => jobs.flatMap(({ id, text }) => [id, text]),
  reply: Schema.Union([named("ok"), Taken])
})

export const submitMany = command({
  name: "submit_many",
  args: (request: { readonly jobs: ReadonlyArray<WrittenSubmission>; readonly priorityStepMs: string }) => [
    request.priorityStepMs,
    ...request.jobs.flatMap(submissionArgs)
  ],
  reply: Schema.Union([Schema.Tuple([Schema.Literal("stored"), Schema.String]), Taken, OtherStep])
})

/** Jobs given to a worker, which `claim` reads by hand. */
const Jobs = Schema.Tuple([Schema.Literal("jobs"), Schema.Boolean, Schema.Array(StoredJob)])

export interface WrittenClaim extends Omit<ClaimRequest, "capabilities" | "standing"> {
  readonly leaseMs: string
  readonly signature: string
  readonly machine: string
  readonly inbox: string
  /** Stands for this claim among those of its worker; empty when it does not stand. */
  readonly token: string
}

const claimArgs = (request: WrittenClaim) => [
  request.worker_id,
  String(request.capacity),
  String(request.limit),
  request.nonce,
  request.leaseMs,
  request.again === true ? "1" : "0",
  request.signature,
  request.machine,
  request.inbox,
  request.token
]

const claimed = (reply: unknown, { worker_id }: WrittenClaim) => {
  if (!Array.isArray(reply) || reply[0] !== "jobs") return undefined
  const [, more] = reply
  const jobs: Array<Job> = []
  for (let at = 2; at < reply.length; at += 3) {
    jobs.push(givenJob(worker_id, reply[at], reply[at + 1], requestOf(reply[at + 2])))
  }
  return ["jobs", more === "1", jobs] as const
}

const Unready = Schema.Tuple([Schema.Literals(["unknown", "settling"]), Schema.String])

export const claim = command({
  name: "claim",
  args: claimArgs,
  usual: claimed,
  reply: Schema.Union([Jobs, Schema.TupleWithRest(Schema.Tuple([Schema.Literal("given")]), [StoredJob]), Unready])
})

export const claimWoken = command({
  name: "claim_woken",
  args: claimArgs,
  usual: claimed,
  reply: Schema.Union([Jobs, named("parked", "over"), Unready])
})

export const start = command({ name: "start", args: fenceArgs, usual: reported, reply: Reported })

export const progress = command({
  name: "progress",
  args: (request: { readonly fence: Fence; readonly progress: Progress; readonly isEvent: boolean }) => [
    ...fenceArgs(request.fence),
    JSON.stringify(request.progress),
    request.isEvent ? "0" : "1"
  ],
  reply: Reported
})

export const complete = command({
  name: "complete",
  args: (request: { readonly fence: Fence; readonly result: string }) => [...fenceArgs(request.fence), request.result],
  usual: reported,
  reply: Reported
})

export const fail = command({
  name: "fail",
  args: (request: {
    readonly fence: Fence
    readonly error: JobError
    readonly delayMs: string
    readonly usesRetry: boolean
    readonly elsewhere: boolean
  }) => [
    ...fenceArgs(request.fence),
    errorText(request.error),
    request.error.kind === "Timeout" ? "timed_out" : "failed",
    request.delayMs,
    request.usesRetry ? "1" : "0",
    request.elsewhere ? "1" : "0"
  ],
  reply: Reported
})

export const giveBack = command({ name: "give_back", args: fenceArgs, reply: Reported })

export const renew = command({
  name: "renew",
  args: (request: RenewRequest & { readonly leaseMs: string; readonly inbox: string; readonly all: boolean }) => [
    request.worker_id,
    request.inbox,
    request.leaseMs,
    request.claiming ?? "",
    request.all ? "1" : "0",
    ...request.fences.flatMap(fenceArgs)
  ],
  reply: Schema.Array(Flag)
})

const Moved = Schema.Union([Found, named("not_found"), Schema.Tuple([Schema.Literal("invalid_transition"), JobStatus])])

export const cancel = command({ name: "cancel", args: (id: JobId) => [id], reply: Moved })

export const retry = command({ name: "retry", args: (id: JobId) => [id], reply: Moved })

export const retryFailed = command({
  name: "retry_failed",
  args: (request: FailedFilter & { readonly before: string; readonly after: string }) => [
    request.service_required ?? "",
    request.error_kind ?? "",
    request.before,
    request.after
  ],
  reply: Schema.Tuple([Schema.FiniteFromString, Schema.String, Schema.String])
})

export const get = command({
  name: "get",
  args: (id: JobId) => [id],
  reply: Schema.Union([Found, named("not_found")])
})

export const list = command({
  name: "list",
  args: (request: ListRequest) => [
    request.status ?? "",
    request.service_required ?? "",
    request.customer_id ?? "",
    request.workflow_id ?? "",
    millis(request.created_from ?? null),
    millis(request.created_before ?? null),
    request.cursor ?? "",
    String(request.limit),
    ...(request.workers ?? [])
  ],
  reply: Schema.TupleWithRest(Schema.Tuple([Schema.Literals(["end", "full", "stretch"]), Schema.String]), [
    Schema.Tuple([Schema.String, StoredJob])
  ])
})

export const heldBy = command({
  name: "held_by",
  args: (workers: ReadonlyArray<WorkerId>) => workers,
  reply: Schema.Array(Ids)
})

export const giveBackAll = command({
  name: "give_back_all",
  args: (worker: WorkerId) => [worker],
  reply: Schema.TupleWithRest(Schema.Tuple([Flag]), [JobIdSchema])
})

export const tick = command({
  name: "tick",
  args: (request: {
    readonly leaseMs: string
    readonly retentionMs: string
    readonly tickMs: string
    readonly standby: boolean
  }) => [request.leaseMs, request.retentionMs, request.tickMs, request.standby ? "1" : "0"],
  reply: Schema.Tuple([
    Flag,
    Schema.FiniteFromString,
    Ids,
    Ids,
    Ids,
    Schema.Array(Schema.String),
    Schema.FiniteFromString
  ])
})

export const leaveIdle = command({
  name: "leave_idle",
  args: (worker: WorkerId) => [worker],
  reply: named("left", "ok")
})

export const setStanding = command({
  name: "set_standing",
  args: (request: { readonly worker: WorkerId; readonly standing: Standing }) => [request.worker, request.standing],
  reply: named("ok")
})

export const standings = command({ name: "standings", args: (_: void) => [], reply: Schema.Array(Schema.String) })

export const attempts = command({
  name: "attempts",
  args: (id: JobId) => [id],
  reply: Schema.Union([StoredAttempts, NoAttempts])
})

export const ping = command({
  name: "ping",
  args: (priorityStepMs: string) => [priorityStepMs],
  reply: Schema.Union([named("ok"), OtherStep])
})
