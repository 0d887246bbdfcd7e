/**
 * What a route does not take is refused rather than ignored, as it is within what it takes: a query where the route
 * has none, a body where the route has none.
 */
import { HttpApiMiddleware } from "effect/http-api"

export class NothingUnasked extends HttpApiMiddleware.Service<NothingUnasked>()(
  "@muster/http-server/contract/NothingUnasked"
) {}
