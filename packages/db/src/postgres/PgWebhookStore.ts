/**
 * Webhooks on PostgreSQL. All times but those of deliveries are the database's clock. Several queues may keep their
 * webhooks in one database.
 */
import { Delivery, kept } from "@muster/core/webhook/Delivery"
import {
  type DeliveryEffect,
  limit as mostWebhooks,
  type WebhookLease,
  WebhookStore
} from "@muster/core/webhook/internal/WebhookStore"
import { NewWebhook, Webhook, WebhookId } from "@muster/core/webhook/Webhook"
import { TooManyWebhooks, WebhookAlreadyExists } from "@muster/core/webhook/WebhookErrors"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { Duration, Effect, Layer, Option, Redacted, Schema } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as SqlSchema from "effect/sql/SqlSchema"
import { repository } from "./PgFailure.ts"
import { ago } from "./StoreTime.ts"

/** A webhook as it is read: timestamps come as `Date`, json as its value. */
const row = {
  ...Webhook.fields,
  status_changed_at: Schema.DateTimeUtcFromDate,
  failing_since: Schema.NullOr(Schema.DateTimeUtcFromDate),
  next_attempt_at: Schema.NullOr(Schema.DateTimeUtcFromDate),
  created_at: Schema.DateTimeUtcFromDate
}
const Row = Schema.Struct(row).pipe(Schema.decodeTo(Webhook))

const LeasedRow = Schema.Struct({
  ...row,
  secret: Schema.String,
  lease: Schema.Int,
  pause_ms: Schema.Finite
})

const toLeased = ({ lease, pause_ms, secret, ...webhook }: typeof LeasedRow.Type) => ({
  webhook: new Webhook(webhook),
  secret: Redacted.make(secret),
  lease: { id: webhook.id, number: lease },
  pause: Duration.millis(Math.max(0, pause_ms))
})

const DeliveryText = Schema.toCodecJson(Delivery)
const DeliveryRow = Schema.Struct({ delivery: DeliveryText })
const encodeDelivery = Schema.encodeSync(Schema.fromJsonString(DeliveryText))

const Lease = Schema.Struct({ id: WebhookId, number: Schema.Int })
const Done = Schema.Struct({ done: Schema.Boolean })

const make = Effect.gen(function* () {
  const sql = yield* SqlClient
  const { name: queue } = yield* QueueSettings

  const until = (duration: Duration.Duration) => ago(sql, Duration.negate(duration))

  /** What a webhook shows; its secret is read by those who need it. */
  const shown = sql.literal(Object.keys(Webhook.fields).join(", "))

  const one = ({ id }: { readonly id: string }) => sql`queue = ${queue} AND id = ${id}`
  const held = (lease: typeof Lease.Encoded) => sql`${one(lease)} AND lease = ${lease.number}::bigint`

  const insert = SqlSchema.findOne({
    Request: NewWebhook,
    Result: Schema.Struct({ known: Schema.Boolean, stored: Schema.Boolean }),
    execute: ({ cursor, description, filter, id, secret, url }) => sql`
      WITH known AS MATERIALIZED (
        SELECT EXISTS (SELECT FROM webhooks WHERE ${one({ id })}) AS known
      ), stored AS (
        INSERT INTO webhooks (queue, id, url, filter, secret, description, cursor, status, status_changed_at, created_at)
        SELECT ${queue}, ${id}, ${url}, ${JSON.stringify(filter)}::json, ${Redacted.value(secret)}, ${description},
          ${cursor}, 'active', now(), now()
        WHERE (SELECT count(*) FROM webhooks WHERE queue = ${queue}) < ${mostWebhooks}::int
        ON CONFLICT (queue, id) DO NOTHING
        RETURNING id
      )
      SELECT known, EXISTS (SELECT FROM stored) AS stored FROM known`
  })

  const find = SqlSchema.findOneOption({
    Request: WebhookId,
    Result: Row,
    execute: (id) => sql`SELECT ${shown} FROM webhooks WHERE ${one({ id })}`
  })

  const list = SqlSchema.findAll({
    Request: Schema.Struct({ after: Schema.String, limit: Schema.Int }),
    Result: Row,
    execute: ({ after, limit }) => sql`
      SELECT ${shown} FROM webhooks WHERE queue = ${queue} AND id > ${after} ORDER BY id LIMIT ${limit}::int`
  })

  const secretOf = SqlSchema.findOneOption({
    Request: WebhookId,
    Result: Schema.Struct({ secret: Schema.String }),
    execute: (id) => sql`SELECT secret FROM webhooks WHERE ${one({ id })}`
  })

  const enable = SqlSchema.findOneOption({
    Request: WebhookId,
    Result: Row,
    execute: (id) => sql`
      UPDATE webhooks SET
        status = 'active', status_reason = NULL, failing_since = NULL, consecutive_failures = 0, next_attempt_at = NULL,
        status_changed_at = CASE WHEN status = 'active' THEN status_changed_at ELSE now() END,
        lease = NULL, leased_until = NULL
      WHERE ${one({ id })}
      RETURNING ${shown}`
  })

  /** Skips what another server takes now. */
  const take = SqlSchema.findAll({
    Request: Schema.Struct({ lease: Schema.Duration, limit: Schema.Int }),
    Result: LeasedRow,
    execute: ({ lease, limit }) => sql`
      WITH free AS MATERIALIZED (
        SELECT id AS free_id FROM webhooks
        WHERE queue = ${queue} AND status = 'active' AND (leased_until IS NULL OR leased_until <= now())
        ORDER BY id LIMIT ${limit}::int FOR UPDATE SKIP LOCKED
      )
      UPDATE webhooks SET lease = nextval('webhook_leases'), leased_until = ${until(lease)} FROM free
      WHERE queue = ${queue} AND id = free_id
      RETURNING ${shown}, secret, lease::float8 AS lease,
        coalesce(extract(epoch FROM next_attempt_at - now()) * 1000, 0)::float8 AS pause_ms`
  })

  const pairs = (leases: ReadonlyArray<typeof Lease.Encoded>) => sql`
    unnest(
      ${leases.map(({ id }) => id)}::text[],
      ${leases.map(({ number }) => String(number))}::text[]::bigint[]
    ) AS asked (asked_id, number)`

  /** Locks in the order of ids, as every statement here that locks several. */
  const renew = SqlSchema.findAll({
    Request: Schema.Struct({ leases: Schema.Array(Lease), lease: Schema.Duration }),
    Result: Lease,
    execute: ({ lease, leases }) => sql`
      WITH mine AS MATERIALIZED (
        SELECT id AS my_id FROM webhooks JOIN ${pairs(leases)} ON id = asked_id AND lease = number
        WHERE queue = ${queue} ORDER BY id FOR UPDATE OF webhooks
      )
      UPDATE webhooks SET leased_until = ${until(lease)} FROM mine WHERE queue = ${queue} AND id = my_id
      RETURNING id, lease::float8 AS number`
  })

  const release = (leases: ReadonlyArray<WebhookLease>) => sql`
    WITH mine AS MATERIALIZED (
      SELECT id AS my_id FROM webhooks JOIN ${pairs(leases)} ON id = asked_id AND lease = number
      WHERE queue = ${queue} ORDER BY id FOR UPDATE OF webhooks
    )
    UPDATE webhooks SET lease = NULL, leased_until = NULL FROM mine WHERE queue = ${queue} AND id = my_id`

  const moveTo = SqlSchema.findOne({
    Request: Schema.Struct({ lease: Lease, cursor: Webhook.fields.cursor }),
    Result: Done,
    execute: ({ cursor, lease }) => sql`
      WITH moved AS (UPDATE webhooks SET cursor = ${cursor} WHERE ${held(lease)} RETURNING id)
      SELECT EXISTS (SELECT FROM moved) AS done`
  })

  /** What a delivery changes. Every expression reads the row as it was. */
  const changes = (effect: DeliveryEffect) => {
    switch (effect._tag) {
      case "Delivered":
        return sql`cursor = ${effect.cursor}, failing_since = NULL, consecutive_failures = 0, next_attempt_at = NULL`
      case "Disabled":
        return sql`
          status = 'disabled', status_reason = ${effect.reason}, status_changed_at = now(), next_attempt_at = NULL,
          lease = NULL, leased_until = NULL`
      case "Failed": {
        const { disableAfter, pause } = effect
        const over = sql`coalesce(failing_since, now()) <= ${ago(sql, disableAfter)}`
        return sql`
          failing_since = coalesce(failing_since, now()), consecutive_failures = consecutive_failures + 1,
          next_attempt_at = CASE WHEN ${over} THEN NULL ELSE ${until(pause)} END,
          status = CASE WHEN ${over} THEN 'disabled' ELSE status END,
          status_reason = CASE WHEN ${over} THEN ${`every delivery failed for ${Duration.format(disableAfter)}`} END,
          status_changed_at = CASE WHEN ${over} THEN now() ELSE status_changed_at END,
          lease = CASE WHEN ${over} THEN NULL ELSE lease END,
          leased_until = CASE WHEN ${over} THEN NULL ELSE leased_until END`
      }
    }
  }

  const change = (lease: WebhookLease, effect: DeliveryEffect) =>
    SqlSchema.findOneOption({
      Request: Schema.Void,
      Result: Row,
      execute: () => sql`UPDATE webhooks SET ${changes(effect)} WHERE ${held(lease)} RETURNING ${shown}`
    })()

  /** Adds a delivery and forgets those before the last ones. The webhook is locked by whoever calls. */
  const keep = (id: WebhookId, delivery: Delivery) =>
    Effect.andThen(
      sql`
        INSERT INTO webhook_deliveries (queue, webhook_id, delivery)
        VALUES (${queue}, ${id}, ${encodeDelivery(delivery)}::json)`,
      sql`
        DELETE FROM webhook_deliveries WHERE queue = ${queue} AND webhook_id = ${id} AND number <= (
          SELECT number FROM webhook_deliveries WHERE queue = ${queue} AND webhook_id = ${id}
          ORDER BY number DESC OFFSET ${kept}::int LIMIT 1
        )`
    )

  const report = (lease: WebhookLease, delivery: Delivery, effect: DeliveryEffect) =>
    Effect.tap(change(lease, effect), (changed) =>
      Option.isSome(changed) ? keep(lease.id, delivery) : Effect.void
    ).pipe(sql.withTransaction)

  const record = (id: WebhookId, delivery: Delivery) =>
    Effect.gen(function* () {
      const known = yield* sql`SELECT id FROM webhooks WHERE ${one({ id })} FOR NO KEY UPDATE`
      if (known.length > 0) yield* keep(id, delivery)
    }).pipe(sql.withTransaction)

  const deliveries = SqlSchema.findAll({
    Request: Schema.Struct({ id: WebhookId, limit: Schema.Int }),
    Result: DeliveryRow,
    execute: ({ id, limit }) => sql`
      SELECT delivery FROM webhook_deliveries WHERE queue = ${queue} AND webhook_id = ${id}
      ORDER BY number DESC LIMIT ${limit}::int`
  })

  const inserted = Effect.fn("PgWebhookStore.insert")(function* (webhook: NewWebhook) {
    const { known, stored } = yield* insert(webhook).pipe(repository("WebhookStore.insert"))
    const found = yield* find(webhook.id).pipe(repository("WebhookStore.insert"))
    if (stored && Option.isSome(found)) return found.value
    return yield* known || Option.isSome(found)
      ? new WebhookAlreadyExists({ id: webhook.id })
      : new TooManyWebhooks({ limit: mostWebhooks })
  })

  return WebhookStore.of({
    insert: inserted,
    find: Effect.fn("PgWebhookStore.find")((id) => find(id).pipe(repository("WebhookStore.find"))),
    list: Effect.fn("PgWebhookStore.list")(({ after, limit }) =>
      list({ after: after ?? "", limit }).pipe(repository("WebhookStore.list"))
    ),
    remove: Effect.fn("PgWebhookStore.remove")((id) =>
      sql`DELETE FROM webhooks WHERE ${one({ id })} RETURNING id`.pipe(
        Effect.map((removed) => removed.length > 0),
        repository("WebhookStore.remove")
      )
    ),
    secretOf: Effect.fn("PgWebhookStore.secretOf")((id) =>
      secretOf(id).pipe(
        Effect.map(Option.map(({ secret }) => Redacted.make(secret))),
        repository("WebhookStore.secretOf")
      )
    ),
    enable: Effect.fn("PgWebhookStore.enable")((id) => enable(id).pipe(repository("WebhookStore.enable"))),
    take: Effect.fn("PgWebhookStore.take")((request) =>
      take(request).pipe(
        Effect.map((rows) => rows.map(toLeased)),
        repository("WebhookStore.take")
      )
    ),
    renew: Effect.fn("PgWebhookStore.renew")((request) => renew(request).pipe(repository("WebhookStore.renew"))),
    release: Effect.fn("PgWebhookStore.release")((leases) =>
      release(leases).pipe(Effect.asVoid, repository("WebhookStore.release"))
    ),
    moveTo: Effect.fn("PgWebhookStore.moveTo")((lease, cursor) =>
      moveTo({ lease, cursor }).pipe(
        Effect.map(({ done }) => done),
        repository("WebhookStore.moveTo")
      )
    ),
    report: Effect.fn("PgWebhookStore.report")((lease, delivery, effect) =>
      report(lease, delivery, effect).pipe(repository("WebhookStore.report"))
    ),
    record: Effect.fn("PgWebhookStore.record")((id, delivery) =>
      record(id, delivery).pipe(repository("WebhookStore.record"))
    ),
    deliveries: Effect.fn("PgWebhookStore.deliveries")((id, limit) =>
      deliveries({ id, limit }).pipe(
        Effect.map((rows) => rows.map(({ delivery }) => delivery)),
        repository("WebhookStore.deliveries")
      )
    )
  })
})

/** Needs the schema of `PgMigrations`; until it is there every call fails as unavailable. */
export const layer: Layer.Layer<WebhookStore, never, SqlClient> = Layer.effect(WebhookStore, make)
