/**
 * A job as the Lua functions answer it: a tuple of texts, where null and the empty text stand for null. The order is
 * that of `muster.reply` in lua/includes/job.lua.
 */
import { type Job, JobError, JobId, JobStatus, Progress } from "@muster/core/job/Job"
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

/** "" stands for no error, too. */
const GivenError = OptionalText.pipe(
  Schema.decodeTo(State.fields.error, {
    decode: SchemaGetter.transform((text) => text || null),
    encode: SchemaGetter.forbiddenEncoding
  })
)

/** A job that a claim gives: of its state, what a claim does not make known by itself. */
export const GivenJob = Schema.Tuple([JobId, StoredRequest, Int, Int, GivenError, Time, Time])

export const givenTo = (
  worker_id: WorkerId,
  [id, request, attempt, retry_count, error, created_at, assigned_at]: typeof GivenJob.Type
): Job => ({
  ...request,
  id,
  status: "assigned",
  attempt,
  retry_count,
  worker_id,
  progress: null,
  result: null,
  error,
  created_at,
  assigned_at,
  started_at: null,
  finished_at: null
})
