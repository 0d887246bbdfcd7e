/** The contract for people: `/docs`. */
import { Effect } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApiScalar } from "effect/http-api"
import { Api } from "../contract/Api.ts"

/**
 * The page stands on its own, so that it works on hosts that see no other. It brings 3 MB of script along, which is
 * loaded when somebody asks for it first.
 */
export const layer = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const page = yield* Effect.cached(
      HttpRouter.toHttpEffect(HttpApiScalar.layer(Api, { scalar: { withDefaultFonts: false } }))
    )
    yield* router.add("GET", "/docs", Effect.flatten(page).pipe(Effect.orDie))
  })
)
