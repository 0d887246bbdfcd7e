/** `muster demo`: the life of a worker in a few seconds. */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"

export const command = Command.make("demo", {}, () =>
  Effect.gen(function* () {
    const Demo = yield* Effect.promise(() => import("../processes/Demo.ts"))
    yield* Demo.run
  })
).pipe(
  Command.withDescription(
    "Show the life of a worker, in memory and with short periods: it registers, beats, becomes active, goes offline in silence, and comes back"
  ),
  Command.withShortDescription("Show the life of a worker in a few seconds")
)
