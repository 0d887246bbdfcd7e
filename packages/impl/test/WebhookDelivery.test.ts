/** Webhooks delivered to real servers that misbehave. */
import { assert, describe, it } from "@effect/vitest"
import type { NewEvent } from "@muster/core/event/Event"
import * as EventFeed from "@muster/core/event/EventFeed"
import { make as makeCursor } from "@muster/core/event/EventCursor"
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
import * as WebhookUseCases from "@muster/core/webhook/WebhookUseCases"
import * as HttpWebhookTarget from "@muster/impl/HttpWebhookTarget"
import { Context, DateTime, Duration, Effect, Exit, Layer, Redacted, Schedule, Scope } from "effect"
import { assertInOrder, eventsOf, hangs, isSigned, ok, receiver, status, until } from "./webhookReceiver.ts"

const settings = (over: Partial<WebhookSettings> = {}) =>
  Layer.effect(
    WebhookSettings,
    Effect.map(WebhookSettings, (defaults) => ({
      ...defaults,
      allowPrivate: ["127.0.0.0/8"],
      // What hangs is seen in tests that say so; elsewhere an answer may take its time.
      timeout: Duration.seconds(60),
      firstPause: Duration.millis(10),
      longestPause: Duration.millis(40),
      interval: Duration.millis(30),
      ...over
    }))
  )

const stores = (over: Partial<WebhookSettings> = {}) =>
  Layer.mergeAll(
    EventFeed.layer.pipe(Layer.provideMerge(Layer.merge(MemoryJobQueue.layer, JobArchive.layerNone))),
    MemoryWebhookStore.layer,
    HttpWebhookTarget.layer
  ).pipe(Layer.provideMerge(settings(over)))

/** A store that can be away. */
class Outage extends Context.Service<Outage, { away: boolean; refused: number }>()("test/Outage") {}

const unreliable = Layer.effectContext(
  Effect.gen(function* () {
    const store = yield* WebhookStore
    const outage = { away: false, refused: 0 }
    const failure = Effect.suspend(() => {
      outage.refused++
      return new RepositoryError({ operation: "test", detail: "is away", unavailable: true, cause: "test" })
    })
    const through =
      <Args extends ReadonlyArray<any>, A, E, R>(method: (...args: Args) => Effect.Effect<A, E, R>) =>
      (...args: Args): Effect.Effect<A, E | RepositoryError, R> =>
        Effect.suspend((): Effect.Effect<A, E | RepositoryError, R> => (outage.away ? failure : method(...args)))
    const { moveTo, renew, report, take } = store
    const wrapped = {
      ...store,
      moveTo: through(moveTo),
      renew: through(renew),
      report: through(report),
      take: through(take)
    }
    return Context.make(WebhookStore, wrapped).pipe(Context.add(Outage, outage))
  })
).pipe(Layer.provideMerge(stores()))

/** A server's deliverer, until `stop`. */
const server = Effect.gen(function* () {
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  yield* Scope.provide(WebhookDeliverer.start, scope)
  return { stop: Scope.close(scope, Exit.void) }
})

/** Adds an event for each of these jobs to the log, each in a step of its own. */
const happen = (() => {
  let number = 0
  return (jobs: ReadonlyArray<string>, over: Partial<NewEvent> = {}) =>
    Effect.gen(function* () {
      const log = yield* EventLog
      for (const job of jobs) {
        const event: NewEvent = {
          at: DateTime.makeUnsafe(Date.now()),
          type: "job.completed",
          job_id: JobId.make(job),
          status: "completed",
          ...over
        }
        yield* log.append({ source: "test", number: ++number, events: [event] })
      }
    })
})()

const jobs = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => `job-${from + n}`)

const register = (id: string, url: string, over: Partial<WebhookRegistration> = {}) =>
  WebhookUseCases.registerWebhook({ id: WebhookId.make(id), url, ...over })

const webhook = (id: string) => WebhookQueries.getWebhook(WebhookId.make(id))
const deliveries = (id: string) => WebhookQueries.getDeliveries(WebhookId.make(id), 100)

const eventually = <A, E, R>(what: string, look: Effect.Effect<A, E, R>, holds: (a: A) => boolean) =>
  look.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOrElse({ duration: "60 seconds", orElse: () => Effect.die(new Error(`${what}: not within 60 s`)) })
  )

type Services = Layer.Success<ReturnType<typeof stores>>

const live = <E, R = never>(
  name: string,
  test: Effect.Effect<void, E, Services | R | Scope.Scope>,
  layer: Layer.Layer<Services | R> = stores() as Layer.Layer<Services | R>
) => it.live(name, () => Effect.provide(Effect.scoped(test), layer))

describe("delivering webhooks", () => {
  live(
    "sends what happens after the registration, in order, signed, and what is wanted alone",
    Effect.gen(function* () {
      const target = yield* receiver(ok)
      yield* happen(["before"])
      const { secret } = yield* register("hook", target.url, { filter: { types: ["job.completed", "job.failed"] } })
      yield* happen(["a"])
      yield* happen(["unwanted"], { type: "job.started" })
      yield* server
      yield* happen(["b"], { type: "job.failed" })
      yield* until("all events", () => eventsOf(target).length >= 2)
      assertInOrder(eventsOf(target), ["a", "b"])
      for (const request of target.received) {
        assert.isTrue(isSigned(request, Redacted.value(secret)))
        assert.isFalse(isSigned({ ...request, body: `${request.body} ` }, Redacted.value(secret)))
        assert.isFalse(isSigned(request, "another-secret-of-mine"))
        assert.strictEqual(request.headers["muster-event"], "events")
        assert.strictEqual(request.headers["muster-delivery"], request.json.delivery_id)
        assert.strictEqual(request.headers["content-type"], "application/json")
        assert.match(String(request.headers["user-agent"]), /^Muster/)
        assert.deepInclude(request.json, { webhook_id: "hook", type: "events" })
      }
      assert.match(eventsOf(target)[0].at, /^\d{4}-.*Z$/)
      assert.isString(eventsOf(target)[0].cursor)
    })
  )

  live(
    "sends progress to who asks for it by its type alone",
    Effect.gen(function* () {
      const [all, asking] = [yield* receiver(ok), yield* receiver(ok)]
      yield* register("all", all.url)
      yield* register("asking", asking.url, { filter: { types: ["job.progress"] } })
      yield* server
      yield* happen(["p"], { type: "job.progress", status: "processing", progress: { percent: 5 } })
      yield* happen(["end"])
      yield* until("both", () => eventsOf(all).length + eventsOf(asking).length === 2)
      assertInOrder(eventsOf(all), ["end"])
      assertInOrder(eventsOf(asking), ["p"])
    })
  )

  live(
    "sends many events in few requests, and none twice",
    Effect.gen(function* () {
      const target = yield* receiver(ok)
      yield* register("hook", target.url)
      yield* happen(jobs(1, 450))
      yield* server
      yield* until("all events", () => eventsOf(target).length >= 450)
      assertInOrder(eventsOf(target), jobs(1, 450))
      for (const { json } of target.received) assert.isAtMost(json.events.length, 100)
      assert.isBelow(target.received.length, 60)
    })
  )

  live(
    "tries again until the receiver has it, in the same words, whatever went wrong",
    Effect.gen(function* () {
      const target = yield* receiver((response, nth) => {
        if (nth === 1) return status(500)(response, nth)
        if (nth === 2) return response.socket?.destroy()
        if (nth === 3) return hangs(response, nth)
        if (nth === 4) return status(302, { location: "http://127.0.0.1:1/" })(response, nth)
        if (nth === 5) return response.socket?.end("this is no HTTP\r\n\r\n")
        return ok(response, nth)
      })
      yield* register("hook", target.url)
      yield* happen(["a", "b"])
      yield* server
      yield* until("delivered", () => target.received.length >= 6)
      yield* happen(["c"])
      yield* until("what follows", () => target.received.length >= 7)
      assert.deepStrictEqual(
        target.received.map(({ json }) => json.events.map((event: any) => event.job_id)),
        [...Array.from({ length: 6 }, () => ["a", "b"]), ["c"]]
      )
      assert.strictEqual(new Set(target.received.slice(0, 6).map(({ body }) => body)).size, 1)
      const list = yield* eventually("recorded", deliveries("hook"), (list) => list.length === 7)
      assert.deepStrictEqual(
        list.toReversed().map(({ attempt, error, outcome, status }) => [attempt, outcome, status, error]),
        [
          [1, "failed", 500, "answered 500"],
          [2, "failed", null, "the connection was cut"],
          [3, "failed", null, "no answer within 2s"],
          [4, "failed", 302, "answered 302; redirects are not followed: register the final URL"],
          [5, "failed", null, "the request failed (HPE_INVALID_CONSTANT)"],
          [6, "delivered", 204, null],
          [1, "delivered", 204, null]
        ]
      )
      assert.deepInclude(yield* webhook("hook"), { consecutive_failures: 0, failing_since: null })
    }),
    stores({ timeout: Duration.seconds(2) })
  )

  live(
    "does not read what receivers say, however much or slowly they say it",
    Effect.gen(function* () {
      const [huge, slow] = [
        yield* receiver((response) => {
          response.writeHead(200)
          const more = (): void => {
            while (!response.destroyed && response.write(Buffer.alloc(1024 * 1024)));
            if (!response.destroyed) response.once("drain", more)
          }
          more()
        }),
        yield* receiver((response) => response.writeHead(200).write("and then …"))
      ]
      yield* register("huge", huge.url)
      yield* register("slow", slow.url)
      yield* server
      for (const job of jobs(1, 3)) {
        yield* happen([job])
        yield* until(job, () => [huge, slow].every((target) => eventsOf(target).at(-1)?.job_id === job))
      }
      for (const target of [huge, slow]) assertInOrder(eventsOf(target), jobs(1, 3))
    })
  )

  live(
    "keeps nobody waiting for a receiver that hangs",
    Effect.gen(function* () {
      const [dead, alive] = [yield* receiver(hangs), yield* receiver(ok)]
      for (let n = 0; n < 20; n++) yield* register(`dead-${n}`, dead.url)
      yield* register("alive", alive.url)
      yield* server
      yield* happen(["a"])
      yield* until("the others", () => eventsOf(alive).length === 1)
      yield* happen(["b"])
      yield* until("the others again", () => eventsOf(alive).length === 2)
      assertInOrder(eventsOf(alive), ["a", "b"])
    })
  )

  live(
    "waits as long as it is asked to",
    Effect.gen(function* () {
      const target = yield* receiver((response, nth) =>
        (nth === 1 ? status(429, { "retry-after": "1" }) : ok)(response, nth)
      )
      yield* register("hook", target.url)
      yield* happen(["a"])
      yield* server
      yield* until("the second try", () => target.received.length === 2)
      const [first, second] = target.received
      assert.isAtLeast(second!.at - first!.at, 990)
    })
  )

  live(
    "stops at 410, and goes on behind the same event when it is enabled",
    Effect.gen(function* () {
      const target = yield* receiver(status(410))
      yield* register("hook", target.url)
      yield* happen(["a"])
      yield* server
      const gone = yield* eventually("disabled", webhook("hook"), ({ status }) => status === "disabled")
      assert.strictEqual(gone.status_reason, "the receiver answered 410: gone")
      yield* happen(["b"])
      target.behaviour = ok
      assert.strictEqual(target.received.length, 1)
      const enabled = yield* WebhookUseCases.enableWebhook(WebhookId.make("hook"))
      assert.deepInclude(enabled, { status: "active", status_reason: null })
      yield* until("both", () => eventsOf(target).length >= 3)
      assertInOrder(eventsOf(target), ["a", "a", "b"])
    })
  )

  live(
    "gives up what has failed for too long",
    Effect.gen(function* () {
      const target = yield* receiver(status(503))
      yield* register("hook", target.url)
      yield* happen(["a"])
      yield* server
      const given = yield* eventually("disabled", webhook("hook"), ({ status }) => status === "disabled")
      assert.strictEqual(given.status_reason, "every delivery failed for 200ms")
      assert.isAbove(target.received.length, 1)
      const tries = target.received.length
      const other = yield* receiver(ok)
      yield* register("other", other.url)
      yield* happen(["b"])
      yield* until("others", () => eventsOf(other).length === 1)
      assert.strictEqual(target.received.length, tries)
    }),
    stores({ disableAfter: Duration.millis(200) })
  )

  live(
    "goes on after a restart, with no gap and nothing twice",
    Effect.gen(function* () {
      const target = yield* receiver(ok)
      yield* register("hook", target.url)
      const first = yield* server
      yield* happen(jobs(1, 5))
      yield* until("the first", () => eventsOf(target).length === 5)
      yield* eventually("recorded", deliveries("hook"), (list) => list.reduce((n, { events }) => n + events, 0) === 5)
      yield* first.stop
      yield* happen(jobs(6, 10))
      yield* server
      yield* until("the rest", () => eventsOf(target).length >= 10)
      assertInOrder(eventsOf(target), jobs(1, 10))
    })
  )

  live(
    "sends nothing twice when the store is away after a delivery, and goes on when it is back",
    Effect.gen(function* () {
      const target = yield* receiver(ok)
      const outage = yield* Outage
      yield* register("hook", target.url)
      yield* server
      yield* happen(["a"])
      yield* until("the first", () => eventsOf(target).length === 1)
      outage.away = true
      yield* happen(["b", "c"])
      // The one that was on its way may still arrive; what follows waits for the store.
      yield* until("asked again and again", () => outage.refused > 3)
      const sent = target.received.length
      yield* until("asked again and again", () => outage.refused > 8)
      assert.strictEqual(target.received.length, sent)
      outage.away = false
      yield* until("the rest", () => eventsOf(target).length >= 3)
      assertInOrder(eventsOf(target), ["a", "b", "c"])
    }),
    unreliable
  )

  live(
    "sends again what it has no answer for",
    Effect.gen(function* () {
      const target = yield* receiver(hangs)
      yield* register("hook", target.url)
      yield* happen(["a"])
      const first = yield* server
      yield* until("the request", () => target.received.length === 1)
      yield* first.stop
      target.behaviour = ok
      yield* happen(["b"])
      yield* server
      yield* until("both", () => eventsOf(target).length >= 3)
      assertInOrder(eventsOf(target), ["a", "a", "b"])
    })
  )

  live(
    "is delivered once by two servers",
    Effect.gen(function* () {
      const targets = yield* Effect.forEach(jobs(1, 6), () => receiver(ok))
      yield* Effect.forEach(targets, ({ url }, n) => register(`hook-${n}`, url))
      yield* server
      yield* server
      for (let n = 1; n <= 20; n++) yield* happen(jobs(n * 10, n * 10 + 9))
      yield* until("all", () => targets.every((target) => eventsOf(target).length >= 200))
      for (const target of targets) assertInOrder(eventsOf(target), jobs(10, 209))
    })
  )

  live(
    "says that events were lost, and goes on",
    Effect.gen(function* () {
      const target = yield* receiver(ok)
      const store = yield* WebhookStore
      const lost_after = makeCursor({ log: "another", ms: 1, seq: 0, index: 0 })
      yield* store.insert({
        id: WebhookId.make("hook"),
        url: target.url,
        filter: {},
        description: null,
        cursor: lost_after,
        secret: Redacted.make("a-secret-of-my-own")
      })
      yield* server
      yield* until("the reset", () => target.received.length === 1)
      yield* happen(["kept"])
      yield* until("what follows", () => target.received.length === 2)
      const [reset, next] = target.received
      assert.isTrue(reset !== undefined && isSigned(reset, "a-secret-of-my-own"))
      assert.strictEqual(reset?.headers["muster-event"], "webhook.reset")
      assert.deepInclude(reset?.json, { type: "webhook.reset", events: [] })
      assert.strictEqual(reset?.json.reset.lost_after, lost_after)
      assert.isString(reset?.json.reset.goes_on_after)
      assertInOrder(next?.json.events, ["kept"])
      const [, first] = yield* eventually("recorded", deliveries("hook"), (list) => list.length === 2)
      assert.deepInclude(first, { notice: "webhook.reset", events: 0, outcome: "delivered" })
    })
  )

  live(
    "stops when the webhook is removed, or is a new one of that id",
    Effect.gen(function* () {
      const [old, other] = [yield* receiver(status(500)), yield* receiver(ok)]
      yield* register("hook", old.url)
      yield* happen(["a"])
      yield* server
      yield* until("a try", () => old.received.length > 0)
      yield* WebhookUseCases.removeWebhook(WebhookId.make("hook"))
      yield* register("hook", other.url)
      yield* happen(["b"])
      yield* until("the new one", () => eventsOf(other).length === 1)
      assertInOrder(eventsOf(other), ["b"])
      const tries = old.received.length
      for (const job of jobs(1, 20)) {
        yield* happen([job])
        yield* until(job, () => eventsOf(other).at(-1)?.job_id === job)
      }
      assert.strictEqual(old.received.length, tries)
    })
  )

  live(
    "does not reach what it must not, at registration and at delivery",
    Effect.gen(function* () {
      const target = yield* receiver(ok)
      const refusal = yield* Effect.flip(register("direct", target.url))
      assert.deepInclude(refusal, { _tag: "InvalidConfiguration", path: "url" })
      const { port } = new URL(target.url)
      yield* register("rebinding", `http://rebinding.example:${port}/`)
      yield* happen(["a"])
      yield* server
      const [delivery] = yield* eventually("a try", deliveries("rebinding"), (list) => list.length > 0)
      assert.match(String(delivery?.error), /^rebinding.example is, or leads to, an address that must not be reached/)
      assert.strictEqual(target.received.length, 0)
    }),
    Layer.fresh(
      Layer.mergeAll(
        EventFeed.layer.pipe(Layer.provideMerge(Layer.merge(MemoryJobQueue.layer, JobArchive.layerNone))),
        MemoryWebhookStore.layer,
        HttpWebhookTarget.layerWith({
          // Public when it is looked at, loopback ever after.
          lookup: (() => {
            let asked = 0
            return (_host, _options, done) =>
              done(null, [{ address: asked++ === 0 ? "93.184.215.14" : "127.0.0.1", family: 4 }])
          })()
        })
      ).pipe(Layer.provideMerge(settings({ allowPrivate: false })))
    )
  )

  live(
    "tries a webhook out, and says what came back",
    Effect.gen(function* () {
      const target = yield* receiver(status(418))
      const { secret } = yield* register("hook", target.url, { secret: "a-secret-of-my-own" })
      assert.strictEqual(Redacted.value(secret), "a-secret-of-my-own")
      const delivery = yield* WebhookUseCases.testWebhook(WebhookId.make("hook"))
      assert.deepInclude(delivery, { notice: "webhook.test", outcome: "failed", status: 418, error: "answered 418" })
      const [request] = target.received
      assert.deepInclude(request?.json, { webhook_id: "hook", type: "webhook.test", events: [] })
      assert.isTrue(request !== undefined && isSigned(request, "a-secret-of-my-own"))
      assert.deepStrictEqual(yield* deliveries("hook"), [delivery])
      assert.deepInclude(yield* webhook("hook"), { consecutive_failures: 0, status: "active" })
    })
  )
})
