/** How the routes of a group reach the stores: with the context their group was built in. */
import type { Ports } from "@muster/core/Ports"
import { Context, Effect, References } from "effect"
import type { OpenRequests } from "../OpenRequests.ts"

/** The stores, and what the server knows of its own requests. */
type Surroundings = Ports | OpenRequests

/**
 * Makes the function that gives a use case its stores. A use case needs nothing of the request it runs in except the
 * span above its own, so without spans the stores stand in place of the request's context: merging the two for every
 * request costs a sixth of a heartbeat.
 */
export const make = Effect.map(Effect.context<Surroundings>(), (stores) => {
  const isTraced = Context.get(stores, References.TracerEnabled)
  return <A, E, R extends Surroundings>(useCase: Effect.Effect<A, E, R>): Effect.Effect<A, E> =>
    isTraced
      ? Effect.provideContext(useCase, stores as Context.Context<R>)
      : Effect.updateContext(useCase, () => stores as Context.Context<R>)
})
