/**
 * Whether the broker could take and give jobs now: not whether its process lives, but whether its stores answer.
 */
import { Duration, Effect } from "effect"
import { JobQueue } from "./job/internal/JobQueue.ts"
import type { StorageError } from "./job/JobErrors.ts"
import { WorkerRepository } from "./worker/internal/WorkerRepository.ts"
import type { RepositoryError } from "./worker/WorkerErrors.ts"

export interface StoreState {
  readonly ok: boolean
  /** What is wrong, in words that are safe to show; null when nothing is. */
  readonly detail: string | null
}

export interface Readiness {
  readonly ready: boolean
  readonly registry: StoreState
  readonly queue: StoreState
}

const patience = Duration.seconds(2)

const stateOf = (ping: Effect.Effect<void, RepositoryError | StorageError>): Effect.Effect<StoreState> =>
  ping.pipe(
    Effect.as<StoreState>({ ok: true, detail: null }),
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.succeed<StoreState>({ ok: false, detail: "does not answer" })
    }),
    Effect.catch((error) => Effect.succeed<StoreState>({ ok: false, detail: error.detail }))
  )

/** Asks both stores, for at most 2 s. */
export const check = Effect.gen(function* () {
  const workers = yield* WorkerRepository
  const jobs = yield* JobQueue
  const [registry, queue] = yield* Effect.all([stateOf(workers.ping), stateOf(jobs.ping)], { concurrency: 2 })
  return { ready: registry.ok && queue.ok, registry, queue } satisfies Readiness
})
