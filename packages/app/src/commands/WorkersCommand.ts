/** `muster workers`: who is registered, how they are, and whether they get jobs. */
import type { WorkerStatus } from "@muster/core/worker/Worker"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { json } from "../terminal/JsonFlag.ts"

// As with the jobs: loaded when needed.
const workers = Effect.promise(() => import("../operator/Workers.ts"))

const statuses = ["pending", "active", "offline"] as const satisfies ReadonlyArray<WorkerStatus>

const list = Command.make(
  "list",
  {
    status: Flag.Literals("status", statuses).pipe(Flag.withDescription("Only workers of this status"), Flag.optional),
    json
  },
  (flags) =>
    Effect.flatMap(workers, (workers) =>
      workers.list({ status: Option.getOrUndefined(flags.status), json: flags.json })
    )
).pipe(
  Command.withAlias("ls"),
  Command.withDescription("List all workers"),
  Command.withExamples([
    { command: "muster workers list" },
    { command: "muster workers list --status offline --json | jq -r '.workers[].id'", description: "In a script" }
  ])
)

const show = Command.make(
  "show",
  { id: Argument.String("id").pipe(Argument.withDescription("The id of the worker")), json },
  (flags) => Effect.flatMap(workers, (workers) => workers.show(flags))
).pipe(
  Command.withAlias("get"),
  Command.withDescription("Show one worker, what it offers and its latest heartbeats"),
  Command.withExamples([{ command: "muster workers show gpu-1-worker-simulation-0" }])
)

const ids = Argument.String("id").pipe(
  Argument.variadic({ min: 1 }),
  Argument.withDescription("The ids of the workers")
)

const pause = Command.make("pause", { ids, json }, (flags) =>
  Effect.flatMap(workers, (workers) => workers.pause(flags))
).pipe(
  Command.withDescription("Give workers no more jobs until they are resumed; they keep those they hold"),
  Command.withExamples([{ command: "muster workers pause gpu-1-worker-simulation-0 gpu-1-worker-simulation-1" }])
)

const resume = Command.make("resume", { ids, json }, (flags) =>
  Effect.flatMap(workers, (workers) => workers.resume(flags))
).pipe(
  Command.withDescription("Give paused or draining workers jobs again"),
  Command.withExamples([{ command: "muster workers resume gpu-1-worker-simulation-0" }])
)

const drain = Command.make(
  "drain",
  {
    ids,
    returnJobs: Flag.Boolean("return-jobs").pipe(
      Flag.withDescription("Hand the jobs they hold back at once, for other workers; no retry is used"),
      Flag.withDefault(false)
    ),
    wait: Flag.Boolean("wait").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Wait until they hold no job"),
      Flag.withDefault(false)
    ),
    json
  },
  (flags) => Effect.flatMap(workers, (workers) => workers.drain(flags))
).pipe(
  Command.withDescription("Let workers become free: they get no more jobs, and finish those they hold"),
  Command.withExamples([
    { command: "muster workers drain gpu-1-worker-simulation-0 --wait", description: "Before its machine is stopped" },
    { command: "muster workers drain gpu-1-worker-simulation-0 --return-jobs", description: "When that cannot wait" }
  ])
)

export const command = Command.make("workers").pipe(
  Command.withDescription("List, show, pause, drain and resume the workers registered with the server at MUSTER_URL"),
  Command.withShortDescription("List, show, pause, drain and resume workers"),
  Command.withSubcommands([list, show, pause, drain, resume])
)
