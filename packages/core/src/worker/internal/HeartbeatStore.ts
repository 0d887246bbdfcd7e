/**
 * The heartbeat port. A beat records a time, the store's, and changes no state. The history of a worker is bounded by
 * age; the last beat is kept for as long as the worker is registered.
 */
import { Context, type DateTime, type Duration, type Effect, type Option } from "effect"
import type { WorkerId } from "../Worker.ts"
import type { HeartbeatFailed, RepositoryError, WorkerNotFound } from "../WorkerErrors.ts"

export class HeartbeatStore extends Context.Service<
  HeartbeatStore,
  {
    /** Beats of concurrent callers may be written together; the caller goes on when its own is stored. */
    readonly record: (id: WorkerId) => Effect.Effect<void, WorkerNotFound | HeartbeatFailed>

    readonly last: (id: WorkerId) => Effect.Effect<Option.Option<DateTime.Utc>, RepositoryError>

    /** The last beat of each of these workers; those that never beat are missing. */
    readonly lastOf: (
      ids: ReadonlyArray<WorkerId>
    ) => Effect.Effect<ReadonlyMap<WorkerId, DateTime.Utc>, RepositoryError>

    /** The newest beats first. */
    readonly history: (id: WorkerId, limit: number) => Effect.Effect<ReadonlyArray<DateTime.Utc>, RepositoryError>

    /** Forgets beats older than `age`, except each worker's last; returns how many. */
    readonly prune: (age: Duration.Duration) => Effect.Effect<number, RepositoryError>
  }
>()("@muster/core/worker/internal/HeartbeatStore") {}
