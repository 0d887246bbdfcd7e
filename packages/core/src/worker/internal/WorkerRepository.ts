/**
 * The registry port: who the workers are and which status they have. In memory and on PostgreSQL; one contract suite
 * runs on both.
 *
 * Promises of every layer: each method is one atomic step and can be called from any number of processes at once, so
 * a worker changes state once, whoever moves it; all times are the store's clock.
 */
import { Context, type Duration, type Effect, type Option } from "effect"
import type { JobFacts } from "../../job/Matching.ts"
import type { NewWorker, Worker, WorkerId, WorkerStanding, WorkerStatus } from "../Worker.ts"
import type { LiveTwin, RepositoryError, WorkerAlreadyExists, WorkerNotFound } from "../WorkerErrors.ts"
import type { GroupId, WorkerGlimpse, WorkerGroup } from "../WorkerGroup.ts"

export interface ListWorkers {
  readonly status?: WorkerStatus | undefined
  /** Only workers whose id sorts after this one. */
  readonly after?: WorkerId | undefined
  readonly limit?: number | undefined
}

/** When `markStale` must suspect the broker instead of the fleet. */
export interface BrakeRule {
  /** Fewer active workers than this never hold the brake. */
  readonly fleetFrom: number
  /** The brake holds only when no worker at all was heard from for this long. */
  readonly silence: Duration.Duration
}

export interface StaleReport {
  readonly marked: ReadonlyArray<WorkerId>
  /** How many workers would have been marked, had the brake not held; null when it did not hold. */
  readonly held: number | null
}

/** How many workers match a job: those active now, and all that are registered. Their standing does not count. */
export interface Acceptance {
  readonly active: number
  readonly registered: number
}

/** How `groups` is asked. */
export interface GroupsRequest {
  /** Machines that a job names: workers on them are groups of their own. */
  readonly machines: ReadonlyArray<string>
  /** Counted after this call, not before. Without it the counts may be a second old. */
  readonly fresh?: boolean | undefined
}

/** So many workers of a group, at most. */
export interface Wanted extends GroupId {
  readonly limit: number
}

export class WorkerRepository extends Context.Service<
  WorkerRepository,
  {
    /** Stores a worker as pending. Of concurrent inserts of one id exactly one wins. */
    readonly insert: (worker: NewWorker) => Effect.Effect<Worker, WorkerAlreadyExists | RepositoryError>

    /**
     * Replaces the offer of a worker. Refused while another instance of it lives: one that is not offline, was heard
     * from within `aliveWithin`, and is not the one the caller knows to be gone. The standing stays, as do the status and
     * its time, except that another instance starts anew as pending.
     */
    readonly replace: (
      worker: NewWorker,
      unless: { readonly aliveWithin: Duration.Duration; readonly gone: string | null }
    ) => Effect.Effect<Worker, WorkerNotFound | LiveTwin | RepositoryError>

    readonly find: (id: WorkerId) => Effect.Effect<Option.Option<Worker>, RepositoryError>

    /** Workers by id. */
    readonly list: (request: ListWorkers) => Effect.Effect<ReadonlyArray<Worker>, RepositoryError>

    /** The workers on a machine, by id; the first 1,000. */
    readonly onMachine: (machine_id: string) => Effect.Effect<ReadonlyArray<WorkerId>, RepositoryError>

    /** Removes a worker and its heartbeats, and remembers for a day that it was there; `false` when there was none. */
    readonly remove: (id: WorkerId) => Effect.Effect<boolean, RepositoryError>

    /** Compare-and-set: none when the stored status is no longer `from`. */
    readonly move: (
      id: WorkerId,
      from: WorkerStatus,
      to: WorkerStatus
    ) => Effect.Effect<Option.Option<Worker>, RepositoryError>

    /** Pending workers with a heartbeat since they became pending → active. */
    readonly activatePending: Effect.Effect<ReadonlyArray<WorkerId>, RepositoryError>

    /**
     * Active workers without a heartbeat within `timeout` (since their activation, when they never beat) → offline.
     * With a brake, marks nobody when it holds: `fleetFrom` or more are active, over half of them are stale, and
     * nobody was heard from within `silence`.
     */
    readonly markStale: (
      timeout: Duration.Duration,
      brake: BrakeRule | null
    ) => Effect.Effect<StaleReport, RepositoryError>

    /** Offline workers with a heartbeat within `timeout`, and since they went offline → active. */
    readonly reactivateOffline: (timeout: Duration.Duration) => Effect.Effect<ReadonlyArray<WorkerId>, RepositoryError>

    /** Sets what an operator wants of a worker; none when it is not registered. */
    readonly setStanding: (
      id: WorkerId,
      standing: WorkerStanding
    ) => Effect.Effect<Option.Option<Worker>, RepositoryError>

    /**
     * The standing of each of these workers that is registered, and of every other one that is not open. Takes as long
     * as there are such workers, however many are registered.
     */
    readonly standings: (
      ids: ReadonlyArray<WorkerId>
    ) => Effect.Effect<ReadonlyMap<WorkerId, WorkerStanding>, RepositoryError>

    /**
     * How many workers match a job, by `Matching.matches`. The counts may be a second old, except that "nobody is
     * registered" is of the moment of the call: a worker whose registration was answered before is never overlooked.
     * Counting takes as long as there are kinds of workers, not workers.
     */
    readonly accepting: (facts: JobFacts) => Effect.Effect<Acceptance, RepositoryError>

    /** Whether any registered worker accepts a job type, for whomever and whatever else it asks; may be a second old. */
    readonly acceptsType: (service_required: string) => Effect.Effect<boolean, RepositoryError>

    /**
     * The workers there are, and those unregistered within the last day, in groups. What was done through this layer
     * before the call is counted. Takes as long as there are kinds, workers that are not open or not healthy, and workers
     * on the machines asked about.
     */
    readonly groups: (request: GroupsRequest) => Effect.Effect<ReadonlyArray<WorkerGroup>, RepositoryError>

    /**
     * Some workers of these groups, in no special order, as they are now: one that has left its group since is missing.
     * `machines` as the groups were asked for.
     */
    readonly glimpses: (
      machines: ReadonlyArray<string>,
      wanted: ReadonlyArray<Wanted>
    ) => Effect.Effect<ReadonlyArray<WorkerGlimpse>, RepositoryError>

    /** Fails when the registry could not answer now. */
    readonly ping: Effect.Effect<void, RepositoryError>
  }
>()("@muster/core/worker/internal/WorkerRepository") {}
