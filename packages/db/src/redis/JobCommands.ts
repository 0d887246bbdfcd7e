/** The functions of the queue in lua/functions, one typed command each. Arguments and replies are described there. */
import { effectivePriority } from "@muster/core/job/Rank"
import type { Fence, JobError, JobId, Progress } from "@muster/core/job/Job"
import { JobStatus, JobId as JobIdSchema } from "@muster/core/job/Job"
import type { ClaimRequest, FailedFilter, ListRequest, Submission } from "@muster/core/job/internal/JobQueue"
import type { WorkerId } from "@muster/core/worker/Worker"
import { DateTime, Schema } from "effect"
import { command } from "./RedisFunctions.ts"
import { StoredJob, StoredState } from "./StoredJob.ts"

const Flag = Schema.Literals(["0", "1"])
const Ids = Schema.Array(JobIdSchema)

const named = <const Name extends string>(...names: ReadonlyArray<Name>) => Schema.Tuple([Schema.Literals(names)])
const Found = Schema.Tuple([Schema.Literal("job"), StoredJob])
const Ended = Schema.Union([Found, named("lease_lost")])
const Reported = named("ok", "lease_lost")
const OtherStep = Schema.Tuple([Schema.Literal("priority_step"), Schema.String])

const millis = (time: DateTime.DateTime | null) => (time === null ? "" : String(DateTime.toEpochMillis(time)))
/** The kind comes first: lua/functions/retry_failed.lua looks for it there. */
const errorText = ({ kind, message }: JobError) => JSON.stringify({ kind, message })
const fenceArgs = (fence: Fence) => [fence.job_id, String(fence.attempt), fence.nonce]

/** A job on its way in, with the canonical text of its request. */
export interface WrittenSubmission extends Submission {
  readonly text: string
}

const submissionArgs = ({ id, request, text }: WrittenSubmission) => [
  id,
  request.service_required,
  text,
  String(effectivePriority(request)),
  millis(request.workflow_datetime),
  millis(request.run_at),
  millis(request.expires_at),
  String(request.max_retries)
]

export const submit = command({
  name: "submit",
  args: (request: WrittenSubmission & { readonly priorityStepMs: string }) => [
    ...submissionArgs(request),
    request.priorityStepMs
  ],
  reply: Schema.Union([
    Schema.Tuple([Schema.Literals(["created", "known"]), StoredState]),
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
  reply: Schema.Union([Schema.TupleWithRest(Schema.Tuple([Schema.Literal("stored")]), [Flag]), Taken, OtherStep])
})

export const claim = command({
  name: "claim",
  args: (request: ClaimRequest & { readonly leaseMs: string }) => [
    request.worker_id,
    String(request.capacity),
    String(request.limit),
    request.nonce,
    request.leaseMs,
    request.again === true ? "1" : "0",
    ...request.job_types
  ],
  reply: Schema.TupleWithRest(Schema.Tuple([Schema.Literal("jobs"), Flag]), [StoredJob])
})

export const start = command({ name: "start", args: fenceArgs, reply: Reported })

export const progress = command({
  name: "progress",
  args: (request: { readonly fence: Fence; readonly progress: Progress }) => [
    ...fenceArgs(request.fence),
    JSON.stringify(request.progress)
  ],
  reply: Reported
})

export const complete = command({
  name: "complete",
  args: (request: { readonly fence: Fence; readonly result: string }) => [...fenceArgs(request.fence), request.result],
  reply: Ended
})

export const fail = command({
  name: "fail",
  args: (request: {
    readonly fence: Fence
    readonly error: JobError
    readonly delayMs: string
    readonly usesRetry: boolean
  }) => [...fenceArgs(request.fence), errorText(request.error), request.delayMs, request.usesRetry ? "1" : "0"],
  reply: Ended
})

export const giveBack = command({ name: "give_back", args: fenceArgs, reply: Reported })

export const renew = command({
  name: "renew",
  args: (request: { readonly fences: ReadonlyArray<Fence>; readonly leaseMs: string }) => [
    request.leaseMs,
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
    request.cursor ?? "",
    String(request.limit)
  ],
  reply: Schema.TupleWithRest(Schema.Tuple([Schema.Literals(["end", "full", "stretch"]), Schema.String]), [StoredJob])
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
  args: (request: { readonly leaseMs: string; readonly retentionMs: string; readonly tickMs: string }) => [
    request.leaseMs,
    request.retentionMs,
    request.tickMs
  ],
  reply: Schema.Tuple([Flag, Schema.FiniteFromString, Ids, Ids, Ids])
})

export const ping = command({
  name: "ping",
  args: (priorityStepMs: string) => [priorityStepMs],
  reply: Schema.Union([named("ok"), OtherStep])
})
