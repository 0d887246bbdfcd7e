/** `muster worker`: a worker as a process of its own. */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import { environment } from "../Environment.ts"
import { longRunning } from "../LongRunning.ts"

export const command = Command.make("worker", {}, () =>
  Effect.gen(function* () {
    const [Configuration, Worker] = yield* Effect.promise(() =>
      Promise.all([import("../Configuration.ts"), import("../processes/Worker.ts")])
    )
    return yield* Worker.run(yield* Configuration.read(environment))
  }).pipe(longRunning)
).pipe(
  Command.withDescription(
    "Start a worker: registers and beats at MUSTER_URL, claims jobs from REDIS_URL. WORKER_ID is its stable name, CONNECTORS its worker type"
  ),
  Command.withShortDescription("Start a worker: registers, beats, claims and runs jobs"),
  Command.withExamples([
    {
      command: "WORKER_ID=gpu-1-worker-simulation-0 CONNECTORS=simulation REDIS_URL=redis://… muster worker",
      description: "A simulated worker against the server on this machine"
    }
  ])
)
