/**
 * The jobs a worker process holds now, and the renewing of their leases.
 *
 * A worker counts each lease on its own monotonic clock, from before the claim was sent: when the store cannot be
 * reached, or does not answer, it lets go of a job before anybody else may be given it. Source: broker rule 1.
 */
import { Clock, Deferred, Duration, Effect } from "effect"
import { JobQueue } from "../../job/internal/JobQueue.ts"
import type { Fence } from "../../job/Job.ts"
import { QueueSettings } from "../../job/QueueSettings.ts"
import type { WorkerId } from "../../worker/Worker.ts"

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
  /** Notes the claim under way, by its nonce, or that there is none. */
  readonly claiming: (nonce: string | undefined) => void
  /** A report was refused, or the store said it unasked: the job is not ours any more. */
  readonly refused: (fence: Fence) => Effect.Effect<void>
  readonly size: () => number
  /** Every attempt that is held. */
  readonly fences: () => ReadonlyArray<Fence>
  /** Completes when fewer than `limit` jobs are held. */
  readonly below: (limit: number) => Effect.Effect<void>
  /**
   * Renews for ever: every third of a lease, and more often while that fails. A worker that holds nothing renews too:
   * jobs it was given without ever hearing of them then go back.
   */
  readonly renewing: Effect.Effect<never>
  /** Lets go for ever of jobs whose lease is about to end unrenewed, however long a renewal takes. */
  readonly watching: Effect.Effect<never>
}

/** Two claims of one job differ in it, so that both can be held for the moment between losing one and noticing. */
const keyOf = (fence: Fence): string => `${fence.job_id} ${fence.attempt} ${fence.nonce}`

export const make = Effect.fnUntraced(function* (worker_id: WorkerId) {
  const queue = yield* JobQueue
  const { lease } = yield* QueueSettings
  const part = (divisor: number) => Duration.divideUnsafe(lease, divisor)
  const leaseNanos = Duration.toNanosUnsafe(lease)
  const held = new Map<string, Held>()
  let removal = Deferred.makeUnsafe<void>()
  let failing = false
  let everClaimed = false
  let claiming: string | undefined

  const below = (limit: number): Effect.Effect<void> =>
    Effect.suspend(() => (held.size < limit ? Effect.void : Effect.andThen(Deferred.await(removal), below(limit))))

  const release = (job: Held, why: LetGo) => Deferred.doneUnsafe(job.letGo, Effect.succeed(why))

  const refused = (fence: Fence) =>
    Effect.sync(() => {
      const job = held.get(keyOf(fence))
      if (job !== undefined) release(job, "fenced")
    })

  const renewAll = Effect.gen(function* () {
    if (!everClaimed) return
    const asked = [...held.values()]
    const sentAt = yield* Clock.currentTimeNanos
    const lost = yield* queue.renew({ worker_id, fences: asked.map(({ fence }) => fence), claiming })
    yield* Effect.forEach(lost, refused, { discard: true })
    for (const job of asked) job.until = sentAt + leaseNanos
    if (failing) yield* Effect.logInfo("leases are renewed again")
    failing = false
  })

  const cannotRenew = (detail: string) =>
    Effect.suspend(() => {
      const first = !failing
      failing = true
      return first ? Effect.logWarning(`leases cannot be renewed: ${detail}; trying on`) : Effect.void
    })

  const renewing = renewAll.pipe(
    Effect.as(part(3)),
    Effect.catch((error) => Effect.as(cannotRenew(error.detail), part(15))),
    Effect.timeoutOrElse({
      duration: part(3),
      orElse: () => Effect.as(cannotRenew("the queue does not answer"), part(15))
    }),
    Effect.flatMap(Effect.sleep),
    Effect.forever
  )

  const watching = Effect.flatMap(Clock.currentTimeNanos, (now) => {
    for (const job of held.values()) if (job.until - leaseNanos / 10n <= now) release(job, "unrenewed")
    return Effect.sleep(part(20))
  }).pipe(Effect.forever)

  return {
    add: (fence, claimedAt) => {
      // A job that was claimed again was lost before, though nobody has said so yet.
      for (const job of held.values()) if (job.fence.job_id === fence.job_id) release(job, "fenced")
      const letGo = Deferred.makeUnsafe<LetGo>()
      held.set(keyOf(fence), { fence, letGo, until: claimedAt + leaseNanos })
      return Deferred.await(letGo)
    },
    remove: (fence) => {
      if (!held.delete(keyOf(fence))) return
      Deferred.doneUnsafe(removal, Effect.void)
      removal = Deferred.makeUnsafe<void>()
    },
    claiming: (nonce) => {
      everClaimed = true
      claiming = nonce
    },
    refused,
    size: () => held.size,
    fences: () => [...held.values()].map(({ fence }) => fence),
    below,
    renewing,
    watching
  } satisfies HeldJobs
})
