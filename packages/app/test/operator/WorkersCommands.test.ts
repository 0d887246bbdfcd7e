/** Pausing, draining and resuming workers by the real command, against a real server in memory. */
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { JobId, request } from "@muster/core/job/Job"
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerQueries from "@muster/core/worker/WorkerQueries"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Option, Schedule } from "effect"
import { ask, environment, field, live, operate, start } from "./operator.ts"

const capabilities = { job_types: ["simulation"] }

const register = (id: string) =>
  WorkerUseCases.registerWorker({ id: WorkerId.make(id), region: "local", capacity: 2, capabilities })

/** A job that the worker holds. */
const hold = Effect.fnUntraced(function* (worker: string, job: string) {
  const queue = yield* JobQueue
  yield* queue.submit(JobId.make(job), request({ service_required: "simulation" }))
  const worker_id = WorkerId.make(worker)
  yield* queue.claim({ worker_id, capabilities, capacity: 2, limit: 1, nonce: job })
  const held = Option.getOrThrow(yield* queue.get(JobId.make(job)))
  assert.deepInclude(held, { status: "assigned", worker_id })
  return { job_id: held.id, attempt: held.attempt, nonce: job }
})

const standing = (id: string) => Effect.map(WorkerQueries.getWorker(WorkerId.make(id)), (worker) => worker.standing)

const untilDraining = (id: string) =>
  standing(id).pipe(Effect.repeat({ until: (now) => now === "draining", schedule: Schedule.spaced("20 millis") }))

describe("muster workers", () => {
  live(
    "pauses and resumes workers, one or several",
    Effect.gen(function* () {
      yield* register("w-1")
      yield* register("w-2")
      const paused = yield* operate(["workers", "pause", "w-1", "w-2", "w-1"])
      assert.deepStrictEqual(paused, { code: 0, stdout: "worker w-1 is paused\nworker w-2 is paused\n", stderr: "" })
      const table = yield* operate(["workers", "list"])
      assert.match(table.stdout, /^w-1 .* paused .*\nw-2 .* paused /m)
      const [json, missing] = [
        yield* operate(["workers", "resume", "w-1", "--json"]),
        yield* operate(["workers", "resume", "w-2", "w-3", "w-1"])
      ]
      const { worker } = (yield* ask("/workers/w-1")) as { readonly worker: Record<string, unknown> }
      assert.deepInclude(worker, { standing: "open", occupancy: "idle" })
      assert.deepInclude(field(json.stdout, "workers", "0"), { id: "w-1", standing: "open" })
      assert.deepStrictEqual(missing, {
        code: 1,
        stdout: "worker w-2 is open\n",
        stderr: "error: worker w-3 is not registered\n"
      })
    })
  )

  live(
    "drains workers, which finish what they hold or hand it back",
    Effect.gen(function* () {
      yield* register("w-1")
      yield* hold("w-1", "j-1")
      const finish = yield* operate(["workers", "drain", "w-1"])
      assert.deepStrictEqual(finish, { code: 0, stdout: "worker w-1 is draining\n", stderr: "" })
      assert.strictEqual(field(JSON.stringify(yield* ask("/jobs/j-1")), "job", "status"), "assigned")
      const shown = yield* operate(["workers", "show", "w-1"])
      assert.match(shown.stdout, /\noccupancy +draining\ncurrent_jobs +j-1\n/)
      const back = yield* operate(["workers", "drain", "w-1", "--return-jobs", "--json"])
      assert.deepInclude(field(back.stdout, "workers", "0"), { id: "w-1", standing: "draining" })
      assert.strictEqual(field(JSON.stringify(yield* ask("/jobs/j-1")), "job", "status"), "pending")
    })
  )

  live(
    "drain --wait ends when they hold no job, and says so when one is resumed",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* register("w-1")
      yield* register("w-2")
      const fence = yield* hold("w-1", "j-1")
      const drain = yield* Effect.forkChild(operate(["workers", "drain", "w-1", "w-2", "--wait"]))
      const json = yield* Effect.forkChild(operate(["workers", "drain", "w-1", "--wait", "--json"]))
      yield* untilDraining("w-1")
      yield* untilDraining("w-2")
      for (const fiber of [drain, json]) assert.isUndefined(fiber.pollUnsafe())
      yield* queue.complete(fence, null)
      assert.deepStrictEqual(yield* Fiber.join(drain), {
        code: 0,
        stdout: "worker w-1 is draining and holds no job\nworker w-2 is draining and holds no job\n",
        stderr: ""
      })
      const { code, stdout } = yield* Fiber.join(json)
      assert.strictEqual(code, 0)
      assert.deepInclude(field(stdout, "workers", "0"), { id: "w-1", occupancy: "draining", current_jobs: [] })

      yield* WorkerUseCases.resumeWorker(WorkerId.make("w-1"))
      yield* hold("w-1", "j-2")
      const resumed = yield* Effect.forkChild(operate(["workers", "drain", "w-1", "--wait"]))
      yield* untilDraining("w-1")
      yield* WorkerUseCases.resumeWorker(WorkerId.make("w-1"))
      const ended = yield* Fiber.join(resumed)
      assert.strictEqual(ended.code, 1)
      assert.include(ended.stderr, "worker w-1 was resumed")
    })
  )

  live(
    "drain --wait can be interrupted, and the worker drains on",
    Effect.gen(function* () {
      yield* register("w-1")
      yield* hold("w-1", "j-1")
      const running = yield* start(["workers", "drain", "w-1", "--wait"], { env: yield* environment })
      yield* untilDraining("w-1")
      yield* running.signal("SIGINT")
      assert.strictEqual((yield* running.ended).code, 130)
      assert.strictEqual(yield* standing("w-1"), "draining")
    })
  )
})
