/**
 * The port that others implement: code that runs a job against a service.
 *
 * A connector says which variables it reads and is acquired in a Scope: sockets and child processes opened there
 * close with it. Interrupting `process` must stop the service's own work, because cancel, timeout and shutdown of a
 * job all arrive as interruption.
 */
import type { Effect, Scope } from "effect"
// oxlint-disable-next-line no-restricted-imports -- a type alone: what a connector may use, and core does not
import type { HttpClient } from "effect/http"
import type { Job, Progress } from "../job/Job.ts"
import type { Capabilities } from "../worker/Worker.ts"
import type { InvalidConfiguration } from "../worker/WorkerErrors.ts"
import type { AssetStore } from "./AssetStore.ts"
import type { ConnectorFailure } from "./ConnectorFailure.ts"
import type { QuotaBudget } from "./QuotaBudget.ts"
import type { RemoteFiles } from "./RemoteFiles.ts"

/** What a connector sees of a job. */
export type ConnectorJob = Pick<
  Job,
  "id" | "attempt" | "service_required" | "payload" | "workflow_id" | "customer_id" | "metadata"
>

/** What a service was found to have: it becomes part of what the worker offers. */
export type Offer = Pick<Capabilities, "hardware" | "models" | "labels">

/** A connector that is up. */
export interface RunningConnector {
  /** Fails with the reason when the service could not take a job now. Asked every few seconds. */
  readonly health: Effect.Effect<void, ConnectorFailure>
  /**
   * Runs one job to its end and gives its result, any JSON. `report` tells how far it is; it never fails and may be
   * called as often as is natural. Called concurrently, up to `max_concurrent_jobs` and the capacity of the worker.
   */
  readonly process: (
    job: ConnectorJob,
    report: (progress: Progress) => Effect.Effect<void>
  ) => Effect.Effect<unknown, ConnectorFailure>
  /** How many jobs it may run at once, whatever the capacity of the worker. */
  readonly max_concurrent_jobs?: number | undefined
  /** What the service has, as it says itself; asked when it becomes healthy, and every five minutes while it is. */
  readonly offer?: Effect.Effect<Offer, ConnectorFailure> | undefined
}

/** What every connector may use. */
export type ConnectorServices = AssetStore | QuotaBudget | RemoteFiles | HttpClient.HttpClient

export interface Connector {
  /** The name by which configuration refers to it. */
  readonly name: string
  /** The variables it reads: name → template, such as `"${HTTP_TIMEOUT_SECONDS:-30}"`. */
  readonly variables: Readonly<Record<string, string>>
  /**
   * Makes it ready for as long as the scope. `settings` are its variables, filled in, and the `api_config` of its
   * service, which go before them where both say something. A failure is tried again later; wrong settings are not.
   */
  readonly acquire: (
    settings: Readonly<Record<string, string>>
  ) => Effect.Effect<RunningConnector, InvalidConfiguration | ConnectorFailure, Scope.Scope | ConnectorServices>
}
