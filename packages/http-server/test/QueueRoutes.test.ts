import { assert, layer } from "@effect/vitest"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import { WorkerId } from "@muster/core/worker/Worker"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { expectProblem } from "./problems.ts"
import { ask, register, server, submit } from "./TestServer.ts"

const explain = (id: string, query = "") => Effect.map(ask("GET", `/jobs/${id}/explain${query}`), ({ json }) => json)

/** Takes a job as a worker would. */
const claim = (worker: string, service_required: string, nonce = "n-1") =>
  JobUseCases.claimJobs({
    worker_id: WorkerId.make(worker),
    capabilities: { job_types: [service_required] },
    capacity: 1,
    limit: 1,
    nonce
  })

layer(server())("the explanation of a job", (it) => {
  it.effect("says who accepts what may have been meant", () =>
    Effect.gen(function* () {
      yield* register("w-7", { capabilities: { job_types: ["simulationx"] } })
      const id = yield* submit({ service_required: "simulation" })
      const answer = yield* ask("GET", `/jobs/${id}/explain`)
      assert.strictEqual(answer.status, 200)
      assert.deepInclude(answer.json, {
        job_id: id,
        service_required: "simulation",
        status: "pending",
        verdict: "impossible",
        ahead: 0,
        ahead_at_least: false,
        due_at: null,
        reason: null,
        summary: "Nobody could run it: the only worker that is registered does not match.",
        workers_left_out: 0
      })
      assert.strictEqual(
        answer.json.hints[0],
        `no worker accepts "simulation"; did you mean "simulationx", accepted by worker w-7?`
      )
      assert.lengthOf(answer.json.workers, 1)
      assert.deepInclude(answer.json.workers[0], {
        worker_id: "w-7",
        status: "pending",
        standing: "open",
        holds: null,
        last_heartbeat_at: null,
        unmet: [{ clause: "service_required", required: "simulation", offered: ["simulationx"] }]
      })
    })
  )

  it.effect("follows the fleet and the queue, verdict by verdict", () =>
    Effect.gen(function* () {
      const type = "changing"
      const verdict = (id: string) => Effect.map(explain(id), (answer) => answer.verdict as string | null)
      const first = yield* submit({ service_required: type })
      const second = yield* submit({ service_required: type })
      assert.strictEqual(yield* verdict(first), "impossible")
      yield* register("c-1", { capacity: 1, capabilities: { job_types: [type] } })
      assert.strictEqual(yield* verdict(first), "next")
      assert.deepInclude(yield* explain(second), { verdict: "next", ahead: 1 })
      yield* ask("POST", "/workers/c-1/pause")
      assert.include((yield* explain(first)).hints, "the only worker that matches is paused: muster workers resume c-1")
      assert.strictEqual(yield* verdict(first), "busy")
      yield* ask("POST", "/workers/c-1/resume")

      yield* claim("c-1", type)
      const held = yield* explain(first)
      assert.deepInclude(held, { verdict: null, status: "assigned", worker_id: "c-1", ahead: null, matching: null })
      const full = yield* explain(second)
      assert.deepInclude(full, { verdict: "busy", ahead: 0 })
      assert.deepInclude(full.workers[0], { worker_id: "c-1", holds: 1, capacity: 1, unmet: [] })

      yield* ask("PUT", "/workers/c-1/status", { body: { status: "offline" } })
      assert.strictEqual(yield* verdict(second), "offline")
      assert.match((yield* explain(first)).hints[0], /^worker c-1 is offline/)
      yield* ask("DELETE", "/workers/c-1")
      const lost = yield* explain(second)
      assert.strictEqual(lost.verdict, "offline")
      assert.deepInclude(lost.workers[0], { worker_id: "c-1", status: "gone" })
      yield* ask("POST", `/jobs/${second}/cancel`)
      assert.deepInclude(yield* explain(second), { verdict: null, status: "cancelled" })
    })
  )

  it.effect("knows when a job is due", () =>
    Effect.gen(function* () {
      const id = yield* submit({ service_required: "later", run_at: "2999-01-01T00:00:00Z" })
      const answer = yield* explain(id)
      assert.deepInclude(answer, {
        status: "scheduled",
        verdict: "later",
        reason: "scheduled",
        due_at: "2999-01-01T00:00:00.000Z",
        ahead: null
      })
    })
  )

  it.effect("knows the machine that a job names", () =>
    Effect.gen(function* () {
      const on = (machine_id: string) => ({ capabilities: { job_types: ["local"] }, metadata: { machine_id } })
      yield* register("m-1-w", on("m-1"))
      yield* register("m-2-w", { ...on("m-2"), capacity: 3 })
      const there = yield* submit({ service_required: "local", requirements: { labels: { machine_id: "m-2" } } })
      const answer = yield* explain(there)
      assert.strictEqual(answer.verdict, "next")
      assert.deepInclude(answer.matching, { free: 1, full: 0 })
      assert.deepInclude(answer.workers[0], { worker_id: "m-2-w", capacity: 3, holds: 0, unmet: [] })
      const other = answer.workers.find((worker: any) => worker.worker_id === "m-1-w")
      assert.deepStrictEqual(
        other.unmet.map(({ clause }: any) => clause),
        ["labels.machine_id"]
      )
      const nowhere = yield* submit({ service_required: "local", requirements: { labels: { machine_id: "m-3" } } })
      const none = yield* explain(nowhere)
      assert.strictEqual(none.verdict, "impossible")
      assert.include(none.hints.join("\n"), "m-3")
      const elsewhere = yield* submit({ service_required: "local", requirements: { exclude: { machine_id: "m-2" } } })
      const but = yield* explain(elsewhere)
      assert.deepInclude(but.matching, { free: 1 })
      assert.strictEqual(but.workers[0].worker_id, "m-1-w")
    })
  )

  it.effect("answers as many workers as are asked for", () =>
    Effect.gen(function* () {
      for (let n = 0; n < 5; n++) yield* register(`many-${n}`, { capabilities: { job_types: ["many"] } })
      const id = yield* submit({ service_required: "many" })
      const two = yield* explain(id, "?limit=2")
      assert.lengthOf(two.workers, 2)
      const all = yield* explain(id, "?limit=1000")
      assert.strictEqual(all.workers.length, two.workers.length + two.workers_left_out)
    })
  )

  it.effect("refuses what is wrong as every route does", () =>
    Effect.gen(function* () {
      assert.strictEqual(expectProblem(yield* ask("GET", "/jobs/none/explain"), 404, "JobNotFound").id, "none")
      for (const path of [
        "/jobs/a%20b/explain",
        "/jobs/a/explain?limit=0",
        "/jobs/a/explain?limit=x",
        "/jobs/a/explain?deep=1"
      ]) {
        expectProblem(yield* ask("GET", path), 400, "InvalidRequest")
      }
      expectProblem(yield* ask("POST", "/jobs/a/explain"), 405, "MethodNotAllowed")
    })
  )
})

layer(server())("the view of the queue", (it) => {
  it.effect("counts, and shows what waits: first what nobody can run", () =>
    Effect.gen(function* () {
      assert.deepInclude((yield* ask("GET", "/queue")).json, {
        counts: { scheduled: 0, pending: 0, held: 0, finished: 0, unarchived: null },
        classes: [],
        classes_left_out: 0,
        left_out_at_least: false
      })
      yield* register("w-1", { capabilities: { job_types: ["served", "lost"] } })
      yield* register("w-2", { capabilities: { job_types: ["served"] } })
      yield* ask("POST", "/workers/w-2/heartbeat")
      yield* ask("PUT", "/workers/w-2/status", { body: { status: "active" } })
      yield* TestClock.adjust("2 seconds")
      for (let n = 0; n < 3; n++) yield* submit({ service_required: "served" })
      yield* TestClock.adjust("1 minute")
      yield* submit({ service_required: "lost" })
      yield* TestClock.adjust("1 minute")
      yield* submit({ service_required: "unknown", requirements: { models: ["b", "a"] }, customer_id: "acme" })
      yield* submit({ service_required: "served", run_at: "2999-01-01T00:00:00Z" })
      const [job] = yield* claim("w-2", "served")
      assert.isDefined(job)

      const { json } = yield* ask("GET", "/queue")
      assert.deepStrictEqual(json.counts, { scheduled: 1, pending: 4, held: 1, finished: 0, unarchived: null })
      assert.deepStrictEqual(
        json.classes.map(({ matching, pending, service_required }: any) => [service_required, pending, matching]),
        [
          ["unknown", 1, { active: 0, registered: 0 }],
          ["lost", 1, { active: 0, registered: 1 }],
          ["served", 2, { active: 1, registered: 2 }]
        ]
      )
      assert.deepStrictEqual(json.classes[0].requirements, { models: ["a", "b"] })
      assert.isString(json.classes[0].id)
      assert.hasAllKeys(json.classes[0].per_minute, ["submitted", "started", "ended"])
      const one = (yield* ask("GET", "/queue?limit=1")).json
      assert.lengthOf(one.classes, 1)
      assert.deepInclude(one, { classes_left_out: 2, left_out_at_least: false })
    })
  )

  it.effect("knows the rates", () =>
    Effect.gen(function* () {
      yield* submit({ service_required: "rated" })
      yield* TestClock.adjust("2 seconds")
      const { json } = yield* ask("GET", "/queue")
      const rated = json.classes.find(({ service_required }: any) => service_required === "rated")
      assert.deepInclude(rated.per_minute, { submitted: 1, ended: 0 })
      assert.isAtLeast(json.per_minute.submitted, 1)
    })
  )

  it.effect("refuses what is wrong as every route does", () =>
    Effect.gen(function* () {
      for (const path of ["/queue?limit=0", "/queue?limit=1001", "/queue?status=x"]) {
        expectProblem(yield* ask("GET", path), 400, "InvalidRequest")
      }
    })
  )
})
