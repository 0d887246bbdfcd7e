/** Attempts as the function `attempts` answers them: see lua/functions/attempts.lua. */
import { Attempt, LateReport } from "@muster/core/job/Attempt"
import { JobError } from "@muster/core/job/Job"
import { Schema, SchemaGetter } from "effect"

const Int = Schema.FiniteFromString.pipe(Schema.decodeTo(Schema.Int))
const Time = Schema.FiniteFromString.pipe(Schema.decodeTo(Schema.DateTimeUtcFromMillis))

const Parts = Schema.Array(Schema.String)
const Lines = Schema.Array(Schema.fromJsonString(Parts))

const Written = Schema.Struct({
  ...Attempt.fields,
  attempt: Int,
  assigned_at: Time,
  started_at: Schema.NullOr(Time),
  ended_at: Schema.NullOr(Time),
  error: Schema.NullOr(Schema.fromJsonString(JobError)),
  late_reports: Schema.Array(
    Schema.Struct({ ...LateReport.fields, at: Time, error: Schema.NullOr(Schema.fromJsonString(JobError)) })
  )
})

const orNull = (text: string | undefined) => text || null

/** Attempts that are told, the last ones. */
const told = 100

const failures: ReadonlySet<string> = new Set(["failed", "timed_out", "lost"])

const attemptOf = (
  [attempt = "", worker_id = "", outcome = "", assigned_at = "", started_at, ended_at, error]: typeof Parts.Type,
  late: ReadonlyArray<typeof Parts.Type>
) => ({
  attempt,
  worker_id,
  outcome: orNull(outcome),
  assigned_at,
  started_at: orNull(started_at),
  ended_at: orNull(ended_at),
  error: failures.has(outcome) ? orNull(error) : null,
  late_reports: late
    .filter(([of]) => of === attempt)
    .map(([, report = "", at = "", said]) => ({ report, at, error: orNull(said) }))
})

/** The attempts of a job, oldest first, each with the reports that came too late. */
export const StoredAttempts = Schema.Tuple([Schema.Literal("attempts"), Parts, Lines, Lines]).pipe(
  Schema.decodeTo(Schema.Array(Written), {
    decode: SchemaGetter.transform(
      ([, last, ended, late]) =>
        [...ended, ...(last.length === 0 ? [] : [last])]
          .slice(-told)
          .map((parts) => attemptOf(parts, late)) as unknown as ReadonlyArray<typeof Written.Encoded>
    ),
    encode: SchemaGetter.forbiddenEncoding
  })
)

/** What the function answers for a job that is not there. */
export const NoAttempts = Schema.Tuple([Schema.Literal("not_found")]).pipe(
  Schema.decodeTo(Schema.Null, {
    decode: SchemaGetter.transform(() => null),
    encode: SchemaGetter.forbiddenEncoding
  })
)
