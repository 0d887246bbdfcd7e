/** A worker that does nothing with its jobs: it claims as many as it has room for and completes each. */
import type { Signal } from "@muster/core/job/internal/JobQueue"
import type { Job } from "@muster/core/job/Job"
import type { Capabilities } from "@muster/core/worker/Worker"
import { Effect, Queue } from "effect"
import { fenceOf, newNonce, type Opened, workerId } from "./QueueUnderTest.ts"

export interface LoopOptions {
  readonly id: string
  readonly capabilities: Capabilities
  readonly capacity: number
  /** Called at the moment the job's work would begin. */
  readonly onStart: (job: Job) => void
  readonly onCompleted: () => void
  /** Called when a claim found nothing, so that the worker is idle. */
  readonly onIdle: () => void
}

/** Runs for ever. Looks again after some seconds without a signal, as real workers do. */
export const claimLoop = ({ fork, queue }: Opened, options: LoopOptions) =>
  Effect.gen(function* () {
    const { capabilities, capacity, id, onCompleted, onIdle, onStart } = options
    const worker_id = workerId(id)
    const signals = yield* queue.signals(worker_id)
    let held = 0
    let whenRoom: (() => void) | undefined
    const release = () => {
      held--
      onCompleted()
      // Answers come many at a time: the next claim asks for the room that all of them make.
      if (whenRoom !== undefined) queueMicrotask(whenRoom)
      whenRoom = undefined
    }
    const room = Effect.callback<void>((resume) => {
      whenRoom = () => resume(Effect.void)
    })
    const takeUp = (jobs: ReadonlyArray<Job>, nonce: string) => {
      held += jobs.length
      for (const job of jobs) {
        onStart(job)
        fork(Effect.andThen(queue.complete(fenceOf(job, nonce), null), Effect.sync(release)))
      }
    }
    let whenWoken: (() => void) | undefined
    let isWoken = false
    const wake = () => {
      isWoken = true
      whenWoken?.()
    }
    const woken = Effect.callback<void>((resume) => {
      whenWoken = () => {
        whenWoken = undefined
        resume(Effect.void)
      }
    })
    const hear = (signal: Signal) => {
      if (signal._tag === "Given") takeUp(signal.jobs, signal.nonce)
      wake()
    }
    yield* Effect.forkScoped(Effect.forever(Effect.map(Queue.take(signals), hear)))
    const again = Effect.suspend(() => Effect.delay(Effect.sync(wake), 4_000 + Math.random() * 2_000))
    yield* Effect.forkScoped(Effect.forever(again))
    for (;;) {
      if (held >= capacity) yield* room
      // What woke it up to now is answered by the claim that follows.
      isWoken = false
      const nonce = newNonce()
      const limit = capacity - held
      const jobs = yield* queue.claim({ worker_id, capabilities, capacity, limit, nonce, standing: held === 0 })
      takeUp(jobs, nonce)
      if (jobs.length > 0) continue
      onIdle()
      if (!isWoken) yield* woken
    }
  }).pipe(Effect.scoped)
