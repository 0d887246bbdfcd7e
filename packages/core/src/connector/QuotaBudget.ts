/**
 * The port that all workers of one API key share: when a provider says that too much was asked of it, all of them ask
 * less at once, and jobs wait instead of burning their retries. In memory and on Redis; one contract suite runs on both.
 *
 * A budget is known by a hash of its key, never by the key. A store that is away never stops a call: then each process
 * goes by what it was told itself.
 */
import { Context, type Duration, type Effect, Schema } from "effect"

/** Nothing may be asked for so long: the provider said so to one of the workers. */
export class QuotaSpent extends Schema.TaggedError<QuotaSpent>("@muster/core/connector/QuotaBudget/QuotaSpent")(
  "QuotaSpent",
  { retry_after_ms: Schema.Int }
) {
  override get message() {
    return `the shared budget is spent for another ${this.retry_after_ms} ms`
  }
}

/** What a budget allows now. */
export interface Allowance {
  /** Calls a minute over all workers of the key; null while no provider has ever refused one. */
  readonly per_minute: number | null
  /** How long nothing may be asked, in ms; 0 when it may. */
  readonly paused_ms: number
}

export class QuotaBudget extends Context.Service<
  QuotaBudget,
  {
    /** Takes one call from the budget, or says how long to wait for one. */
    readonly take: (budget: string) => Effect.Effect<void, QuotaSpent>

    /**
     * The provider refused a call: nothing is asked until it said, and then less than before; the rate rises again while
     * it refuses nothing.
     */
    readonly refused: (budget: string, retryAfter: Duration.Duration | null) => Effect.Effect<void>

    readonly allowance: (budget: string) => Effect.Effect<Allowance>
  }
>()("@muster/core/connector/QuotaBudget") {}
