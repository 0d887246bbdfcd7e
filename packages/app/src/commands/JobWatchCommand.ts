/** `muster job watch`: follow a job to its end. */
import * as DurationText from "@muster/core/DurationText"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { json } from "../terminal/JsonFlag.ts"

/** How long to wait for a job, at most. */
export const timeoutFlag = (name: string) =>
  Flag.String(name).pipe(
    Flag.filterMap(
      (text) => Option.fromUndefinedOr(DurationText.parse(text)),
      () => `Expected ${DurationText.expected}`
    ),
    Flag.withMetavar("DURATION"),
    Flag.withDescription("Wait at most so long, such as 10m; then the exit code is 1, and the job goes on"),
    Flag.optional
  )

export const command = Command.make(
  "watch",
  {
    id: Argument.String("id").pipe(Argument.withDescription("The id of the job")),
    timeout: timeoutFlag("timeout"),
    json
  },
  ({ timeout, ...flags }) =>
    Effect.flatMap(
      Effect.promise(() => import("../operator/JobWatch.ts")),
      ({ watch }) => watch({ ...flags, timeout: Option.getOrUndefined(timeout) })
    )
).pipe(
  Command.withDescription("Follow a job to its end; exit code 1 unless it completed. Ctrl-C leaves the job alone"),
  Command.withShortDescription("Follow a job to its end"),
  Command.withExamples([
    { command: "muster job watch render-42", description: "With a bar, on a terminal" },
    { command: "muster job watch render-42 --json | jq -r .type", description: "What happens to it, an event a line" }
  ])
)
