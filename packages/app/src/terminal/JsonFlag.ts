/** `--json`: output for programs. `runMain` heeds it too, when it tells what went wrong. */
import * as Flag from "effect/cli/Flag"

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print the server's answer as JSON, and errors as problem JSON on standard error"),
  Flag.withDefault(false)
)
