/**
 * From the errors of core to the problems of the contract: the one table of what each is called on the wire. Core
 * knows no HTTP; the statuses stand with the problems.
 */
import type { InvalidStateTransition } from "@muster/core/InvalidStateTransition"
import type * as JobErrors from "@muster/core/job/JobErrors"
import type * as WebhookErrors from "@muster/core/webhook/WebhookErrors"
import type * as WorkerErrors from "@muster/core/worker/WorkerErrors"
import { Clock, Effect } from "effect"
import type { HttpServerResponse } from "effect/http"
import * as Problems from "../contract/Problems.ts"
import { internalError } from "../Fallback.ts"
import { answer } from "../ProblemAnswer.ts"

/** Of jobs only two transitions are made by hand, and a caller knows them by other names. */
const whyNot = ({ from, id, message, subject, to }: InvalidStateTransition): string => {
  if (subject === "job" && to === "pending") return `job ${id} is ${from}; only a failed job can be retried`
  if (subject === "job" && to === "cancelled") return `job ${id} is ${from} and cannot be cancelled any more`
  return message
}

const problems = {
  WorkerNotFound: ({ id, message }: WorkerErrors.WorkerNotFound) =>
    new Problems.WorkerNotFound({ detail: message, id }),
  WorkerAlreadyExists: ({ id, message }: WorkerErrors.WorkerAlreadyExists) =>
    new Problems.WorkerAlreadyExists({ detail: message, id }),
  LiveTwin: ({ id, instance_id, last_heartbeat_at, message }: WorkerErrors.LiveTwin) =>
    new Problems.LiveTwin({ detail: message, id, instance_id, last_heartbeat_at }),
  InvalidConfiguration: ({ message, path }: WorkerErrors.InvalidConfiguration) =>
    new Problems.InvalidConfiguration({ detail: message, path }),
  InvalidStateTransition: (error: InvalidStateTransition) => {
    const { from, id, subject, to } = error
    return new Problems.InvalidStateTransition({ detail: whyNot(error), subject, id, from, to })
  },
  JobNotFound: ({ id, message }: JobErrors.JobNotFound) => new Problems.JobNotFound({ detail: message, id }),
  JobAlreadyExists: ({ id, message }: JobErrors.JobAlreadyExists) =>
    new Problems.JobAlreadyExists({ detail: message, id }),
  DuplicateJobId: ({ index, message }: JobErrors.DuplicateJobId) =>
    new Problems.InvalidRequest({ detail: message, errors: [{ path: `jobs[${index}].id`, message }] }),
  NotMatchable: ({ message, service_required }: JobErrors.NotMatchable) =>
    new Problems.NotMatchable({ detail: message, service_required }),
  WebhookNotFound: ({ id, message }: WebhookErrors.WebhookNotFound) =>
    new Problems.WebhookNotFound({ detail: message, id }),
  WebhookAlreadyExists: ({ id, message }: WebhookErrors.WebhookAlreadyExists) =>
    new Problems.WebhookAlreadyExists({ detail: message, id }),
  TooManyWebhooks: ({ limit, message }: WebhookErrors.TooManyWebhooks) =>
    new Problems.TooManyWebhooks({ detail: message, limit }),
  InvalidCursor: ({ message }: JobErrors.InvalidCursor) => new Problems.InvalidCursor({ detail: message })
}

type Table = typeof problems
type Refusal = Parameters<Table[keyof Table]>[0]
type Technical = WorkerErrors.RepositoryError | WorkerErrors.HeartbeatFailed | JobErrors.StorageError

type ProblemOf<E> = E extends { readonly _tag: keyof Table } ? ReturnType<Table[E["_tag"]]> : never

const isRefusal = (error: Refusal | Technical): error is Refusal => error._tag in problems

const retryAfterSeconds = 2
const quietMillis = 5_000

const storeOf = ({ _tag, operation }: Technical): string => {
  if (_tag !== "StorageError") return "the registry of workers"
  return operation.startsWith("JobArchive.") ? "the archive of finished jobs" : "the job queue"
}

const unavailable = (error: Technical) => {
  const store = storeOf(error)
  return new Problems.StoreUnavailable({
    // Also true of a queue that is full.
    detail: `${store} cannot serve this now; send the request again later`,
    retry_after_s: retryAfterSeconds
  })
}

/**
 * Makes the translation of a group's answers. Technical failures are logged whole and answered bare: 503 when the
 * store is away, else 500. While a store is away every request fails, so of those that fail in the same operation one
 * in 5 s is logged.
 */
export const make = Effect.sync(() => {
  const lastLogged = new Map<string, number>()

  const hide = Effect.fnUntraced(function* (error: Technical) {
    if (!error.unavailable) {
      yield* Effect.logError(error)
      return yield* answer(internalError)
    }
    const now = yield* Clock.currentTimeMillis
    if (now - (lastLogged.get(error.operation) ?? -Infinity) >= quietMillis) {
      lastLogged.set(error.operation, now)
      yield* Effect.logWarning(`answering 503: ${error.message}`)
    }
    return yield* answer(unavailable(error))
  })

  return <A, E extends Refusal | Technical, R>(
    self: Effect.Effect<A, E, R>
  ): Effect.Effect<A | HttpServerResponse.HttpServerResponse, ProblemOf<E>, R> =>
    Effect.catch(self, (error: E) =>
      isRefusal(error)
        ? // Each entry of the table takes the error of its own tag.
          Effect.fail(problems[error._tag](error as never) as ProblemOf<E>)
        : hide(error as Technical)
    )
})
