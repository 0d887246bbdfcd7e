/** `muster doctor`: what is well, what is not, and what to do about it. */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { json } from "../terminal/JsonFlag.ts"

// As with the jobs: loaded when needed.
const doctor = Effect.promise(() => import("../operator/Doctor.ts"))

export const command = Command.make("doctor", { json }, (flags) =>
  Effect.flatMap(doctor, ({ examine }) => examine(flags))
).pipe(
  Command.withDescription(
    "Check this installation, the server at MUSTER_URL and the stores that DATABASE_URL and REDIS_URL name: each line is ok, a warning or an error, with what to do. Changes nothing. Ends with 1 when something is an error"
  ),
  Command.withShortDescription("Check server, stores and configuration, and say what to do"),
  Command.withExamples([
    { command: "muster doctor", description: "The server at MUSTER_URL, and what it stands on" },
    {
      command: "DATABASE_URL=postgres://… REDIS_URL=redis://… muster doctor",
      description: "The stores, before a server is started on them"
    },
    { command: "muster doctor --json | jq '.findings[] | select(.verdict != \"ok\")'", description: "In a script" }
  ])
)
