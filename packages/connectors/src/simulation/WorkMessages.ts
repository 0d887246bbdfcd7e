/**
 * What the simulated services are told and what they say: one shape of work, over HTTP and over a WebSocket. Besides
 * its time and its end, who submits work chooses how its service misbehaves.
 */
import { FailureKind } from "@muster/core/connector/ConnectorFailure"
import { Schema } from "effect"

const milliseconds = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 24 * 3_600_000 }))

/** How long work takes, in how many steps, and whether it ends in a failure after half of them. */
export const plain = {
  duration_ms: Schema.optionalKey(milliseconds),
  steps: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))),
  fail: Schema.optionalKey(Schema.Union([Schema.Boolean, FailureKind]))
}

/** Ways in which a service makes life hard. */
export const misbehaviour = {
  /** It waits so long before it begins. */
  delay_ms: Schema.optionalKey(milliseconds),
  /** It never comes beyond half of its steps. */
  hang: Schema.optionalKey(Schema.Boolean),
  /** So many connections are cut: questions about it by HTTP, or its socket after each of its first steps. */
  drop: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }))),
  /** Everything that is said of it comes so much later. */
  late_ms: Schema.optionalKey(milliseconds)
}

export const WorkRequest = Schema.Struct({ ...plain, ...misbehaviour })
export type WorkRequest = typeof WorkRequest.Type

/** Chosen by who submits the work, so that a lost answer loses no work. */
export const WorkId = Schema.NonEmptyString.check(Schema.isMaxLength(300))

export const WorkStatus = Schema.Literals(["queued", "running", "completed", "failed", "cancelled"])
export type WorkStatus = typeof WorkStatus.Type

export const Work = Schema.Struct({
  id: WorkId,
  status: WorkStatus,
  step: Schema.Int,
  total_steps: Schema.Int,
  /** Once it is completed. */
  result: Schema.optionalKey(Schema.Unknown),
  /** Once it has failed. */
  error: Schema.optionalKey(Schema.Struct({ kind: FailureKind, message: Schema.String }))
})
export type Work = typeof Work.Type

export const hasEnded = ({ status }: Pick<Work, "status">): boolean => status !== "queued" && status !== "running"

/** What a client says on a socket. */
export const FromClient = Schema.Union([
  Schema.Struct({ type: Schema.Literal("start"), id: WorkId, request: WorkRequest }),
  Schema.Struct({ type: Schema.Literals(["resume", "cancel", "ping"]), id: WorkId })
])
export type FromClient = typeof FromClient.Type

/** What the service says on a socket, always of one work, except for its answer to a ping. */
export const FromService = Schema.Union([
  Schema.Struct({ type: Schema.Literal("work"), id: WorkId, work: Work }),
  /** It was asked about work that it does not know, or takes no more work now. */
  Schema.Struct({ type: Schema.Literals(["unknown", "full", "pong"]), id: WorkId }),
  /** A message that it does not understand. */
  Schema.Struct({ type: Schema.Literal("refused"), message: Schema.String })
])
export type FromService = typeof FromService.Type
