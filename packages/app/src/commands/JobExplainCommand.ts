/** `muster job explain`: why a job is not running. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { json } from "../terminal/JsonFlag.ts"

// Loaded when needed, as with the other commands.
const waiting = Effect.promise(() => import("../operator/Waiting.ts"))

export const command = Command.make(
  "explain",
  {
    id: Argument.String("id").pipe(Argument.withDescription("The id of the job")),
    all: Flag.Boolean("all").pipe(
      Flag.withAlias("a"),
      Flag.withDescription("Every worker that the server tells of, not only the nearest"),
      Flag.withDefault(false)
    ),
    json
  },
  (flags) => Effect.flatMap(waiting, (waiting) => waiting.explain(flags))
).pipe(
  Command.withAlias("why"),
  Command.withDescription(
    "Say why a job is not running: the verdict, the workers that are nearest to it and what they miss, and what to do"
  ),
  Command.withShortDescription("Say why a job is not running"),
  Command.withExamples([
    { command: "muster job explain render-42" },
    { command: "muster job explain render-42 --json | jq -r .verdict", description: "In a script" }
  ])
)
