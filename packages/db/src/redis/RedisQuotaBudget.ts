/**
 * Shared budgets on Redis: shared by all workers that use it, of every queue. While it is away each process goes by what
 * it was told itself, so that a store never stops a call.
 */
import * as MemoryQuotaBudget from "@muster/core/connector/internal/MemoryQuotaBudget"
import { QuotaBudget, QuotaSpent } from "@muster/core/connector/QuotaBudget"
import { Duration, Effect, Layer, Schema } from "effect"
import { command, RedisFunctions } from "./RedisFunctions.ts"

/** The prefix of budgets: no queue has it, and all of them are on one shard. */
export const prefix = "{muster-quota}"

/** A call that costs waits no longer for a word of Redis. */
const answerWithin = Duration.seconds(1)

const Count = Schema.FiniteFromString
const NoLimit = Schema.Literal("")

interface Asked {
  readonly budget: string
  readonly what: "take" | "refused" | "look"
  readonly retryAfter?: Duration.Duration | null
}

const args = ({ budget, retryAfter, what }: Asked) => [
  budget,
  what,
  retryAfter == null ? "" : String(Math.ceil(Duration.toMillis(retryAfter)))
]

const change = command({ name: "quota", args, reply: Count })
const look = command({ name: "quota", args, reply: Schema.Tuple([Schema.Union([NoLimit, Count]), Count]) })

const make = Effect.gen(function* () {
  const functions = yield* RedisFunctions
  const changed = change(functions, prefix)
  const looked = look(functions, prefix)
  /** What this process alone knows. */
  const own = yield* MemoryQuotaBudget.make
  let isAway = false

  /** Asks Redis; while it is away, the process itself. */
  const shared = <A, E>(asked: Effect.Effect<A, unknown>, instead: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    asked.pipe(
      Effect.timeout(answerWithin),
      Effect.tap(() => Effect.sync(() => void (isAway = false))),
      Effect.catch((failure) =>
        Effect.suspend(() => {
          const told = isAway ? Effect.void : Effect.logWarning("budgets are not shared while Redis is away", failure)
          isAway = true
          return Effect.andThen(told, instead)
        })
      )
    )

  return QuotaBudget.of({
    take: (budget) =>
      Effect.gen(function* () {
        const mine = Effect.match(own.take(budget), {
          onFailure: ({ retry_after_ms }) => retry_after_ms,
          onSuccess: () => 0
        })
        // What is taken here is counted here, too: it is what is known when Redis goes.
        const wait = yield* shared(
          Effect.tap(changed({ budget, what: "take" }), (wait) => (wait === 0 ? mine : Effect.void)),
          mine
        )
        if (wait > 0) return yield* new QuotaSpent({ retry_after_ms: wait })
      }),

    refused: (budget, retryAfter) =>
      Effect.andThen(
        own.refused(budget, retryAfter),
        shared(Effect.asVoid(changed({ budget, what: "refused", retryAfter })), Effect.void)
      ),

    allowance: (budget) =>
      shared(
        Effect.map(looked({ budget, what: "look" }), ([limit, paused_ms]) => ({
          per_minute: limit === "" ? null : limit,
          paused_ms
        })),
        own.allowance(budget)
      )
  })
})

export const layer: Layer.Layer<QuotaBudget, never, RedisFunctions> = Layer.effect(QuotaBudget, make)
