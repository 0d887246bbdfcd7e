/**
 * The budget that all workers of one key share, around calls that cost: one is taken before each, and a refusal for
 * asking too much lowers it for everybody.
 */
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import { QuotaBudget } from "@muster/core/connector/QuotaBudget"
import { Duration, Effect } from "effect"
import { accepted, type Refusal } from "./OpenAIFailure.ts"

export interface SharedBudget {
  /** Makes a call when the budget has one. */
  readonly taking: <A, R>(call: Effect.Effect<A, Refusal, R>) => Effect.Effect<A, Refusal, R>
  /** Hears how a call failed. */
  readonly told: (failure: ConnectorFailure) => Effect.Effect<void>
}

export const make = (budget: string): Effect.Effect<SharedBudget, never, QuotaBudget> =>
  Effect.map(QuotaBudget, (quota) => {
    const take = Effect.mapError(quota.take(budget), ({ message, retry_after_ms }) =>
      accepted(new ConnectorFailure({ kind: "RateLimited", message: `OpenAI: ${message}`, retry_after_ms }))
    )
    const told = (failure: ConnectorFailure) =>
      failure.kind !== "RateLimited"
        ? Effect.void
        : quota.refused(budget, failure.retry_after_ms === undefined ? null : Duration.millis(failure.retry_after_ms))
    return {
      taking: (call) =>
        Effect.andThen(
          take,
          Effect.tapError(call, ({ failure }) => told(failure))
        ),
      told
    }
  })
