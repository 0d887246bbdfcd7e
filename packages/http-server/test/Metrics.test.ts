import { assert, describe, it, layer } from "@effect/vitest"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { StorageError } from "@muster/core/job/JobErrors"
import { WorkerRepository } from "@muster/core/worker/internal/WorkerRepository"
import { Effect, Layer, Redacted, Schedule } from "effect"
import { expectProblem } from "./problems.ts"
import { parse, valueOf } from "./prometheus.ts"
import { ask, register, server, serverOn, stores, submit } from "./TestServer.ts"

const scrape = Effect.map(ask("GET", "/metrics"), ({ headers, status, text }) => {
  assert.strictEqual(status, 200)
  assert.strictEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
  return parse(text)
})

/** What figures say may be a few seconds old. */
const eventually = <A>(holds: (families: ReturnType<typeof parse>) => A | undefined) =>
  scrape.pipe(
    Effect.map(holds),
    Effect.repeat({ until: (found) => found !== undefined, schedule: Schedule.spaced("100 millis") }),
    Effect.timeout("60 seconds"),
    Effect.orDie
  )

describe("the parser of these tests", () => {
  it("refuses what is not the format", () => {
    const wrong = [
      "muster_x 1\n",
      "# HELP muster_x x\n# TYPE muster_x gauge\nmuster_x 1",
      "# TYPE muster_x gauge\nmuster_x 1\n",
      "# HELP muster_x x\n# TYPE muster_x gauge\nmuster_y 1\n",
      '# HELP muster_x x\n# TYPE muster_x gauge\nmuster_x{a="1"b="2"} 1\n',
      '# HELP muster_x x\n# TYPE muster_x gauge\nmuster_x{a="1",} 1\n',
      '# HELP muster_x x\n# TYPE muster_x gauge\nmuster_x{a="\n"} 1\n',
      "# HELP muster_x x\n# TYPE muster_x gauge\nmuster_x one\n",
      "# HELP muster_x x\n# TYPE muster_x gauge\nmuster_x 1\nmuster_x 2\n",
      "# HELP muster_x x\n# TYPE muster_x counter\nmuster_x 1\n",
      "# HELP muster_x x\n# TYPE muster_x gauge\n",
      '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
      '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n'
    ]
    for (const text of wrong) assert.throws(() => parse(text), undefined, undefined, text)
  })
})

layer(server(), { excludeTestServices: true })("/metrics", (it) => {
  it.effect("tells jobs, classes and workers, with nothing that has an id in its labels", () =>
    Effect.gen(function* () {
      yield* register("worker-with-a-name")
      const job = yield* submit()
      const lonely = yield* submit({ service_required: "nobody-does-this", customer_id: "customer-with-a-name" })
      yield* ask("GET", `/jobs/${job}`)
      yield* ask("GET", `/jobs/${lonely}`)
      yield* eventually((families) => (valueOf(families, "muster_jobs", { state: "pending" }) === 0 ? undefined : true))
      const text = (yield* ask("GET", "/metrics")).text
      const families = parse(text)
      assert.strictEqual(valueOf(families, "muster_store_up", { store: "queue" }), 1)
      assert.strictEqual(valueOf(families, "muster_store_up", { store: "registry" }), 1)
      assert.strictEqual(valueOf(families, "muster_workers", { status: "pending" }), 1)
      const own = (name: string) =>
        families.get(name)?.series.find(({ labels }) => labels["service_required"] === "nobody-does-this")
      assert.deepStrictEqual(Object.keys(own("muster_class_waiting_jobs")?.labels ?? {}), ["service_required", "class"])
      assert.strictEqual(own("muster_class_waiting_jobs")?.value, 1)
      assert.strictEqual(own("muster_class_served")?.value, 0)
      assert.isAtLeast(valueOf(families, "muster_waiting_unserved_jobs") ?? 0, 1)
      for (const id of [job, lonely, "worker-with-a-name", "customer-with-a-name"]) assert.notInclude(text, id)
      for (const [name, { help }] of families) {
        assert.match(name, /^muster_/)
        assert.isAbove(help.length, 10)
      }
    })
  )

  it.effect("counts and times requests by the template of their route", () =>
    Effect.gen(function* () {
      const labels = { method: "GET", route: "/jobs/:id" }
      const before = yield* scrape
      const count = (families: ReturnType<typeof parse>, status: string) =>
        valueOf(families, "muster_http_requests_total", { ...labels, status }) ?? 0
      const job = yield* submit()
      yield* ask("GET", `/jobs/${job}`)
      yield* ask("GET", "/jobs/no-such-job")
      yield* ask("GET", "/jobs/no-such-job?unknown=1")
      yield* ask("GET", "/no/such/route")
      yield* ask("PATCH", `/jobs/${job}`, { body: {} })
      const after = yield* scrape
      assert.strictEqual(count(after, "2xx") - count(before, "2xx"), 1)
      assert.strictEqual(count(after, "4xx") - count(before, "4xx"), 2)
      const timed = (families: ReturnType<typeof parse>) =>
        valueOf(families, "muster_http_request_duration_seconds_count", labels) ?? 0
      assert.strictEqual(timed(after) - timed(before), 3)
      const missing = { method: "GET", route: "none", status: "4xx" }
      assert.isAtLeast(valueOf(after, "muster_http_requests_total", missing) ?? 0, 1)
      const wrongMethod = { method: "PATCH", route: "/jobs/:id", status: "4xx" }
      assert.strictEqual(valueOf(after, "muster_http_requests_total", wrongMethod), 1)
    })
  )

  it.effect("does not grow with the paths that are asked for", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(Array.from({ length: 200 }), (_, n) => ask("GET", `/jobs/j-${n}`), { concurrency: 8 })
      yield* Effect.forEach(Array.from({ length: 200 }), (_, n) => ask("GET", `/nothing/${n}`), { concurrency: 8 })
      const requests = (yield* scrape).get("muster_http_requests_total")
      assert.isAtMost(requests?.series.length ?? 0, 40)
    })
  )

  it.effect("counts events by type and how attempts end", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const job = yield* submit({ service_required: "counted" })
      const [claimed] = yield* queue.claim({
        worker_id: "w-counted" as never,
        capabilities: { job_types: ["counted"] },
        capacity: 1,
        limit: 1,
        nonce: "n"
      })
      assert.strictEqual(claimed?.id, job)
      if (claimed === undefined) return
      const fence = { job_id: claimed.id, attempt: claimed.attempt, nonce: "n" }
      yield* queue.fail(fence, { kind: "Unauthorized", message: "no" }, null)
      const ended = { outcome: "failed", error_kind: "Unauthorized" }
      const count = yield* eventually((families) => valueOf(families, "muster_attempts_ended_total", ended))
      assert.strictEqual(count, 1)
      assert.strictEqual(valueOf(yield* scrape, "muster_events_total", { type: "job.failed" }), 1)
      assert.strictEqual(valueOf(yield* scrape, "muster_event_feed_connected"), 1)
    })
  )
})

layer(server({ token: Redacted.make("a-token-of-16-characters") }), { excludeTestServices: true })(
  "/metrics with a token",
  (it) => {
    it.effect("asks for it, as does /doctor", () =>
      Effect.gen(function* () {
        expectProblem(yield* ask("GET", "/metrics"), 401, "Unauthenticated")
        expectProblem(yield* ask("GET", "/doctor"), 401, "Unauthenticated")
        const headers = { authorization: "Bearer a-token-of-16-characters" }
        assert.strictEqual((yield* ask("GET", "/metrics", { headers })).status, 200)
        assert.strictEqual((yield* ask("GET", "/doctor", { headers })).status, 200)
      })
    )
  }
)

const away = new StorageError({ operation: "JobQueue", detail: "Redis cannot be reached", unavailable: true, cause: 1 })

/** The queue is gone, the registry never answers. */
const hurt = Layer.merge(
  Layer.effect(
    JobQueue,
    Effect.map(JobQueue, (queue) => ({
      ...queue,
      ping: Effect.fail(away),
      counts: Effect.fail(away),
      classes: () => Effect.fail(away)
    }))
  ),
  Layer.effect(
    WorkerRepository,
    Effect.map(WorkerRepository, (workers) => ({ ...workers, ping: Effect.never, groups: () => Effect.never }))
  )
).pipe(Layer.provideMerge(stores))

layer(serverOn(hurt), { excludeTestServices: true })("/metrics while stores are away", (it) => {
  it.effect("answers in time, without their figures", () =>
    Effect.gen(function* () {
      const began = Date.now()
      const families = yield* scrape
      assert.isBelow(Date.now() - began, 30_000)
      assert.strictEqual(valueOf(families, "muster_store_up", { store: "queue" }), 0)
      assert.strictEqual(valueOf(families, "muster_store_up", { store: "registry" }), 0)
      assert.isFalse(families.has("muster_jobs"))
      assert.isFalse(families.has("muster_workers"))
      assert.isTrue(families.has("muster_build_info"))
      assert.isTrue(families.has("muster_event_log_entries"))
    })
  )

  it.effect("says so in /ready and /doctor, in time", () =>
    Effect.gen(function* () {
      const began = Date.now()
      const [ready, doctor] = yield* Effect.all([ask("GET", "/ready"), ask("GET", "/doctor")], { concurrency: 2 })
      assert.isBelow(Date.now() - began, 30_000)
      assert.strictEqual(ready.status, 503)
      assert.deepInclude(ready.json, {
        ready: false,
        queue: { ok: false, detail: "Redis cannot be reached" },
        registry: { ok: false, detail: "does not answer" }
      })
      assert.isNull(ready.json.figures.jobs)
      assert.strictEqual(doctor.status, 200)
      const named = (name: string) => doctor.json.findings.find((finding: { name: string }) => finding.name === name)
      assert.deepInclude(named("queue.serves"), { verdict: "error", detail: "Redis cannot be reached" })
      assert.deepInclude(named("workers"), { verdict: "error", detail: "the registry of workers: does not answer" })
      assert.isUndefined(named("queue.waiting"))
    })
  )
})
