/** The typed client against a real server: what goes out comes back, and every problem by its name. */
import { createServer } from "node:http"
import { assert, describe, it, layer } from "@effect/vitest"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { JobId } from "@muster/core/job/Job"
import { StorageError } from "@muster/core/job/JobErrors"
import { WorkerId } from "@muster/core/worker/Worker"
import * as MusterClient from "@muster/http-server/client/MusterClient"
import { JobKnown, JobStored } from "@muster/http-server/contract/JobsApi"
import { DateTime, Effect, Fiber, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { registration, server, serverOn, stores, TestServer } from "./TestServer.ts"

const connect = (token?: string) =>
  Effect.gen(function* () {
    const { url } = yield* TestServer
    return yield* MusterClient.make({ baseUrl: url, token: token === undefined ? undefined : Redacted.make(token) })
  }).pipe(Effect.provide(FetchHttpClient.layer))

const anId = WorkerId.make
const aWorker = (id: string) => ({ ...registration(id), id: anId(id) })
const service_required = "simulation"

layer(server())("the client", (it) => {
  it.effect("speaks of workers", () =>
    Effect.gen(function* () {
      const { workers } = yield* connect()
      const id = anId("spoken")
      const params = { id }
      const { worker } = yield* workers.register({ payload: aWorker("spoken") })
      assert.strictEqual(worker.status, "pending")
      assert.isTrue(DateTime.isDateTime(worker.registered_at))
      yield* workers.heartbeat({ params })
      assert.strictEqual((yield* workers.heartbeats({ params, query: {} })).heartbeats.length, 1)
      assert.strictEqual((yield* workers.setStatus({ params, payload: { status: "active" } })).worker.status, "active")
      const { capabilities, capacity } = registration("spoken")
      const update = { capabilities, capacity, region: "us", instance_id: "one" }
      assert.strictEqual((yield* workers.update({ params, payload: update })).worker.region, "us")
      assert.isNotNull((yield* workers.get({ params })).worker.last_heartbeat_at)
      const page = yield* workers.list({ query: { status: "active", limit: 5 } })
      assert.deepStrictEqual(
        page.workers.map((worker) => worker.id),
        [id]
      )
      yield* workers.unregister({ params })
      assert.deepStrictEqual((yield* workers.list({ query: {} })).workers, [])
    })
  )

  it.effect("speaks of jobs", () =>
    Effect.gen(function* () {
      const { jobs } = yield* connect()
      const id = JobId.make("job")
      const payload = { id, service_required, payload: { a: [1, null] }, run_at: DateTime.makeUnsafe("2999-01-01") }
      const stored = yield* jobs.submit({ payload })
      assert.instanceOf(stored, JobStored)
      assert.deepStrictEqual(stored.job.payload, { a: [1, null] })
      assert.strictEqual(stored.job.status, "scheduled")
      assert.instanceOf(yield* jobs.submit({ payload }), JobKnown)
      assert.strictEqual(
        (yield* jobs.get({ params: { id }, query: {} })).job.run_at?.epochMilliseconds,
        payload.run_at.epochMilliseconds
      )
      assert.strictEqual((yield* jobs.list({ query: {} })).jobs.length, 1)
      assert.strictEqual((yield* jobs.cancel({ params: { id } })).job.status, "cancelled")
      const other = { service_required, run_at: payload.run_at }
      const { ids } = yield* jobs.submitMany({ payload: { jobs: [payload, other] } })
      assert.strictEqual(ids[0], id)
      assert.strictEqual(ids.length, 2)
      const twice = yield* Effect.flip(jobs.submitMany({ payload: { jobs: [payload, payload] } }))
      assert.strictEqual(twice._tag, "InvalidRequest")
      const refused = yield* Effect.flip(jobs.retry({ params: { id } }))
      assert.strictEqual(refused._tag, "InvalidStateTransition")
      assert.deepStrictEqual(yield* jobs.retryFailed({ payload: { filter: { error_kind: "Lost" } } }), { count: 0 })
    })
  )

  it.effect("speaks of the system", () =>
    Effect.gen(function* () {
      const { system } = yield* connect()
      assert.deepStrictEqual(yield* system.health(), { status: "ok" })
      assert.isTrue((yield* system.ready()).ready)
    })
  )

  it.effect("knows every refusal by its name", () =>
    Effect.gen(function* () {
      const { jobs, workers } = yield* connect()
      const tagOf = <E extends { readonly _tag: string }>(self: Effect.Effect<unknown, E>) =>
        Effect.map(Effect.flip(self), (error) => error._tag)
      const unknown = { id: anId("unknown") }
      const params = { id: anId("w") }
      const { capabilities, capacity, region } = registration("w")
      const twice = { capabilities: { job_types: ["a", "a"] }, capacity, region }

      yield* workers.register({ payload: { ...aWorker("w"), instance_id: "one" } })
      yield* workers.heartbeat({ params })
      yield* workers.setStatus({ params, payload: { status: "active" } })
      const id = JobId.make("j")
      yield* jobs.submit({ payload: { id, service_required } })

      assert.strictEqual(yield* tagOf(workers.register({ payload: aWorker("w") })), "WorkerAlreadyExists")
      assert.strictEqual(yield* tagOf(workers.get({ params: unknown })), "WorkerNotFound")
      assert.strictEqual(
        yield* tagOf(workers.register({ payload: { ...aWorker("new"), ...twice } })),
        "InvalidConfiguration"
      )
      assert.strictEqual(
        yield* tagOf(workers.setStatus({ params, payload: { status: "pending" } })),
        "InvalidStateTransition"
      )
      assert.strictEqual(yield* tagOf(jobs.get({ params: { id: JobId.make("unknown") }, query: {} })), "JobNotFound")
      assert.strictEqual(yield* tagOf(jobs.submit({ payload: { id, service_required: "other" } })), "JobAlreadyExists")
      assert.strictEqual(
        yield* tagOf(jobs.submit({ payload: { service_required: "rare", if_unmatchable: "reject" } })),
        "NotMatchable"
      )
      assert.strictEqual(yield* tagOf(jobs.list({ query: { cursor: "nonsense" } })), "InvalidCursor")
      assert.strictEqual(
        yield* tagOf(jobs.submit({ payload: { service_required, payload: "x".repeat(2_000_000) } })),
        "PayloadTooLarge"
      )

      const twin = yield* Effect.flip(
        workers.update({ params, payload: { capabilities, capacity, region, instance_id: "two" } })
      )
      if (twin._tag !== "LiveTwin") return assert.fail(twin._tag)
      assert.strictEqual(twin.instance_id, "one")
      assert.isTrue(DateTime.isDateTime(twin.last_heartbeat_at))
      assert.include(twin.message, "is alive as instance one")

      const taken = yield* workers.register({ payload: aWorker("w") }).pipe(
        Effect.as("registered"),
        Effect.catchTag("WorkerAlreadyExists", ({ id }) => Effect.succeed(`${id} was there`))
      )
      assert.strictEqual(taken, "w was there")
    })
  )

  it.effect("does not send what the contract forbids", () =>
    Effect.gen(function* () {
      const { jobs } = yield* connect()
      const error = yield* Effect.flip(jobs.submit({ payload: { service_required: "a b", priority: 101 } }))
      assert.strictEqual(error._tag, "SchemaError")
      assert.include(error.message, "priority")
      assert.include(error.message, "service_required")
    })
  )
})

layer(server({ token: Redacted.make("secret") }))("the client of a server with a token", (it) => {
  it.effect("presents it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* (yield* connect("secret")).workers.list({ query: {} })).workers, [])
      for (const token of [undefined, "wrong"]) {
        const error = yield* Effect.flip((yield* connect(token)).workers.list({ query: {} }))
        assert.strictEqual(error._tag, "Unauthenticated")
      }
      assert.isTrue((yield* (yield* connect()).system.ready()).ready)
    })
  )
})

const unavailable = Effect.fail(
  new StorageError({ operation: "JobQueue.get", detail: "Redis is away", unavailable: true, cause: new Error("gone") })
)
const withoutQueue = Layer.merge(
  stores,
  Layer.mock(JobQueue, {
    get: () => unavailable,
    ping: unavailable,
    counts: unavailable,
    classes: () => unavailable
  })
)

layer(serverOn(withoutQueue))("the client of a server whose queue is away", (it) => {
  it.effect("learns when to ask again", () =>
    Effect.gen(function* () {
      const { jobs, system } = yield* connect()
      const error = yield* Effect.flip(jobs.get({ params: { id: JobId.make("j") }, query: {} }))
      if (error._tag !== "StoreUnavailable") return assert.fail(error._tag)
      assert.isAbove(error.retry_after_s, 0)
      const ready = yield* system.ready()
      assert.isFalse(ready.ready)
      assert.deepStrictEqual(ready.queue, { ok: false, detail: "Redis is away" })
      // Defects of a mock: a method nobody gave it.
      assert.strictEqual((yield* Effect.flip(jobs.list({ query: {} })))._tag, "InternalError")
    })
  )
})

/** Something that listens and is no Muster server. */
const stranger = (answer: (end: (status: number, type: string, body: string) => void) => void) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<{ readonly url: string; readonly close: () => void }>((resolve) => {
          const other = createServer((_, response) =>
            answer((status, type, body) => response.writeHead(status, { "content-type": type }).end(body))
          )
          other.listen(0, "127.0.0.1", () => {
            const address = other.address()
            const port = typeof address === "object" ? address?.port : undefined
            resolve({
              url: `http://127.0.0.1:${port}`,
              close: () => {
                other.closeAllConnections()
                other.close()
              }
            })
          })
        })
    ),
    ({ close }) => Effect.sync(close)
  )

describe("the client of no server", () => {
  const clientOf = (baseUrl: string) => Effect.provide(MusterClient.make({ baseUrl }), FetchHttpClient.layer)

  it.effect("says which address does not answer", () =>
    Effect.gen(function* () {
      const { close, url } = yield* stranger(() => undefined)
      close()
      const error = yield* Effect.flip((yield* clientOf(url)).workers.list({ query: {} }))
      if (error._tag !== "ServerUnreachable") return assert.fail(error._tag)
      assert.strictEqual(error.url, url)
      assert.include(error.message, "ECONNREFUSED")
    })
  )

  it.effect("says when no answer comes in time", () =>
    Effect.gen(function* () {
      const { url } = yield* stranger(() => undefined)
      const { workers } = yield* clientOf(url)
      const fiber = yield* Effect.forkChild(Effect.flip(workers.list({ query: {} })), { startImmediately: true })
      yield* TestClock.adjust("30 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "ServerUnreachable")
    })
  )

  it.effect("says when something else answers", () =>
    Effect.gen(function* () {
      const answers = [
        [200, "text/html", "<html>hello</html>"],
        [200, "application/json", '{"workers":[{"id":1}]}'],
        [404, "text/html", "not here"],
        [502, "text/html", "bad gateway"],
        [409, "application/problem+json", '{"type":"about:blank","status":409}']
      ] as const
      for (const [status, type, body] of answers) {
        const { url } = yield* stranger((end) => end(status, type, body))
        const error = yield* Effect.flip((yield* clientOf(`${url}/`)).workers.list({ query: {} }))
        assert.oneOf(error._tag, ["HttpClientError", "SchemaError"], `${status} ${body}`)
      }
    })
  )
})
