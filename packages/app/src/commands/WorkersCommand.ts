/** `muster workers`: who is registered, and how they are. */
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

export const command = Command.make("workers").pipe(
  Command.withDescription("List and show the workers that are registered with the server at MUSTER_URL"),
  Command.withShortDescription("List and show workers"),
  Command.withSubcommands([list, show])
)
