/** Workers of a test that listen to what the queue tells them. A store may tell later than it answers. */
import { Effect, Queue } from "effect"
import { TestClock } from "effect/testing"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import type { Fence } from "@muster/core/job/Job"
import { claim, worker } from "./QueueTest.ts"

/** What was told since the last time. */
export interface Told {
  /** A worker for each wake it was sent. */
  readonly woken: ReadonlyArray<string>
  readonly fenced: ReadonlyArray<{ readonly worker: string; readonly fence: Fence }>
}

const last = worker("last-to-be-told")

/** Listens in the name of these workers; gives what they were told up to now. */
export const listen = (names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const queue = yield* JobQueue
    const ears = yield* Effect.forEach(names, (name) =>
      Effect.map(queue.signals(worker(name)), (signals) => ({ name, signals }))
    )
    const mark = yield* queue.signals(last)

    return Effect.gen(function* (): Effect.fn.Return<Told, unknown> {
      // Signals come in the order in which they were sent: when this one is here, so are all before it.
      yield* claim({ worker: last, types: ["nothing"] }).pipe(Effect.provideService(JobQueue, queue))
      yield* queue.setStanding(last, "paused")
      yield* queue.setStanding(last, "open")
      yield* TestClock.withLive(Effect.timeout(Queue.take(mark), "60 seconds"))
      const woken: Array<string> = []
      const fenced: Array<Told["fenced"][number]> = []
      for (const { name, signals } of ears) {
        for (const signal of yield* Queue.clear(signals)) {
          if (signal._tag === "Wake") woken.push(name)
          else if (signal._tag === "Fenced") fenced.push({ worker: name, fence: signal.fence })
        }
      }
      return { woken, fenced }
    })
  })

/** Lets idle workers claim, which find nothing and are parked, the last one last. */
export const park = (
  names: ReadonlyArray<string>,
  over: Omit<NonNullable<Parameters<typeof claim>[0]>, "worker"> = {}
) => Effect.forEach(names, (name) => claim({ ...over, worker: name }), { discard: true })
