/** Which jobs a list is of, from the flags of a command to the query of the route. */
import { Name } from "@muster/core/Identifier"
import type { JobStatus } from "@muster/core/job/Job"
import { WorkerId } from "@muster/core/worker/Worker"
import { DateTime, Effect, type Schema } from "effect"
import * as Server from "./Server.ts"

export interface Flags {
  readonly status: JobStatus | undefined
  readonly service: string | undefined
  readonly worker: string | undefined
  readonly machine: string | undefined
  readonly customerId: string | undefined
  readonly workflowId: string | undefined
  /** ISO 8601. */
  readonly createdFrom: string | undefined
  readonly createdBefore: string | undefined
}

/** A member of the query, if its flag was given. */
const member = <const Key extends string, A>(key: Key, schema: Schema.Codec<A, string>, flag: string, text?: string) =>
  text === undefined
    ? Effect.succeed({})
    : Effect.map(
        Server.decodeArgument(schema, flag, text),
        (value) => ({ [key]: value }) as { readonly [K in Key]?: A }
      )

const time = <const Key extends string>(key: Key, text: string | undefined) =>
  (text === undefined ? {} : { [key]: DateTime.makeUnsafe(text) }) as { readonly [K in Key]?: DateTime.Utc }

export const fromFlags = Effect.fnUntraced(function* (flags: Flags) {
  return {
    ...(flags.status === undefined ? {} : { status: flags.status }),
    ...(yield* member("service_required", Name, "--service", flags.service)),
    ...(yield* member("worker_id", WorkerId, "--worker", flags.worker)),
    ...(yield* member("machine_id", Name, "--machine", flags.machine)),
    ...(yield* member("customer_id", Name, "--customer-id", flags.customerId)),
    ...(yield* member("workflow_id", Name, "--workflow-id", flags.workflowId)),
    ...time("created_from", flags.createdFrom),
    ...time("created_before", flags.createdBefore)
  }
})
