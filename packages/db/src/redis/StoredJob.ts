/**
 * A job as the Lua functions answer it: a tuple of texts, where null and the empty text stand for null. The order is
 * that of `muster.reply` in lua/includes/job.lua.
 */
import { type Job, JobError, JobId, type JobRequest, JobStatus, Progress } from "@muster/core/job/Job"
import { WorkerId } from "@muster/core/worker/Worker"
import { DateTime, Schema, SchemaGetter } from "effect"
import { StoredRequest } from "./StoredRequest.ts"

const Int = Schema.FiniteFromString.pipe(Schema.decodeTo(Schema.Int))
/** A time in ms. */
export const Time = Schema.FiniteFromString.pipe(
  Schema.decodeTo(Schema.DateTimeUtc, {
    decode: SchemaGetter.transform(DateTime.makeUnsafe<number>),
    encode: SchemaGetter.forbiddenEncoding
  })
)
const State = Schema.Struct({
  id: JobId,
  result: Schema.NullOr(Schema.fromJsonString(Schema.Unknown)),
  status: JobStatus,
  attempt: Int,
  retry_count: Int,
  worker_id: Schema.NullOr(WorkerId),
  progress: Schema.NullOr(Schema.fromJsonString(Progress)),
  error: Schema.NullOr(Schema.fromJsonString(JobError)),
  created_at: Time,
  assigned_at: Schema.NullOr(Time),
  started_at: Schema.NullOr(Time),
  finished_at: Schema.NullOr(Time)
})

const Text = Schema.String
const OptionalText = Schema.NullOr(Schema.String)
const Reply = Schema.Tuple([
  Text,
  OptionalText,
  OptionalText,
  JobStatus,
  Text,
  Text,
  OptionalText,
  OptionalText,
  OptionalText,
  Text,
  OptionalText,
  OptionalText,
  OptionalText
])

const stateOf = ([id, , result, ...state]: typeof Reply.Type): typeof State.Encoded => {
  const [status, attempt, retry_count, worker_id, progress, error, created_at, assigned_at, started_at, finished_at] =
    state
  return {
    id,
    result: result || null,
    status,
    attempt,
    retry_count,
    worker_id: worker_id || null,
    progress: progress || null,
    error: error || null,
    created_at,
    assigned_at: assigned_at || null,
    started_at: started_at || null,
    finished_at: finished_at || null
  }
}

/** Everything but the request, for a caller that has it. */
export const StoredState = Reply.pipe(
  Schema.decodeTo(State, { decode: SchemaGetter.transform(stateOf), encode: SchemaGetter.forbiddenEncoding })
)

/** Both parts of a job are checked when they are put together. */
const Checked = Schema.declare((value): value is Job => typeof value === "object")

/** The whole job. */
export const StoredJob = Reply.pipe(
  Schema.decodeTo(Schema.Struct({ request: StoredRequest, state: State }), {
    decode: SchemaGetter.transform((reply) => ({ request: reply[1] ?? "", state: stateOf(reply) })),
    encode: SchemaGetter.forbiddenEncoding
  }),
  Schema.decodeTo(Checked, {
    decode: SchemaGetter.transform(({ request, state }) => ({ ...request, ...state })),
    encode: SchemaGetter.forbiddenEncoding
  })
)

const decodeError = Schema.decodeUnknownSync(Schema.fromJsonString(JobError))

const integer = (text: string | undefined): number => {
  const value = Number(text)
  if (text === "" || !Number.isSafeInteger(value)) throw new Error("not a whole number")
  return value
}

const errorIn = /\nerror ([^\n]*)/

/**
 * A job that a claim gives, of the text that is stored of it (see lua/includes/job.lua) and its request. Throws when that
 * is none. By hand, for this is most of what a claim costs its worker.
 */
export const givenJob = (worker_id: WorkerId, id: string, text: string, request: JobRequest): Job => {
  const end = text.indexOf("\n")
  const values = (end < 0 ? text : text.slice(0, end)).split(" ")
  const error = end < 0 ? undefined : errorIn.exec(text)?.[1]
  return {
    ...request,
    id: id as JobId,
    status: "assigned",
    attempt: integer(values[1]),
    retry_count: integer(values[11]),
    worker_id,
    progress: null,
    result: null,
    error: error === undefined ? null : decodeError(error),
    created_at: DateTime.makeUnsafe(integer(values[16])),
    assigned_at: DateTime.makeUnsafe(integer(values[10])),
    started_at: null,
    finished_at: null
  }
}
