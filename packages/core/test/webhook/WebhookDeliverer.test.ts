/** What deliverers do as time passes: their own clock is the test's. */
import { assert, describe, it } from "@effect/vitest"
import type { NewEvent } from "@muster/core/event/Event"
import * as EventFeed from "@muster/core/event/EventFeed"
import { EventLog } from "@muster/core/event/internal/EventLog"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { JobId } from "@muster/core/job/Job"
import * as MemoryWebhookStore from "@muster/core/webhook/internal/MemoryWebhookStore"
import { WebhookStore } from "@muster/core/webhook/internal/WebhookStore"
import { RepositoryError } from "@muster/core/worker/WorkerErrors"
import { WebhookId, type WebhookRegistration } from "@muster/core/webhook/Webhook"
import * as WebhookDeliverer from "@muster/core/webhook/WebhookDeliverer"
import * as WebhookQueries from "@muster/core/webhook/WebhookQueries"
import { WebhookSettings } from "@muster/core/webhook/WebhookSettings"
import { type TargetAnswer, WebhookTarget } from "@muster/core/webhook/WebhookTarget"
import * as WebhookUseCases from "@muster/core/webhook/WebhookUseCases"
import { Clock, Context, DateTime, Duration, Effect, Layer, type Scope } from "effect"
import { TestClock } from "effect/testing"

/** What receivers answer, and when they were asked, in ms. */
class Receiver extends Context.Service<
  Receiver,
  { answer: Effect.Effect<TargetAnswer>; readonly times: Array<number> }
>()("test/Receiver") {}

const ok = Effect.succeed<TargetAnswer>({ status: 200, retryAfter: null })
const failing = (retryAfter: Duration.Duration | null = null) => Effect.succeed({ status: 503, retryAfter })

const services = Layer.mergeAll(
  EventFeed.layer.pipe(Layer.provideMerge(Layer.merge(MemoryJobQueue.layer, JobArchive.layerNone))),
  MemoryWebhookStore.layer,
  Layer.effectContext(
    Effect.sync(() => {
      const receiver: Receiver["Service"] = { answer: ok, times: [] }
      const post = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        receiver.times.push(now)
        return receiver.answer
      })
      return Context.make(Receiver, receiver).pipe(
        Context.add(WebhookTarget, { check: () => Effect.void, post: () => post })
      )
    })
  )
)

const id = WebhookId.make("hook")

const register = (over: Partial<WebhookRegistration> = {}) =>
  WebhookUseCases.registerWebhook({ id, url: "https://example.com/", ...over })

const happen = Effect.fnUntraced(function* (job: string, number: number, over: Partial<NewEvent> = {}) {
  const log = yield* EventLog
  const at = yield* DateTime.now
  const event: NewEvent = { at, type: "job.completed", job_id: JobId.make(job), status: "completed", ...over }
  yield* log.append({ source: "test", number, events: [event] })
})

/** Signing is real work on real time: looks again, while the clock of the test stands still, until it holds. */
const until = <A, E, R>(look: Effect.Effect<A, E, R>, holds: (a: A) => boolean) =>
  look.pipe(
    Effect.tap(Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))),
    Effect.repeat({ until: holds, times: 100_000 })
  )

const hook = WebhookQueries.getWebhook(id)

const pass = TestClock.adjust

/** Waits for a failure, the `n`th in a row, and lets the pause after it pass; answers how long that is, in ms. */
const passPause = Effect.fnUntraced(function* (n: number) {
  const { next_attempt_at } = yield* until(hook, ({ consecutive_failures }) => consecutive_failures === n)
  if (next_attempt_at === null) return 0
  const pause = DateTime.toEpochMillis(next_attempt_at) - (yield* Clock.currentTimeMillis)
  yield* pass(pause)
  return pause
})

const test = <E>(name: string, body: Effect.Effect<void, E, Layer.Success<typeof services> | Scope.Scope>) =>
  it.effect(name, () => Effect.provide(Effect.scoped(body), services))

describe("delivering webhooks as time passes", () => {
  test(
    "pauses longer after each failure, up to five minutes",
    Effect.gen(function* () {
      const receiver = yield* Receiver
      receiver.answer = failing()
      yield* register()
      yield* happen("a", 1)
      yield* WebhookDeliverer.start
      for (let n = 1; n <= 14; n++) {
        const longest = Math.min(1_000 * 2 ** (n - 1), 300_000)
        const pause = yield* passPause(n)
        assert.isAtLeast(pause, longest / 2, `pause ${n}`)
        assert.isAtMost(pause, longest, `pause ${n}`)
      }
      receiver.answer = ok
      yield* passPause(15)
      assert.deepInclude(yield* until(hook, ({ consecutive_failures }) => consecutive_failures === 0), {
        failing_since: null,
        next_attempt_at: null
      })
    })
  )

  test(
    "waits as long as a receiver asks, an hour at most",
    Effect.gen(function* () {
      const receiver = yield* Receiver
      receiver.answer = failing(Duration.minutes(30))
      yield* register()
      yield* happen("a", 1)
      yield* WebhookDeliverer.start
      yield* until(hook, ({ consecutive_failures }) => consecutive_failures === 1)
      receiver.answer = failing(Duration.days(3))
      assert.strictEqual(yield* passPause(1), 30 * 60_000)
      assert.strictEqual(yield* passPause(2), 60 * 60_000)
      yield* until(hook, ({ consecutive_failures }) => consecutive_failures === 3)
    })
  )

  test(
    "is disabled after a time of failures without a break, and no sooner",
    Effect.gen(function* () {
      const receiver = yield* Receiver
      receiver.answer = failing(Duration.minutes(59))
      yield* register()
      yield* happen("a", 1)
      yield* WebhookDeliverer.start
      for (let n = 1; n <= 3; n++) assert.strictEqual(yield* passPause(n), 59 * 60_000)
      const failed = yield* until(hook, ({ consecutive_failures }) => consecutive_failures === 4)
      assert.strictEqual(failed.status, "active")
      yield* passPause(4)
      assert.deepInclude(yield* until(hook, ({ consecutive_failures }) => consecutive_failures === 5), {
        status: "disabled",
        status_reason: "every delivery failed for 3h",
        next_attempt_at: null
      })
      yield* pass("2 hours")
      assert.strictEqual(receiver.times.length, 5)
    }).pipe(Effect.updateService(WebhookSettings, (settings) => ({ ...settings, disableAfter: Duration.hours(3) })))
  )

  test(
    "moves past what is not meant, so that the log may forget it",
    Effect.gen(function* () {
      const receiver = yield* Receiver
      const log = yield* EventLog
      const { webhook } = yield* register({ filter: { types: ["job.failed"] } })
      yield* WebhookDeliverer.start
      yield* pass("4 seconds")
      for (let n = 1; n <= 5; n++) yield* happen(`job-${n}`, n)
      yield* pass("4 seconds")
      assert.strictEqual((yield* WebhookQueries.getWebhook(id)).cursor, webhook.cursor)
      yield* pass("20 seconds")
      assert.strictEqual((yield* WebhookQueries.getWebhook(id)).cursor, yield* log.end)
      assert.deepStrictEqual(receiver.times, [])
    })
  )

  test(
    "takes over from a server that fell silent, when its lease has ended",
    Effect.gen(function* () {
      const receiver = yield* Receiver
      const store = yield* WebhookStore
      yield* register()
      yield* happen("a", 1)
      // Another server took it and is never heard of again.
      assert.strictEqual((yield* store.take({ lease: Duration.seconds(15), limit: 1 })).length, 1)
      yield* WebhookDeliverer.start
      yield* pass("14 seconds")
      assert.deepStrictEqual(receiver.times, [])
      yield* pass("4 seconds")
      yield* until(Effect.succeed(receiver.times), ({ length }) => length === 1)
    })
  )

  test(
    "sends nothing while it cannot renew its lease, and leaves the webhook to who took it meanwhile",
    Effect.gen(function* () {
      const receiver = yield* Receiver
      const store = yield* WebhookStore
      const away = new RepositoryError({ operation: "test", detail: "is away", unavailable: true, cause: "test" })
      let state: "there" | "away" | "taken" = "there"
      const switched = WebhookStore.of({
        ...store,
        renew: (request) =>
          Effect.suspend(() =>
            state === "away" ? Effect.fail(away) : state === "taken" ? Effect.succeed([]) : store.renew(request)
          ),
        take: (request) =>
          Effect.suspend(() =>
            state === "away" ? Effect.fail(away) : state === "taken" ? Effect.succeed([]) : store.take(request)
          )
      })
      yield* register()
      yield* Effect.provideService(WebhookDeliverer.start, WebhookStore, switched)
      yield* happen("a", 1)
      yield* pass("4 seconds")
      yield* until(hook, ({ cursor }) => cursor.length > 0)
      yield* until(Effect.succeed(receiver.times), ({ length }) => length === 1)
      state = "away"
      yield* pass("20 seconds")
      yield* happen("b", 2)
      yield* pass("20 seconds")
      assert.strictEqual(receiver.times.length, 1)
      state = "taken"
      yield* pass("20 seconds")
      state = "away"
      yield* happen("c", 3)
      yield* pass("20 seconds")
      assert.strictEqual(receiver.times.length, 1)
    })
  )

  test(
    "gives up an answer that takes too long",
    Effect.gen(function* () {
      const receiver = yield* Receiver
      receiver.answer = Effect.never
      yield* register()
      yield* happen("a", 1)
      yield* WebhookDeliverer.start
      yield* until(Effect.succeed(receiver.times), ({ length }) => length === 1)
      yield* pass("10 seconds")
      const [delivery] = yield* until(WebhookQueries.getDeliveries(id, 1), ({ length }) => length === 1)
      assert.deepInclude(delivery, { outcome: "failed", error: "no answer within 10s", status: null })
    })
  )
})
