/**
 * What an operator wants of a worker, kept by the registry and told to the queue, which refuses the claims of workers
 * that are not open. The registry decides: whatever the queue was told, or could not be told, follows it in the end.
 */
import { Effect, Option } from "effect"
import { JobQueue, type Standing } from "../job/internal/JobQueue.ts"
import { WorkerRepository } from "./internal/WorkerRepository.ts"
import type { WorkerId } from "./Worker.ts"

/**
 * Tells the queue what the registry says of a worker, believed to be `standing`. It looks at the registry again once
 * the queue has been told: so of callers that overtake one another the last one tells what is true.
 */
export const tell = Effect.fnUntraced(function* (id: WorkerId, standing: Standing) {
  const workers = yield* WorkerRepository
  const queue = yield* JobQueue
  let told: Standing | undefined
  let wanted = standing
  while (wanted !== told) {
    told = wanted
    yield* queue.setStanding(id, told)
    const found = yield* workers.find(id)
    wanted = Option.match(found, { onNone: () => "gone", onSome: (worker) => worker.standing })
  }
})

/** How many workers are told about at once. */
const concurrency = 16

/**
 * Makes the queue follow the registry where the two differ, and returns the workers concerned. What the queue keeps of
 * workers that are not registered stays: `gone` is how their claims are refused.
 */
export const reconcile = Effect.gen(function* () {
  const workers = yield* WorkerRepository
  const queue = yield* JobQueue
  const known = yield* queue.standings
  // Asked second: what it says is newer, so a difference is nothing that was just being told.
  const wanted = yield* workers.standings([...known.keys()])
  const differing = [...new Set([...known.keys(), ...wanted.keys()])].flatMap(
    (id): ReadonlyArray<readonly [WorkerId, Standing]> => {
      const standing = wanted.get(id) ?? "gone"
      return standing === (known.get(id) ?? "open") ? [] : [[id, standing]]
    }
  )
  yield* Effect.forEach(differing, ([id, standing]) => tell(id, standing), { concurrency, discard: true })
  return differing.map(([id]) => id)
}).pipe(Effect.withSpan("WorkerStandings.reconcile"))
