/** Stores that fail: what callers learn, what they do not, and what the log keeps. */
import { assert, layer } from "@effect/vitest"
import { EventFeed } from "@muster/core/event/EventFeed"
import { EventLog } from "@muster/core/event/internal/EventLog"
import * as ArchiverState from "@muster/core/job/ArchiverState"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { StorageError } from "@muster/core/job/JobErrors"
import { WebhookStore } from "@muster/core/webhook/internal/WebhookStore"
import { WebhookTarget } from "@muster/core/webhook/WebhookTarget"
import { HeartbeatStore } from "@muster/core/worker/internal/HeartbeatStore"
import { WorkerOutbox } from "@muster/core/worker/internal/WorkerOutbox"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { MassLossBrake } from "@muster/core/worker/MassLossBrake"
import { WorkerId } from "@muster/core/worker/Worker"
import { HeartbeatFailed, RepositoryError } from "@muster/core/worker/WorkerErrors"
import { Cause, Effect, Layer, Logger, Option } from "effect"
import { TestClock } from "effect/testing"
import { expectProblem } from "./problems.ts"
import { ask, registration, serverOn } from "./TestServer.ts"

const secret = "password authentication failed for user muster at db.internal"

const failure = (operation: string, unavailable: boolean) => ({
  operation,
  detail: unavailable ? "PostgreSQL does not answer" : "unexpected failure",
  unavailable,
  cause: new Error(secret)
})

/** What these routes do not fail with. */
const others = Layer.mergeAll(
  MassLossBrake.layer,
  JobArchive.layerNone,
  ArchiverState.layer,
  Layer.mock(EventLog, { size: Effect.succeed({ entries: 0, bytes: 0, first: null, last: null }) }),
  Layer.mock(EventFeed, {
    rates: Effect.succeed(new Map()),
    totals: Effect.succeed(new Map()),
    lag: Effect.succeed({ ms: null, connected: false })
  }),
  Layer.mock(WorkerOutbox, {}),
  Layer.mock(WebhookStore, {}),
  Layer.mock(WebhookTarget, {})
)

const failing = (unavailable: boolean) => {
  const registry = (operation: string) => Effect.fail(new RepositoryError(failure(operation, unavailable)))
  const queue = (operation: string) => Effect.fail(new StorageError(failure(operation, unavailable)))
  return Layer.mergeAll(
    Layer.mock(WorkerRepository, {
      insert: () => registry("WorkerRepository.insert"),
      find: () => registry("WorkerRepository.find"),
      list: () => registry("WorkerRepository.list"),
      remove: () => registry("WorkerRepository.remove"),
      setStanding: () => registry("WorkerRepository.setStanding"),
      accepting: () => registry("WorkerRepository.accepting"),
      ping: registry("WorkerRepository.ping")
    }),
    Layer.mock(HeartbeatStore, {
      record: (id) => Effect.fail(new HeartbeatFailed({ id, ...failure("HeartbeatStore.record", unavailable) }))
    }),
    Layer.mock(JobQueue, {
      submit: () => queue("JobQueue.submit"),
      get: () => queue("JobQueue.get"),
      list: () => queue("JobQueue.list"),
      attempts: () => queue("JobQueue.attempts"),
      cancel: () => queue("JobQueue.cancel"),
      counts: queue("JobQueue.counts"),
      classes: () => queue("JobQueue.classes"),
      ping: queue("JobQueue.ping")
    }),
    others
  )
}

const requests = [
  ["POST", "/workers", registration("w")],
  ["PUT", "/workers/w", { region: "eu", capacity: 1, capabilities: { job_types: [] }, instance_id: "i" }],
  ["GET", "/workers", undefined],
  ["GET", "/workers/w", undefined],
  ["DELETE", "/workers/w", undefined],
  ["POST", "/workers/w/heartbeat", undefined],
  ["GET", "/workers/w/heartbeats", undefined],
  ["PUT", "/workers/w/status", { status: "active" }],
  ["POST", "/workers/w/pause", undefined],
  ["POST", "/workers/w/drain", { jobs: "return" }],
  ["POST", "/workers/w/resume", undefined],
  ["POST", "/jobs", { service_required: "a" }],
  ["POST", "/jobs", { service_required: "a", if_unmatchable: "reject" }],
  ["GET", "/jobs", undefined],
  ["GET", "/jobs/j", undefined],
  ["GET", "/jobs/j/attempts", undefined],
  ["GET", "/jobs/j/explain", undefined],
  ["GET", "/queue", undefined],
  ["POST", "/jobs/j/cancel", undefined]
] as const

/** Everything logged while the layer lives. */
const recorded = () => {
  const lines: Array<{ readonly level: string; readonly text: string }> = []
  const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
    lines.push({ level: logLevel, text: `${String(message)} ${Cause.pretty(cause)}` })
  })
  return { lines, layer: Logger.layer([logger]) }
}

const away = recorded()
layer(serverOn(failing(true)).pipe(Layer.provideMerge(away.layer)))("stores that are away", (it) => {
  it.effect("are answered with 503 and when to come back, on every route that needs them", () =>
    Effect.gen(function* () {
      for (const [method, path, body] of requests) {
        const answer = yield* ask(method, path, { body })
        const problem = expectProblem(answer, 503, "StoreUnavailable")
        assert.strictEqual(answer.headers["retry-after"], String(problem.retry_after_s), `${method} ${path}`)
        assert.isAbove(problem.retry_after_s, 0)
        assert.notInclude(answer.text, "PostgreSQL")
        assert.notInclude(answer.text, "password")
      }
    })
  )

  it.effect("make the server not ready, and leave it alive", () =>
    Effect.gen(function* () {
      const answer = yield* ask("GET", "/ready")
      assert.strictEqual(answer.status, 503)
      assert.deepInclude(answer.json, {
        ready: false,
        registry: { ok: false, detail: "PostgreSQL does not answer" },
        queue: { ok: false, detail: "PostgreSQL does not answer" }
      })
      assert.strictEqual((yield* ask("GET", "/health")).status, 200)
    })
  )

  it.effect("are logged once in a while, not once for each request", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("1 minute")
      const logged = () => away.lines.filter(({ text }) => text.includes("heartbeat of worker many")).length
      for (let n = 0; n < 20; n++) yield* ask("POST", "/workers/many/heartbeat")
      assert.strictEqual(logged(), 1)
      yield* TestClock.adjust("5 seconds")
      yield* ask("POST", "/workers/many/heartbeat")
      assert.strictEqual(logged(), 2)
    })
  )
})

const broken = recorded()
layer(serverOn(failing(false)).pipe(Layer.provideMerge(broken.layer)))("stores that break", (it) => {
  it.effect("are answered with a bare 500, and logged whole", () =>
    Effect.gen(function* () {
      for (const [method, path, body] of requests) {
        const before = broken.lines.length
        const answer = yield* ask(method, path, { body })
        expectProblem(answer, 500, "InternalError")
        assert.notInclude(answer.text, "password")
        assert.notInclude(answer.text, "Repository")
        assert.isAbove(broken.lines.length, before, `${method} ${path} is logged`)
      }
      assert.isTrue(broken.lines.every(({ level }) => level === "Error"))
    })
  )
})

const dying = recorded()
const defective = Layer.mergeAll(
  Layer.mock(WorkerRepository, {
    find: () => Effect.die(new Error(secret)),
    list: () => Effect.suspend(() => Effect.succeed(JSON.parse(secret))),
    accepting: () => Effect.succeed({ active: 0, registered: 0 })
  }),
  Layer.mock(HeartbeatStore, {}),
  Layer.mock(JobQueue, {
    // A job that no schema would have let in, and none lets out.
    get: (id) => Effect.succeed(Option.some({ id } as never))
  }),
  others
)
layer(serverOn(defective).pipe(Layer.provideMerge(dying.layer)))("defects", (it) => {
  it.effect("are answered with a bare 500, logged whole, and survived", () =>
    Effect.gen(function* () {
      for (const path of ["/workers/w", "/workers", "/jobs/j"]) {
        const answer = yield* ask("GET", path)
        expectProblem(answer, 500, "InternalError")
        assert.notInclude(answer.text, "password")
      }
      assert.strictEqual(dying.lines.filter(({ level }) => level === "Error").length, 3)
      assert.isTrue(dying.lines.some(({ text }) => text.includes(secret)))
      expectProblem(yield* ask("POST", `/workers/${WorkerId.make("w")}/heartbeat`), 500, "InternalError")
      assert.strictEqual((yield* ask("GET", "/health")).status, 200)
    })
  )
})
