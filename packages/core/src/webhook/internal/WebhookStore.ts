/**
 * The webhook port: webhooks, who works on them, and their last deliveries. In memory and on PostgreSQL; one contract
 * suite runs on both. A store holds the webhooks of one queue.
 *
 * Promises of every layer: each method is one atomic step; at most one server works on a webhook at a time. Working on
 * one takes a lease, which carries a number; a report that carries an older number changes nothing.
 */
import { Context, type Duration, type Effect, type Option, type Redacted } from "effect"
import type { EventCursor } from "../../event/EventCursor.ts"
import type { RepositoryError } from "../../worker/WorkerErrors.ts"
import type { Delivery } from "../Delivery.ts"
import type { NewWebhook, Webhook, WebhookId } from "../Webhook.ts"
import type { TooManyWebhooks, WebhookAlreadyExists } from "../WebhookErrors.ts"

/** The right to work on a webhook. */
export interface WebhookLease {
  readonly id: WebhookId
  /** No two leases of a store have the same. */
  readonly number: number
}

export interface LeasedWebhook {
  readonly webhook: Webhook
  readonly secret: Redacted.Redacted
  readonly lease: WebhookLease
  /** How long the pause after its last failure still lasts. */
  readonly pause: Duration.Duration
}

/** What a delivery means for its webhook. */
export type DeliveryEffect =
  /** It goes on behind this cursor, and has not failed. */
  | { readonly _tag: "Delivered"; readonly cursor: EventCursor }
  /** It is tried again after a pause, unless it has failed for `disableAfter` by now. */
  | { readonly _tag: "Failed"; readonly pause: Duration.Duration; readonly disableAfter: Duration.Duration }
  /** The receiver wants no more. */
  | { readonly _tag: "Disabled"; readonly reason: string }

/** There may be so many webhooks; each costs every server that works on it a reader. */
export const limit = 1_000

export class WebhookStore extends Context.Service<
  WebhookStore,
  {
    /** Of concurrent inserts of one id exactly one wins. */
    readonly insert: (
      webhook: NewWebhook
    ) => Effect.Effect<Webhook, WebhookAlreadyExists | TooManyWebhooks | RepositoryError>

    readonly find: (id: WebhookId) => Effect.Effect<Option.Option<Webhook>, RepositoryError>

    /** By id, after one. */
    readonly list: (request: {
      readonly after?: WebhookId | undefined
      readonly limit: number
    }) => Effect.Effect<ReadonlyArray<Webhook>, RepositoryError>

    /** Removes a webhook with its deliveries; `false` when there was none. */
    readonly remove: (id: WebhookId) => Effect.Effect<boolean, RepositoryError>

    readonly secretOf: (id: WebhookId) => Effect.Effect<Option.Option<Redacted.Redacted>, RepositoryError>

    /** Active, and tried at once as if it had never failed; ends the lease that somebody has. */
    readonly enable: (id: WebhookId) => Effect.Effect<Option.Option<Webhook>, RepositoryError>

    /** Leases active webhooks that nobody has leased, at most `limit`, for `lease`. */
    readonly take: (request: {
      readonly lease: Duration.Duration
      readonly limit: number
    }) => Effect.Effect<ReadonlyArray<LeasedWebhook>, RepositoryError>

    /** Renews leases, ended ones too as long as nobody else took the webhook; answers those that still hold. */
    readonly renew: (request: {
      readonly leases: ReadonlyArray<WebhookLease>
      readonly lease: Duration.Duration
    }) => Effect.Effect<ReadonlyArray<WebhookLease>, RepositoryError>

    /** Ends leases, so that others need not wait for their end. */
    readonly release: (leases: ReadonlyArray<WebhookLease>) => Effect.Effect<void, RepositoryError>

    /** Moves the cursor past events that were not meant; `false` when the lease is lost. */
    readonly moveTo: (lease: WebhookLease, cursor: EventCursor) => Effect.Effect<boolean, RepositoryError>

    /**
     * Records a delivery and what it means. The webhook as it is after that, or none when the lease is lost: then
     * nothing is recorded.
     */
    readonly report: (
      lease: WebhookLease,
      delivery: Delivery,
      effect: DeliveryEffect
    ) => Effect.Effect<Option.Option<Webhook>, RepositoryError>

    /** Records a delivery that means nothing for the webhook; does nothing when there is none of that id. */
    readonly record: (id: WebhookId, delivery: Delivery) => Effect.Effect<void, RepositoryError>

    /** The last deliveries, newest first; `Delivery.kept` of them are there. */
    readonly deliveries: (id: WebhookId, limit: number) => Effect.Effect<ReadonlyArray<Delivery>, RepositoryError>
  }
>()("@muster/core/webhook/internal/WebhookStore") {}
