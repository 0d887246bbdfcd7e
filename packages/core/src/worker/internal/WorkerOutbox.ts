/**
 * The outbox of the registry: what happened to workers, written in the same step as the change, until it is in the event
 * log. In memory and on PostgreSQL.
 */
import { Context, type Effect, type Option } from "effect"
import type { NewEvent } from "../../event/Event.ts"
import type { RepositoryError } from "../WorkerErrors.ts"

/** Some of what happened. */
export interface OutboxPage {
  /** Which outbox this is: another one, numbered anew, after the registry was lost. */
  readonly source: string
  /** How many events this outbox has given out with this page. */
  readonly number: number
  readonly events: ReadonlyArray<NewEvent>
}

export class WorkerOutbox extends Context.Service<
  WorkerOutbox,
  {
    /**
     * The oldest events there are, those of one worker in their order; none when there are none. Until they are forgotten,
     * everybody who reads is given the same ones under the same number, also after a restart. A change that is made known
     * late, because its step took long, comes in a later page.
     */
    readonly read: Effect.Effect<Option.Option<OutboxPage>, RepositoryError>

    /** The page with this number is in the log. */
    readonly forget: (page: Pick<OutboxPage, "source" | "number">) => Effect.Effect<void, RepositoryError>
  }
>()("@muster/core/worker/internal/WorkerOutbox") {}
