/** Webhooks in memory. */
import { Clock, DateTime, Duration, Effect, Layer, Option, type Redacted } from "effect"
import { type Delivery, kept } from "../Delivery.ts"
import { Webhook, type WebhookId } from "../Webhook.ts"
import { TooManyWebhooks, WebhookAlreadyExists } from "../WebhookErrors.ts"
import { type DeliveryEffect, limit, type WebhookLease, WebhookStore } from "./WebhookStore.ts"

interface Row {
  webhook: Webhook
  readonly secret: Redacted.Redacted
  lease: number
  /** In ms; 0 when nobody has it. */
  leasedUntil: number
  /** Newest first. */
  deliveries: ReadonlyArray<Delivery>
}

const healthy = { failing_since: null, consecutive_failures: 0, next_attempt_at: null } as const

const disabled = (webhook: Webhook, reason: string, now: DateTime.Utc): Webhook =>
  new Webhook({
    ...webhook,
    status: "disabled",
    status_reason: reason,
    status_changed_at: now,
    next_attempt_at: null
  })

const failed = (webhook: Webhook, effect: DeliveryEffect & { readonly _tag: "Failed" }, now: DateTime.Utc): Webhook => {
  const failing_since = webhook.failing_since ?? now
  const failing = new Webhook({
    ...webhook,
    failing_since,
    consecutive_failures: webhook.consecutive_failures + 1,
    next_attempt_at: DateTime.addDuration(now, effect.pause)
  })
  const lasted = DateTime.distance(failing_since, now)
  return Duration.isGreaterThanOrEqualTo(lasted, effect.disableAfter)
    ? disabled(failing, `every delivery failed for ${Duration.format(effect.disableAfter)}`, now)
    : failing
}

const after = (webhook: Webhook, effect: DeliveryEffect, now: DateTime.Utc): Webhook => {
  switch (effect._tag) {
    case "Delivered":
      return new Webhook({ ...webhook, ...healthy, cursor: effect.cursor })
    case "Failed":
      return failed(webhook, effect, now)
    case "Disabled":
      return disabled(webhook, effect.reason, now)
  }
}

const make = Effect.sync(() => {
  const rows = new Map<WebhookId, Row>()
  let leases = 0
  const now = Effect.map(Clock.currentTimeMillis, DateTime.makeUnsafe)
  const sorted = () => [...rows.values()].toSorted((a, b) => (a.webhook.id < b.webhook.id ? -1 : 1))

  const holding = ({ id, number }: WebhookLease): Row | undefined => {
    const row = rows.get(id)
    return row?.lease === number && row.leasedUntil > 0 ? row : undefined
  }

  const keep = (row: Row, delivery: Delivery) => {
    row.deliveries = [delivery, ...row.deliveries].slice(0, kept)
  }

  return WebhookStore.of({
    insert: Effect.fnUntraced(function* ({ secret, ...webhook }) {
      const at = yield* now
      if (rows.has(webhook.id)) return yield* new WebhookAlreadyExists({ id: webhook.id })
      if (rows.size >= limit) return yield* new TooManyWebhooks({ limit })
      const stored = new Webhook({
        ...webhook,
        ...healthy,
        status: "active",
        status_reason: null,
        status_changed_at: at,
        created_at: at
      })
      rows.set(webhook.id, { webhook: stored, secret, lease: 0, leasedUntil: 0, deliveries: [] })
      return stored
    }),

    find: (id) => Effect.sync(() => Option.map(Option.fromUndefinedOr(rows.get(id)), ({ webhook }) => webhook)),

    list: ({ after, limit }) =>
      Effect.sync(() =>
        sorted()
          .map(({ webhook }) => webhook)
          .filter(({ id }) => after === undefined || id > after)
          .slice(0, limit)
      ),

    remove: (id) => Effect.sync(() => rows.delete(id)),

    secretOf: (id) => Effect.sync(() => Option.map(Option.fromUndefinedOr(rows.get(id)), ({ secret }) => secret)),

    enable: (id) =>
      Effect.map(now, (at) =>
        Option.map(Option.fromUndefinedOr(rows.get(id)), (row) => {
          const status_changed_at = row.webhook.status === "active" ? row.webhook.status_changed_at : at
          row.webhook = new Webhook({
            ...row.webhook,
            ...healthy,
            status: "active",
            status_reason: null,
            status_changed_at
          })
          row.leasedUntil = 0
          return row.webhook
        })
      ),

    take: ({ lease, limit }) =>
      Effect.map(now, (at) =>
        sorted()
          .filter(
            ({ leasedUntil, webhook }) => webhook.status === "active" && leasedUntil <= DateTime.toEpochMillis(at)
          )
          .slice(0, limit)
          .map((row) => {
            row.lease = ++leases
            row.leasedUntil = DateTime.toEpochMillis(at) + Duration.toMillis(lease)
            const { next_attempt_at } = row.webhook
            const pause = next_attempt_at === null ? 0 : DateTime.toEpochMillis(next_attempt_at) - at.epochMilliseconds
            return {
              webhook: row.webhook,
              secret: row.secret,
              lease: { id: row.webhook.id, number: row.lease },
              pause: Duration.millis(Math.max(0, pause))
            }
          })
      ),

    renew: ({ lease, leases }) =>
      Effect.map(Clock.currentTimeMillis, (at) =>
        leases.filter((held) => {
          const row = holding(held)
          if (row === undefined) return false
          row.leasedUntil = at + Duration.toMillis(lease)
          return true
        })
      ),

    release: (leases) =>
      Effect.sync(() => {
        for (const lease of leases) {
          const row = holding(lease)
          if (row !== undefined) row.leasedUntil = 0
        }
      }),

    moveTo: (lease, cursor) =>
      Effect.sync(() => {
        const row = holding(lease)
        if (row === undefined) return false
        row.webhook = new Webhook({ ...row.webhook, cursor })
        return true
      }),

    report: (lease, delivery, effect) =>
      Effect.map(now, (at) =>
        Option.map(Option.fromUndefinedOr(holding(lease)), (row) => {
          row.webhook = after(row.webhook, effect, at)
          if (row.webhook.status === "disabled") row.leasedUntil = 0
          keep(row, delivery)
          return row.webhook
        })
      ),

    record: (id, delivery) =>
      Effect.sync(() => {
        const row = rows.get(id)
        if (row !== undefined) keep(row, delivery)
      }),

    deliveries: (id, limit) => Effect.sync(() => rows.get(id)?.deliveries.slice(0, limit) ?? [])
  })
})

export const layer: Layer.Layer<WebhookStore> = Layer.effect(WebhookStore, make)
