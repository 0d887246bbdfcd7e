/** Shared budgets in memory: shared by the workers of one process. */
import { Clock, Duration, Effect, Layer } from "effect"
import { QuotaBudget, QuotaSpent } from "../QuotaBudget.ts"
import * as Allowances from "./Allowances.ts"

export const make: Effect.Effect<QuotaBudget["Service"]> = Effect.sync(() => {
  const budgets = new Map<string, Allowances.Allowances>()
  const at = (budget: string, now: number) => Allowances.current(budgets.get(budget) ?? Allowances.unlimited, now)

  return QuotaBudget.of({
    take: (budget) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const stored = at(budget, now)
        const wait = Allowances.waitFor(stored, now)
        if (wait > 0) return Effect.fail(new QuotaSpent({ retry_after_ms: wait }))
        budgets.set(budget, Allowances.take(stored))
        return Effect.void
      }),
    refused: (budget, retryAfter) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const ms = retryAfter === null ? null : Duration.toMillis(retryAfter)
        budgets.set(budget, Allowances.refuse(at(budget, now), ms, now))
      }),
    allowance: (budget) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { paused_until, per_minute } = at(budget, now)
        return { per_minute, paused_ms: Math.max(0, paused_until - now) }
      })
  })
})

export const layer: Layer.Layer<QuotaBudget> = Layer.effect(QuotaBudget, make)
