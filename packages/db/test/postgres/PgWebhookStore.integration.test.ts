import { assert, it } from "@effect/vitest"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { WebhookStore } from "@muster/core/webhook/internal/WebhookStore"
import * as PgMigrations from "@muster/db/postgres/PgMigrations"
import * as PgWebhookStore from "@muster/db/postgres/PgWebhookStore"
import * as Postgres from "@muster/db/postgres/Postgres"
import { Duration, Effect, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { freshDatabaseUrl } from "../../../../tools/servers/testServers.ts"
import { delivery, webhook } from "../../../core/test/webhook/webhookFixtures.ts"
import * as WebhookStoreSuite from "../../../core/test/webhook/WebhookStoreSuite.ts"

const database = Layer.unwrap(Effect.map(freshDatabaseUrl, (url) => Postgres.layer({ url: Redacted.make(url) }))).pipe(
  Layer.tap((context) => Effect.provideContext(PgMigrations.run, context))
)

const passTime = Effect.fnUntraced(function* (duration: Duration.Input) {
  const sql = yield* SqlClient
  const age = sql`${Duration.toMillis(duration)}::float8 * interval '1 millisecond'`
  yield* sql`
    UPDATE webhooks SET created_at = created_at - ${age}, status_changed_at = status_changed_at - ${age},
      failing_since = failing_since - ${age}, next_attempt_at = next_attempt_at - ${age},
      leased_until = leased_until - ${age}`
}, Effect.orDie)

WebhookStoreSuite.suite("postgres", { layer: PgWebhookStore.layer.pipe(Layer.provideMerge(database)), passTime })

it.layer(database, { timeout: "2 minutes" })("webhooks of several queues in one database", (it) => {
  it.effect("do not meet", () =>
    Effect.gen(function* () {
      const defaults = yield* QueueSettings
      const of = (name: string) =>
        Effect.map(
          Layer.build(PgWebhookStore.layer.pipe(Layer.provide(Layer.succeed(QueueSettings, { ...defaults, name })))),
          (context) => Effect.provideContext(WebhookStore, context)
        ).pipe(Effect.flatten)
      const [ours, theirs] = [yield* of("ours"), yield* of("theirs")]
      const given = webhook("same")
      yield* ours.insert(given)
      yield* theirs.insert({ ...given, description: "theirs" })
      yield* ours.record(given.id, delivery("d"))
      const lease = Duration.seconds(15)
      assert.strictEqual((yield* ours.take({ lease, limit: 10 })).length, 1)
      assert.strictEqual((yield* theirs.take({ lease, limit: 10 })).length, 1)
      assert.deepStrictEqual(yield* theirs.deliveries(given.id, 10), [])
      assert.isTrue(yield* ours.remove(given.id))
      assert.deepStrictEqual(
        (yield* theirs.list({ limit: 10 })).map(({ description }) => description),
        ["theirs"]
      )
    })
  )
})
