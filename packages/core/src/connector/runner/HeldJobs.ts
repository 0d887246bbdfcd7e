/**
 * The jobs a worker process holds now, and the renewing of their leases.
 *
 * A worker counts each lease on its own monotonic clock, from before the claim was sent: when the store cannot be
 * reached, it lets go of a job before anybody else may be given it. Source: broker rule 1.
 */
import { Clock, Deferred, Duration, Effect } from "effect"
import { JobQueue } from "../../job/internal/JobQueue.ts"
import type { Fence, JobId } from "../../job/Job.ts"
import { QueueSettings } from "../../job/QueueSettings.ts"

/** Why a job must be let go although its connector is still at work. */
export type LetGo = "fenced" | "unrenewed"

interface Held {
  readonly fence: Fence
  readonly letGo: Deferred.Deferred<LetGo>
  /** Monotonic time in ns up to which the lease is known to hold. */
  until: bigint
}

export interface HeldJobs {
  /** Notes a claimed job; the effect it gives completes when the job must be let go. */
  readonly add: (fence: Fence, claimedAt: bigint) => Effect.Effect<LetGo>
  readonly remove: (fence: Fence) => void
  /** A report was refused: the job is not ours any more. */
  readonly refused: (fence: Fence) => Effect.Effect<void>
  readonly size: () => number
  /** Completes when fewer than `limit` jobs are held. */
  readonly below: (limit: number) => Effect.Effect<void>
  /** Renews for ever: every third of a lease, and more often while that fails. */
  readonly renewing: Effect.Effect<never>
}

export const make = Effect.gen(function* () {
  const queue = yield* JobQueue
  const { lease } = yield* QueueSettings
  const leaseNanos = Duration.toNanosUnsafe(lease)
  const held = new Map<JobId, Held>()
  let removal = Deferred.makeUnsafe<void>()

  const below = (limit: number): Effect.Effect<void> =>
    Effect.suspend(() => (held.size < limit ? Effect.void : Effect.andThen(Deferred.await(removal), below(limit))))

  const release = (job: Held, why: LetGo) => Deferred.succeed(job.letGo, why)

  const isThisClaim = (fence: Fence, job: Held | undefined): job is Held =>
    job !== undefined && job.fence.attempt === fence.attempt && job.fence.nonce === fence.nonce

  const refused = (fence: Fence) => {
    const job = held.get(fence.job_id)
    return isThisClaim(fence, job) ? Effect.asVoid(release(job, "fenced")) : Effect.void
  }

  const renewAll = Effect.gen(function* () {
    if (held.size === 0) return
    const asked = [...held.values()]
    const sentAt = yield* Clock.currentTimeNanos
    const lost = yield* queue.renew(asked.map(({ fence }) => fence))
    yield* Effect.forEach(lost, refused, { discard: true })
    for (const job of asked) job.until = sentAt + leaseNanos
  })

  const letGoOfUnrenewed = Effect.gen(function* () {
    const now = yield* Clock.currentTimeNanos
    const ending = [...held.values()].filter(({ until }) => until - leaseNanos / 10n <= now)
    yield* Effect.forEach(ending, (job) => release(job, "unrenewed"), { discard: true })
  })

  const round = renewAll.pipe(
    Effect.as(Duration.divideUnsafe(lease, 3)),
    Effect.catch((error) =>
      Effect.logWarning(`leases could not be renewed: ${error.detail}; trying again`).pipe(
        Effect.andThen(letGoOfUnrenewed),
        Effect.as(Duration.divideUnsafe(lease, 15))
      )
    ),
    Effect.flatMap(Effect.sleep)
  )

  return {
    add: (fence, claimedAt) => {
      const letGo = Deferred.makeUnsafe<LetGo>()
      held.set(fence.job_id, { fence, letGo, until: claimedAt + leaseNanos })
      return Deferred.await(letGo)
    },
    remove: (fence) => {
      if (!isThisClaim(fence, held.get(fence.job_id))) return
      held.delete(fence.job_id)
      Deferred.doneUnsafe(removal, Effect.void)
      removal = Deferred.makeUnsafe<void>()
    },
    refused,
    size: () => held.size,
    below,
    renewing: Effect.forever(round)
  } satisfies HeldJobs
})
