import { assert, layer } from "@effect/vitest"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { expectProblem } from "./problems.ts"
import { ask, register, registration, server, submit } from "./TestServer.ts"

layer(server())("the routes of workers", (it) => {
  it.effect("register a worker", () =>
    Effect.gen(function* () {
      const answer = yield* register("registered", { metadata: { machine_id: "m1" } })
      assert.strictEqual(answer.status, 201)
      const { worker } = answer.json
      assert.strictEqual(worker.id, "registered")
      assert.strictEqual(worker.status, "pending")
      assert.strictEqual(worker.machine_id, "m1")
      assert.deepStrictEqual(worker.capabilities.job_types, ["simulation"])
      assert.match(worker.registered_at, /^\d{4}-\d\d-\d\dT.*Z$/)
    })
  )

  it.effect("refuse a second worker of the same id", () =>
    Effect.gen(function* () {
      yield* register("taken")
      const problem = expectProblem(yield* register("taken", { region: "us" }), 409, "WorkerAlreadyExists")
      assert.strictEqual(problem.id, "taken")
      assert.strictEqual((yield* ask("GET", "/workers/taken")).json.worker.region, "eu")
    })
  )

  it.effect("let exactly one of many registrations at once win", () =>
    Effect.gen(function* () {
      const answers = yield* Effect.all(
        Array.from({ length: 20 }, (_, n) => register("contested", { region: `r${n}` })),
        { concurrency: "unbounded" }
      )
      const won = answers.filter(({ status }) => status === 201)
      assert.strictEqual(won.length, 1)
      for (const answer of answers) if (answer !== won[0]) expectProblem(answer, 409, "WorkerAlreadyExists")
      assert.strictEqual(
        (yield* ask("GET", "/workers/contested")).json.worker.region,
        won[0]?.json.worker.region,
        "what is stored is what the winner sent"
      )
    })
  )

  it.effect("refuse a job type named twice, and say where", () =>
    Effect.gen(function* () {
      const answer = yield* register("twice", { capabilities: { job_types: ["a", "b", "a"] } })
      const problem = expectProblem(answer, 400, "InvalidConfiguration")
      assert.strictEqual(problem.path, "capabilities.job_types")
      expectProblem(yield* ask("GET", "/workers/twice"), 404, "WorkerNotFound")
    })
  )

  it.effect("show one worker with its metadata", () =>
    Effect.gen(function* () {
      yield* register("shown")
      const { worker } = (yield* ask("GET", "/workers/shown")).json
      assert.strictEqual(worker.last_heartbeat_at, null)
      assert.strictEqual(worker.occupancy, "idle")
      assert.deepStrictEqual(worker.current_jobs, [])
      const problem = expectProblem(yield* ask("GET", "/workers/unknown"), 404, "WorkerNotFound")
      assert.strictEqual(problem.id, "unknown")
    })
  )

  it.effect("list workers page by page, of one status or of all", () =>
    Effect.gen(function* () {
      for (const id of ["page-a", "page-b", "page-c"]) yield* register(id)
      yield* ask("PUT", "/workers/page-b/status", { body: { status: "active" } })

      const active = (yield* ask("GET", "/workers?status=active")).json
      assert.deepStrictEqual(
        active.workers.map(({ id }: { id: string }) => id),
        ["page-b"]
      )
      assert.strictEqual(active.next_cursor, null)

      const all = (yield* ask("GET", "/workers")).json.workers.map(({ id }: { id: string }) => id)
      const paged: Array<string> = []
      let cursor = ""
      do {
        const page = (yield* ask("GET", `/workers?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`)).json
        assert.isAtMost(page.workers.length, 2)
        paged.push(...page.workers.map(({ id }: { id: string }) => id))
        cursor = page.next_cursor
      } while (cursor !== null)
      assert.deepStrictEqual(paged, all)
    })
  )

  it.effect("record heartbeats and show them, newest first", () =>
    Effect.gen(function* () {
      yield* register("beating")
      for (let beat = 0; beat < 3; beat++) {
        const answer = yield* ask("POST", "/workers/beating/heartbeat")
        assert.strictEqual(answer.status, 200)
        assert.deepStrictEqual(answer.json, {})
        yield* TestClock.adjust("1 second")
      }
      const { heartbeats } = (yield* ask("GET", "/workers/beating/heartbeats")).json
      assert.strictEqual(heartbeats.length, 3)
      assert.deepStrictEqual(heartbeats, heartbeats.toSorted().toReversed())
      const { heartbeats: newest } = (yield* ask("GET", "/workers/beating/heartbeats?limit=1")).json
      assert.deepStrictEqual(newest, heartbeats.slice(0, 1))
      assert.strictEqual((yield* ask("GET", "/workers/beating")).json.worker.last_heartbeat_at, heartbeats[0])

      assert.strictEqual((yield* ask("POST", "/workers/beating/heartbeat", { body: {} })).status, 200)
      expectProblem(yield* ask("POST", "/workers/beating/heartbeat", { body: { load: 1 } }), 400, "InvalidRequest")
      expectProblem(yield* ask("POST", "/workers/unknown/heartbeat"), 404, "WorkerNotFound")
      expectProblem(yield* ask("GET", "/workers/unknown/heartbeats"), 404, "WorkerNotFound")
    })
  )

  it.effect("set a status by hand, along the table of transitions", () =>
    Effect.gen(function* () {
      yield* register("moved")
      const set = (status: string) => ask("PUT", "/workers/moved/status", { body: { status } })
      assert.strictEqual((yield* set("active")).json.worker.status, "active")
      assert.strictEqual((yield* set("active")).status, 200)
      const problem = expectProblem(yield* set("pending"), 400, "InvalidStateTransition")
      assert.deepInclude(problem, { subject: "worker", id: "moved", from: "active", to: "pending" })
      assert.strictEqual((yield* ask("GET", "/workers/moved")).json.worker.status, "active")
      expectProblem(yield* ask("PUT", "/workers/unknown/status", { body: { status: "active" } }), 404, "WorkerNotFound")
    })
  )

  it.effect("put a worker that came back in place of its old record, unless a twin lives", () =>
    Effect.gen(function* () {
      yield* register("back", { instance_id: "one" })
      yield* ask("POST", "/workers/back/heartbeat")
      const { capabilities, capacity, region } = registration("back")
      const update = (instance_id: string, over: object = {}) =>
        ask("PUT", "/workers/back", { body: { capabilities, capacity, region, instance_id, ...over } })

      assert.strictEqual((yield* update("one", { capacity: 7 })).json.worker.capacity, 7)
      const problem = expectProblem(yield* update("two", { capacity: 8 }), 409, "LiveTwin")
      assert.strictEqual(problem.instance_id, "one")
      assert.match(problem.last_heartbeat_at, /^\d{4}-/)
      assert.strictEqual((yield* ask("GET", "/workers/back")).json.worker.capacity, 7)

      yield* TestClock.adjust("2 minutes")
      const replaced = yield* update("two", { capacity: 8 })
      assert.strictEqual(replaced.json.worker.instance_id, "two")
      expectProblem(
        yield* ask("PUT", "/workers/unknown", { body: { capabilities, capacity, region, instance_id: "one" } }),
        404,
        "WorkerNotFound"
      )
    })
  )

  it.effect("remove a worker", () =>
    Effect.gen(function* () {
      yield* register("leaving")
      const answer = yield* ask("DELETE", "/workers/leaving")
      assert.strictEqual(answer.status, 204)
      assert.strictEqual(answer.text, "")
      expectProblem(yield* ask("DELETE", "/workers/leaving"), 404, "WorkerNotFound")
    })
  )

  it.effect("pause, drain and resume a worker, as often as they are asked", () =>
    Effect.gen(function* () {
      yield* register("stands")
      const shown = Effect.map(ask("GET", "/workers/stands"), ({ json }) => [
        json.worker.standing,
        json.worker.occupancy
      ])
      assert.deepStrictEqual(yield* shown, ["open", "idle"])
      for (const [command, standing, occupancy] of [
        ["pause", "paused", "paused"],
        ["drain", "draining", "draining"],
        ["resume", "open", "idle"]
      ] as const) {
        for (const body of [undefined, {}, undefined]) {
          const answer = yield* ask("POST", `/workers/stands/${command}`, { body })
          assert.strictEqual(answer.status, 200, command)
          assert.strictEqual(answer.json.worker.standing, standing)
        }
        assert.deepStrictEqual(yield* shown, [standing, occupancy])
        expectProblem(yield* ask("POST", `/workers/unknown/${command}`), 404, "WorkerNotFound")
        expectProblem(yield* ask("POST", `/workers/stands/${command}`, { body: { now: true } }), 400, "InvalidRequest")
      }
      const listed = (yield* ask("GET", "/workers")).json.workers
      assert.isTrue(listed.every((worker: Record<string, unknown>) => worker["standing"] === "open"))
    })
  )

  it.effect("let a draining worker finish its jobs, or hand them back", () =>
    Effect.gen(function* () {
      const queue = yield* JobQueue
      const id = WorkerId.make("drains")
      const capabilities = { job_types: ["draining"] }
      yield* register(id, { capabilities })
      const job = yield* submit({ service_required: "draining" })
      yield* queue.claim({ worker_id: id, capabilities, capacity: 1, limit: 1, nonce: "n" })
      const held = Effect.map(ask("GET", "/workers/drains"), ({ json }) => json.worker.current_jobs)
      for (const body of [undefined, {}, { jobs: "finish" }]) {
        yield* ask("POST", "/workers/drains/drain", { body })
        assert.deepStrictEqual(yield* held, [job])
      }
      yield* Effect.replicateEffect(ask("POST", "/workers/drains/drain", { body: { jobs: "return" } }), 2)
      assert.deepStrictEqual(yield* held, [])
      assert.strictEqual((yield* ask("GET", `/jobs/${job}`)).json.job.status, "pending")
      for (const body of [{ jobs: "keep" }, { jobs: null }, [], "return", 1]) {
        expectProblem(yield* ask("POST", "/workers/drains/drain", { body }), 400, "InvalidRequest")
      }
    })
  )

  it.effect("move a worker to another machine when it says so", () =>
    Effect.gen(function* () {
      yield* register("moves", { metadata: { machine_id: "m1", worker_type: "t" }, instance_id: "one" })
      const { capabilities, capacity, region } = registration("moves")
      const update = (over: object = {}) =>
        Effect.map(
          ask("PUT", "/workers/moves", { body: { capabilities, capacity, region, instance_id: "one", ...over } }),
          ({ json }) => json.worker
        )
      assert.deepInclude(yield* update(), { machine_id: "m1", worker_type: "t" })
      const moved = yield* update({ metadata: { machine_id: "m2" } })
      assert.deepInclude(moved, { machine_id: "m2", worker_type: null })
      assert.deepStrictEqual(moved.capabilities.labels, { machine_type: "api", machine_id: "m2", region: "eu" })
    })
  )

  it.effect("refuse a customer who is both allowed and denied, and say where", () =>
    Effect.gen(function* () {
      const customers = { allow: ["acme"], deny: ["acme"] }
      const answer = yield* register("both", { capabilities: { job_types: ["a"], customers } })
      assert.strictEqual(expectProblem(answer, 400, "InvalidConfiguration").path, "capabilities.customers")
    })
  )

  it.effect("stand on the stores that the rest of the process sees", () =>
    Effect.gen(function* () {
      yield* register("shared")
      yield* ask("POST", "/workers/shared/heartbeat")
      assert.include(yield* WorkerUseCases.activatePendingWorkers(), WorkerId.make("shared"))
      assert.strictEqual((yield* ask("GET", "/workers/shared")).json.worker.status, "active")
    })
  )
})
