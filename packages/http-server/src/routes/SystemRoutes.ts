/** Liveness and readiness. */
import * as Readiness from "@muster/core/Readiness"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../contract/Api.ts"
import * as Stores from "./Stores.ts"

export const layer = HttpApiBuilder.group(
  Api,
  "system",
  Effect.fnUntraced(function* (handlers) {
    const withStores = yield* Stores.make
    return handlers.handleAll({
      health: () => Effect.succeed({ status: "ok" } as const),
      ready: () =>
        Readiness.check.pipe(
          // The two answers differ in their status, and so in their types.
          Effect.map(({ ready, ...stores }) => (ready ? { ready, ...stores } : { ready, ...stores })),
          withStores
        )
    })
  })
)
