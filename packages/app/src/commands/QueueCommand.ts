/** `muster queue`: what waits, and who could run it. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { json } from "../terminal/JsonFlag.ts"

// Loaded when needed, as with the other commands.
const waiting = Effect.promise(() => import("../operator/Waiting.ts"))

export const command = Command.make(
  "queue",
  {
    limit: Flag.Int("limit").pipe(
      Flag.filter(
        (limit) => limit > 0,
        () => "Expected a whole number from 1"
      ),
      Flag.withAlias("n"),
      Flag.withMetavar("N"),
      Flag.withDescription("At most this many kinds of jobs; 50 by default, 1000 at most"),
      Flag.optional
    ),
    json
  },
  (flags) =>
    Effect.flatMap(waiting, (waiting) => waiting.queue({ limit: Option.getOrUndefined(flags.limit), json: flags.json }))
).pipe(
  Command.withDescription(
    "Show how many jobs there are on the server at MUSTER_URL, and which kinds of them wait: first those that nobody can run, then those that wait longest"
  ),
  Command.withShortDescription("Show what waits, first what nobody can run"),
  Command.withExamples([
    { command: "muster queue" },
    {
      command: "muster queue --json | jq '.classes[] | select(.matching.registered == 0)'",
      description: "What no worker could ever run"
    }
  ])
)
