/**
 * The port that others implement: code that runs a job against a service.
 *
 * A connector says which variables it reads and is acquired in a Scope: sockets and child processes opened there
 * close with it. Interrupting `process` must stop the service's own work, because cancel, timeout and shutdown of a
 * job all arrive as interruption.
 */
import type { Effect, Scope } from "effect"
import type { Job, Progress } from "../job/Job.ts"
import type { InvalidConfiguration } from "../worker/WorkerErrors.ts"
import type { ConnectorFailure } from "./ConnectorFailure.ts"

/** What a connector sees of a job. */
export type ConnectorJob = Pick<
  Job,
  "id" | "attempt" | "service_required" | "payload" | "workflow_id" | "customer_id" | "metadata"
>

/** A connector that is up. */
export interface RunningConnector {
  /** Fails with the reason when the service could not take a job now. */
  readonly health: Effect.Effect<void, ConnectorFailure>
  /**
   * Runs one job to its end and gives its result, any JSON. `report` tells how far it is; it never fails and may be
   * called as often as is natural. Called concurrently, up to the capacity of the worker.
   */
  readonly process: (
    job: ConnectorJob,
    report: (progress: Progress) => Effect.Effect<void>
  ) => Effect.Effect<unknown, ConnectorFailure>
}

export interface Connector {
  /** The name by which configuration refers to it. */
  readonly name: string
  /** The variables it reads: name → template, such as `"${HTTP_TIMEOUT_SECONDS:-30}"`. */
  readonly variables: Readonly<Record<string, string>>
  /** Makes it ready with its variables filled in, for as long as the scope. */
  readonly acquire: (
    variables: Readonly<Record<string, string>>
  ) => Effect.Effect<RunningConnector, InvalidConfiguration | ConnectorFailure, Scope.Scope>
}
