/**
 * The workers that wait for work at the queue in memory, and what they are told.
 *
 * For each waiting job that a parked worker can run one such worker is woken, and no more: a line never has more
 * wakes outstanding than jobs. A wake is outstanding until its worker claims, and goes on to another one when the
 * worker leaves or is too slow.
 */
import { Effect, Queue, type Scope } from "effect"
import type { WorkerId } from "../../worker/Worker.ts"
import type { Signal } from "./JobQueue.ts"
import type { Offer, WaitingLines, Waiter } from "./WaitingLines.ts"

/** How long a woken worker may take to claim before another one is woken for the job, in ms. */
const wakePatience = 1_000
/** A parked worker that has not claimed for so long is dead, in ms: living ones claim every few seconds. */
const longestSilence = 20_000
/** Signals that one subscriber may leave unread; then the oldest are dropped. */
const unread = 1_000

interface Parked {
  readonly worker: WorkerId
  readonly offer: Offer
  /** When it claimed, in ms. */
  readonly since: number
  /** The line of the job it was woken for, and when (ms). */
  wake: { readonly line: string; readonly at: number } | null
  /** It was woken and did not claim in time: others are asked first. */
  slow: boolean
}

export const make = <Entry extends Waiter>(lines: WaitingLines<Entry>) => {
  /** In the order in which they were parked. */
  const parked = new Map<WorkerId, Parked>()
  const subscribers = new Map<WorkerId, Set<Queue.Queue<Signal>>>()

  const tell = (worker: WorkerId, signal: Signal): void => {
    for (const queue of subscribers.get(worker) ?? []) Queue.offerUnsafe(queue, signal)
  }

  /** Whether a job waits in the line that no outstanding wake stands for. */
  const isShort = (line: string): boolean => {
    let wakes = 0
    for (const { wake } of parked.values()) if (wake?.line === line) wakes++
    return wakes < lines.length(line)
  }

  /** Wakes a worker for a job of this line, if one is short: the last one parked, which is the likeliest to live. */
  const wakeFor = (line: string, now: number, except?: WorkerId): void => {
    if (parked.size === 0 || !isShort(line)) return
    const able = [...parked.values()].filter(
      ({ offer, wake, worker }) => wake === null && worker !== except && lines.hasFor(line, offer)
    )
    const chosen = able.findLast(({ slow }) => !slow) ?? able.at(-1)
    if (chosen === undefined) return
    chosen.wake = { line, at: now }
    tell(chosen.worker, { _tag: "Wake" })
  }

  /** Ends the parking of a worker; gives the line of the wake it was given. */
  const unpark = (worker: WorkerId): string | undefined => {
    const line = parked.get(worker)?.wake?.line
    parked.delete(worker)
    return line
  }

  const leave = (worker: WorkerId, now: number): void => {
    const line = unpark(worker)
    if (line !== undefined) wakeFor(line, now)
  }

  /** Gives a wake to another worker; it stays where it is while there is none. */
  const passOn = (idle: Parked, wake: NonNullable<Parked["wake"]>, now: number): void => {
    idle.wake = null
    idle.slow = true
    wakeFor(wake.line, now, idle.worker)
    if (isShort(wake.line)) idle.wake = wake
  }

  return {
    tell,
    wakeFor,
    unpark,
    leave,

    park: (worker: WorkerId, offer: Offer, now: number): void => {
      parked.set(worker, { worker, offer, since: now, wake: null, slow: false })
    },

    /** Looks after the workers that were not heard of for too long. */
    tick: (now: number): void => {
      for (const idle of [...parked.values()]) {
        if (now - idle.since >= longestSilence) leave(idle.worker, now)
        else if (idle.wake !== null && now - idle.wake.at >= wakePatience) passOn(idle, idle.wake, now)
      }
    },

    signals: (worker: WorkerId): Effect.Effect<Queue.Dequeue<Signal>, never, Scope.Scope> =>
      Effect.acquireRelease(
        Effect.map(Queue.sliding<Signal>(unread), (queue) => {
          subscribers.set(worker, (subscribers.get(worker) ?? new Set()).add(queue))
          return queue
        }),
        (queue) => {
          const all = subscribers.get(worker)
          all?.delete(queue)
          if (all?.size === 0) subscribers.delete(worker)
          return Queue.shutdown(queue)
        }
      )
  }
}
