/** The contract of the webhook port, for any layer of it. */
import { assert, it } from "@effect/vitest"
import { kept } from "@muster/core/webhook/Delivery"
import { WebhookStore } from "@muster/core/webhook/internal/WebhookStore"
import { WebhookId } from "@muster/core/webhook/Webhook"
import { Duration, Effect, Option, Redacted } from "effect"
import { cursor, delivery, emptied, webhook, type WebhooksUnderTest } from "./webhookFixtures.ts"

const id = WebhookId.make("hook-1")
const other = WebhookId.make("hook-2")
const stranger = WebhookId.make("stranger")

const lease = Duration.seconds(15)
const disableAfter = Duration.days(3)
const failed = { _tag: "Failed", pause: Duration.seconds(5), disableAfter } as const

export const suite = <R, E>(name: string, { layer, passTime }: WebhooksUnderTest<R, E>) =>
  it.layer(layer, { timeout: "2 minutes" })(`WebhookStore (${name})`, (it) => {
    const scenario = <A, E2>(what: string, body: Effect.Effect<A, E2, WebhookStore | R>) =>
      it.effect(what, () => Effect.andThen(emptied, body))

    /** Takes the one webhook there is. */
    const taken = Effect.gen(function* () {
      const webhooks = yield* WebhookStore
      const [first, ...more] = yield* webhooks.take({ lease, limit: 10 })
      assert.strictEqual(more.length, 0)
      if (first === undefined) return yield* Effect.die(new Error("nothing to take"))
      return first
    })

    scenario(
      "keeps what it is given, and shows the secret to who asks for it alone",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        const given = webhook(id)
        const stored = yield* webhooks.insert(given)
        assert.deepInclude(stored, {
          id,
          url: given.url,
          filter: given.filter,
          description: given.description,
          cursor: given.cursor,
          status: "active",
          status_reason: null,
          failing_since: null,
          consecutive_failures: 0,
          next_attempt_at: null
        })
        assert.notProperty(stored, "secret")
        assert.deepStrictEqual(Option.getOrThrow(yield* webhooks.find(id)), stored)
        assert.deepStrictEqual(yield* webhooks.list({ limit: 10 }), [stored])
        assert.strictEqual(
          Redacted.value(Option.getOrThrow(yield* webhooks.secretOf(id))),
          Redacted.value(given.secret)
        )
        yield* webhooks.insert(webhook(other, { filter: {}, description: null }))
        const plain = Option.getOrThrow(yield* webhooks.find(other))
        assert.deepStrictEqual([plain.filter, plain.description], [{}, null])
      })
    )

    scenario(
      "lets exactly one of many inserts of an id win",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        const [refused, won] = yield* Effect.partition(
          Array.from({ length: 8 }, (_, n) => webhook(id, { description: `${n}` })),
          webhooks.insert,
          { concurrency: "unbounded" }
        ).pipe(Effect.map(([successes, failures]) => [failures, successes] as const))
        assert.strictEqual(won.length, 1)
        for (const error of refused) assert.deepInclude(error, { _tag: "WebhookAlreadyExists", id })
        assert.deepStrictEqual(Option.getOrThrow(yield* webhooks.find(id)), won[0])
      })
    )

    scenario(
      "lists by id, in pages",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        for (const which of ["b", "a", "C", "d"]) yield* webhooks.insert(webhook(which))
        const ids = (request: { readonly after?: WebhookId; readonly limit: number }) =>
          Effect.map(webhooks.list(request), (page) => page.map(({ id }) => `${id}`))
        assert.deepStrictEqual(yield* ids({ limit: 10 }), ["C", "a", "b", "d"])
        assert.deepStrictEqual(yield* ids({ limit: 2 }), ["C", "a"])
        assert.deepStrictEqual(yield* ids({ after: WebhookId.make("a"), limit: 2 }), ["b", "d"])
      })
    )

    scenario(
      "knows nothing of strangers",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        assert.isTrue(Option.isNone(yield* webhooks.find(stranger)))
        assert.isTrue(Option.isNone(yield* webhooks.secretOf(stranger)))
        assert.isTrue(Option.isNone(yield* webhooks.enable(stranger)))
        assert.isFalse(yield* webhooks.remove(stranger))
        yield* webhooks.record(stranger, delivery("d"))
        assert.deepStrictEqual(yield* webhooks.deliveries(stranger, 10), [])
        const lost = { id: stranger, number: 1 }
        assert.isFalse(yield* webhooks.moveTo(lost, cursor(1)))
        assert.isTrue(Option.isNone(yield* webhooks.report(lost, delivery("d"), failed)))
        assert.deepStrictEqual(yield* webhooks.renew({ leases: [lost], lease }), [])
        yield* webhooks.release([lost])
        assert.deepStrictEqual(yield* webhooks.take({ lease, limit: 10 }), [])
      })
    )

    scenario(
      "gives each webhook to one server at a time",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        yield* webhooks.insert(webhook(id))
        yield* webhooks.insert(webhook(other))
        const taken = yield* Effect.replicateEffect(webhooks.take({ lease, limit: 1 }), 8, {
          concurrency: "unbounded"
        })
        // A layer may skip what another is just taking.
        const more = yield* webhooks.take({ lease, limit: 10 })
        assert.deepStrictEqual([...taken.flat(), ...more].map(({ lease }) => lease.id).toSorted(), [id, other])
        assert.deepStrictEqual(yield* webhooks.take({ lease, limit: 10 }), [])
      })
    )

    scenario(
      "hands a webhook over when its lease has ended, and hears no more of who had it",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        yield* webhooks.insert(webhook(id))
        const first = yield* taken
        yield* passTime(Duration.seconds(10))
        assert.deepStrictEqual(yield* webhooks.renew({ leases: [first.lease], lease }), [first.lease])
        yield* passTime(Duration.seconds(10))
        assert.deepStrictEqual(yield* webhooks.take({ lease, limit: 10 }), [])
        yield* passTime(Duration.seconds(6))
        const second = yield* taken
        assert.isTrue(Option.isNone(yield* webhooks.report(first.lease, delivery("late"), failed)))
        assert.isFalse(yield* webhooks.moveTo(first.lease, cursor(9)))
        assert.deepStrictEqual(yield* webhooks.renew({ leases: [first.lease, second.lease], lease }), [second.lease])
        yield* webhooks.release([first.lease])
        assert.deepStrictEqual(yield* webhooks.take({ lease, limit: 10 }), [])
        assert.deepStrictEqual(yield* webhooks.deliveries(id, 10), [])
        assert.strictEqual(Option.getOrThrow(yield* webhooks.find(id)).cursor, cursor(0))
        yield* webhooks.release([second.lease])
        assert.strictEqual((yield* taken).lease.id, id)
      })
    )

    scenario(
      "renews an ended lease while nobody else took it",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        yield* webhooks.insert(webhook(id))
        const first = yield* taken
        yield* passTime(Duration.minutes(1))
        assert.deepStrictEqual(yield* webhooks.renew({ leases: [first.lease], lease }), [first.lease])
        assert.deepStrictEqual(yield* webhooks.take({ lease, limit: 10 }), [])
      })
    )

    scenario(
      "moves the cursor with a delivery, or past what is not meant",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        yield* webhooks.insert(webhook(id))
        const { lease: held } = yield* taken
        yield* webhooks.report(held, delivery("bad", { outcome: "failed", status: 500, error: "answered 500" }), failed)
        const delivered = { _tag: "Delivered", cursor: cursor(3) } as const
        const stored = Option.getOrThrow(yield* webhooks.report(held, delivery("good"), delivered))
        assert.deepInclude(stored, {
          cursor: cursor(3),
          failing_since: null,
          consecutive_failures: 0,
          next_attempt_at: null
        })
        assert.isTrue(yield* webhooks.moveTo(held, cursor(7)))
        assert.strictEqual(Option.getOrThrow(yield* webhooks.find(id)).cursor, cursor(7))
        assert.deepStrictEqual(yield* webhooks.deliveries(id, 10), [
          delivery("good"),
          delivery("bad", { outcome: "failed", status: 500, error: "answered 500" })
        ])
      })
    )

    scenario(
      "counts failures, and whoever goes on keeps to the pause",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        yield* webhooks.insert(webhook(id))
        const { lease: held } = yield* taken
        const first = Option.getOrThrow(yield* webhooks.report(held, delivery("1", { outcome: "failed" }), failed))
        assert.strictEqual(first.consecutive_failures, 1)
        assert.isNotNull(first.failing_since)
        yield* passTime(Duration.seconds(2))
        const second = Option.getOrThrow(yield* webhooks.report(held, delivery("2", { outcome: "failed" }), failed))
        assert.strictEqual(second.consecutive_failures, 2)
        assert.strictEqual(second.cursor, cursor(0))
        yield* webhooks.release([held])
        yield* passTime(Duration.seconds(1))
        const { pause } = yield* taken
        assert.isTrue(Duration.between(pause, { minimum: Duration.zero, maximum: Duration.seconds(4) }))
        assert.isTrue(Duration.isGreaterThan(pause, Duration.zero))
      })
    )

    scenario(
      "disables what has failed for too long, and no sooner",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        yield* webhooks.insert(webhook(id))
        const { lease: held } = yield* taken
        const fails = webhooks.report(held, delivery("d", { outcome: "failed" }), failed)
        yield* fails
        yield* passTime(Duration.hours(71))
        assert.strictEqual(Option.getOrThrow(yield* fails).status, "active")
        yield* passTime(Duration.hours(2))
        const disabled = Option.getOrThrow(yield* fails)
        assert.strictEqual(disabled.status, "disabled")
        assert.strictEqual(disabled.status_reason, "every delivery failed for 3d")
        assert.isNull(disabled.next_attempt_at)
        assert.isTrue(Option.isNone(yield* fails), "nobody works on it any more")
        assert.deepStrictEqual(yield* webhooks.renew({ leases: [held], lease }), [])
        assert.deepStrictEqual(yield* webhooks.take({ lease, limit: 10 }), [])
      })
    )

    scenario(
      "goes on behind its cursor when it is enabled, without the one who had it",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        yield* webhooks.insert(webhook(id))
        const { lease: held } = yield* taken
        yield* webhooks.moveTo(held, cursor(4))
        const gone = { _tag: "Disabled", reason: "the receiver answered 410: gone" } as const
        const disabled = Option.getOrThrow(yield* webhooks.report(held, delivery("d", { outcome: "failed" }), gone))
        assert.deepInclude(disabled, { status: "disabled", status_reason: gone.reason })
        const enabled = Option.getOrThrow(yield* webhooks.enable(id))
        assert.deepInclude(enabled, { status: "active", status_reason: null, cursor: cursor(4), failing_since: null })
        const again = yield* taken
        assert.strictEqual(Duration.toMillis(again.pause), 0)
        yield* webhooks.report(again.lease, delivery("e", { outcome: "failed" }), failed)
        assert.strictEqual(Option.getOrThrow(yield* webhooks.enable(id)).consecutive_failures, 0)
        assert.isFalse(yield* webhooks.moveTo(again.lease, cursor(9)))
        assert.strictEqual(Duration.toMillis((yield* taken).pause), 0)
      })
    )

    scenario(
      "keeps the last deliveries of each webhook",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        yield* webhooks.insert(webhook(id))
        yield* webhooks.insert(webhook(other))
        yield* webhooks.record(other, delivery("theirs"))
        for (let n = 0; n < kept + 5; n++) yield* webhooks.record(id, delivery(`d-${n}`))
        const all = yield* webhooks.deliveries(id, kept + 10)
        assert.strictEqual(all.length, kept)
        assert.strictEqual(all[0]?.id, `d-${kept + 4}`)
        assert.strictEqual(all.at(-1)?.id, "d-5")
        assert.strictEqual((yield* webhooks.deliveries(id, 3)).length, 3)
        assert.deepStrictEqual(
          (yield* webhooks.deliveries(other, 10)).map(({ id }) => id),
          ["theirs"]
        )
        assert.isTrue(yield* webhooks.remove(id))
        yield* webhooks.insert(webhook(id))
        assert.deepStrictEqual(yield* webhooks.deliveries(id, 10), [])
      })
    )

    scenario(
      "does not bring back what was removed while somebody worked on it",
      Effect.gen(function* () {
        const webhooks = yield* WebhookStore
        yield* webhooks.insert(webhook(id))
        const { lease: held } = yield* taken
        yield* webhooks.remove(id)
        yield* webhooks.insert(webhook(id))
        assert.isTrue(Option.isNone(yield* webhooks.report(held, delivery("d"), failed)))
        const next = yield* taken
        assert.isTrue(Option.isNone(yield* webhooks.report(held, delivery("d"), failed)), "another webhook of that id")
        assert.isTrue(yield* webhooks.moveTo(next.lease, cursor(2)))
      })
    )
  })
