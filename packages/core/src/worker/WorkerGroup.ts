/**
 * Workers by what a waiting job can see of them: all of one kind (equal capabilities, whichever machine they are on), of
 * one status and standing, are one group. Whoever explains a job looks at groups, of which there are few, and at a
 * handful of workers of those that matter.
 */
import type { DateTime } from "effect"
import type { ConnectorReport } from "../connector/ConnectorReport.ts"
import type { Capabilities, WorkerId, WorkerStanding, WorkerStatus } from "./Worker.ts"

/** How long a worker that was unregistered is remembered, and how many of them at most. */
export const rememberedFor = { hours: 24 }
export const rememberedAtMost = 10_000

/** `gone`: unregistered within the last day. */
export type KnownStatus = WorkerStatus | "gone"

/** What tells one group from another, as `glimpses` is asked for it. */
export interface GroupId {
  /** Names the kind; the store's own. */
  readonly kind: string
  /** Of the machines that were asked about, the one these workers are on; null: on another one, or on none. */
  readonly machine: string | null
  readonly status: KnownStatus
  /** Of gone workers always `open`. */
  readonly standing: WorkerStanding
  /** Job types they accept but cannot run now. */
  readonly unhealthy_job_types: ReadonlyArray<string>
}

export interface WorkerGroup extends GroupId {
  /** What each of them offers; the machine is part of it where it was asked about. */
  readonly capabilities: Capabilities
  /** How many there are; at least one. */
  readonly workers: number
}

/** Two groups have the same text exactly when they are one. */
export const textOf = ({ kind, machine, standing, status, unhealthy_job_types }: GroupId): string =>
  JSON.stringify([kind, machine, status, standing, unhealthy_job_types.toSorted()])

/** One worker of a group. */
export interface WorkerGlimpse extends GroupId {
  readonly id: WorkerId
  readonly capacity: number
  readonly machine_id: string | null
  readonly last_heartbeat_at: DateTime.Utc | null
  /** Since when it has its status; when it was unregistered, if it is gone. */
  readonly status_changed_at: DateTime.Utc
  /** How its connectors are; none once it is gone. */
  readonly connectors: ReadonlyArray<ConnectorReport>
}
