/** The operator commands as processes, against a real server in memory. */
import { type Fence, JobId, request } from "@muster/core/job/Job"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import * as JobQueries from "@muster/core/job/JobQueries"
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import { assert, describe } from "@effect/vitest"
import { Effect, Option, Schedule } from "effect"
import { ask, assertHarmless, environment, field, live, operate, start } from "./operator.ts"

const worker_id = WorkerId.make("worker-1")

const registered = WorkerUseCases.registerWorker({
  id: worker_id,
  region: "local",
  capacity: 2,
  capabilities: { job_types: ["simulation"], labels: { note: "red \u001b[31m \u009b1m \u202e" } }
})

/** Claims the next job as soon as there is one, as a worker would. */
const claimed = JobUseCases.claimJobs({
  worker_id,
  capabilities: { job_types: ["simulation"] },
  capacity: 2,
  limit: 1,
  nonce: "nonce-1"
}).pipe(
  Effect.map((jobs) => Option.fromUndefinedOr(jobs[0])),
  Effect.repeat({ until: Option.isSome, schedule: Schedule.spaced("20 millis") }),
  Effect.flatMap(Effect.fromOption),
  Effect.map((job): Fence => ({ job_id: job.id, attempt: job.attempt, nonce: "nonce-1" })),
  Effect.tap(JobUseCases.startJob)
)

describe("muster job", () => {
  live(
    "submits, shows, lists and cancels; --json is what the server answered",
    Effect.gen(function* () {
      const submitted = yield* operate(
        ["job", "submit", "simulation", "--id", "j-1", "--payload-file", "-", "--timeout", "30s", "--json"],
        { input: '{"text": "\\u001b[2J\\u009b"}' }
      )
      assert.strictEqual(submitted.stderr, "")
      assert.strictEqual(submitted.code, 0)
      assertHarmless(submitted.stdout)
      assert.deepStrictEqual(JSON.parse(submitted.stdout), {
        ...(yield* ask("/jobs/j-1") as Effect.Effect<any>),
        matching: { active: 0, registered: 0 }
      })
      assert.deepStrictEqual(field(submitted.stdout, "job", "payload"), { text: "\u001b[2J\u009b" })
      assert.strictEqual(field(submitted.stdout, "job", "timeout_ms"), 30_000)

      const [again, other, got, listed] = yield* Effect.all(
        [
          operate(["job", "submit", "simulation", "--id", "j-2"]),
          operate(["job", "submit", "simulation", "--id", "j-1", "--payload", "1", "--json"]),
          operate(["job", "get", "j-1"]),
          operate(["jobs", "ls", "--limit", "1", "--json"])
        ],
        { concurrency: 2 }
      )
      assert.deepStrictEqual(again, {
        code: 0,
        stdout: "job j-2 is submitted (pending); no registered worker could run it\n",
        stderr: "warning: the job waits until a worker that could run it is registered; why: muster job explain j-2\n"
      })
      assert.strictEqual(other.code, 1)
      assert.strictEqual(other.stdout, "")
      assert.strictEqual(field(other.stderr, "code"), "JobAlreadyExists")
      assert.strictEqual(field(other.stderr, "status"), 409)
      assert.strictEqual(got.code, 0)
      assertHarmless(got.stdout)
      assert.match(got.stdout, /^id +j-1\nstatus +pending\n/)
      assert.include(got.stdout, String.raw`{"text":"\u001b[2J\u009b"}`)
      assert.deepStrictEqual(JSON.parse(listed.stdout), yield* ask("/jobs?limit=1"))

      const [all, rest, cancelled, missing] = yield* Effect.all(
        [
          operate(["job", "list", "--all"]),
          operate(["job", "list", "--cursor", String(field(listed.stdout, "next_cursor")), "--json"]),
          operate(["job", "cancel", "j-2"]),
          operate(["job", "get", "j-3"])
        ],
        { concurrency: 2 }
      )
      const past = ["--created-before", "2020-01-01T00:00:00Z"]
      const none = yield* operate([
        "job",
        "list",
        "--customer-id",
        "nobody",
        "--worker",
        "w",
        "--machine",
        "m",
        ...past
      ])
      assert.deepStrictEqual(none, { code: 0, stdout: "", stderr: "no jobs\n" })
      assert.match(all.stdout, /^ID +STATUS.*\nj-2 .*\nj-1 .*\n$/)
      assert.strictEqual(field(rest.stdout, "jobs", "0", "id"), "j-1")
      assert.strictEqual(field(rest.stdout, "next_cursor"), null)
      assert.deepStrictEqual(cancelled, { code: 0, stdout: "job j-2 is cancelled\n", stderr: "" })
      assert.deepStrictEqual(missing, { code: 1, stdout: "", stderr: "error: job j-3 does not exist\n" })
      // Who could run it is of no interest any more.
      assert.deepStrictEqual(yield* operate(["job", "submit", "simulation", "--id", "j-2"]), {
        code: 0,
        stdout: "job j-2 was submitted before (cancelled)\n",
        stderr: ""
      })
    })
  )

  live(
    "--wait ends with the job: 0 when it completed, 1 when not",
    Effect.gen(function* () {
      yield* registered
      const completed = yield* Effect.all(
        [
          operate(["job", "submit", "simulation", "--wait", "--json"]),
          Effect.flatMap(claimed, (fence) => JobUseCases.completeJob(fence, { done: true }))
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(completed[0].stderr, "")
      assert.strictEqual(completed[0].code, 0)
      assert.strictEqual(field(completed[0].stdout, "job", "status"), "completed")
      assert.deepStrictEqual(field(completed[0].stdout, "job", "result"), { done: true })
      assert.deepStrictEqual(field(completed[0].stdout, "matching"), { active: 0, registered: 1 })

      const failed = yield* Effect.all(
        [
          operate(["job", "submit", "simulation", "--wait"]),
          Effect.flatMap(claimed, (fence) =>
            JobUseCases.failJob(
              fence,
              { kind: "Rejected", message: "no \u001b[31m" },
              { attempt: 1, retry_count: 0, max_retries: 0 }
            )
          )
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(failed[0].code, 1)
      assert.match(failed[0].stdout, /^status +failed$/m)
      assert.match(failed[0].stderr, /(?:^|\n)error: job \S+ failed: Rejected: no \\u001b\[31m\n$/)
    })
  )

  live(
    "submits the jobs of a file together, and prints their ids",
    Effect.gen(function* () {
      const lines = '{"id": "j-1", "service_required": "simulation"}\r\n\n{"service_required": "simulation"}\n'
      const plain = yield* operate(["job", "submit", "--batch", "-"], { input: lines })
      assert.strictEqual(plain.stderr, "")
      assert.match(plain.stdout, /^j-1\n[\w-]{36}\n$/)
      const array = '[{"id": "j-3", "job_type": "simulation", "priority": 0}, {"id": "j-4", "job_type": "other"}]'
      const [json, taken, bad] = yield* Effect.all(
        [
          operate(["job", "submit", "--batch", "-", "--json"], { input: array }),
          operate(["job", "submit", "--batch", "-"], {
            input: '{"service_required": "simulation"}\n{"id": "j-1", "service_required": "other"}'
          }),
          operate(["job", "submit", "--batch", "-"], { input: '{"service_required": "simulation"}\n{"priority": 1' })
        ],
        { concurrency: 2 }
      )
      assert.deepStrictEqual(JSON.parse(json.stdout), { ids: ["j-3", "j-4"] })
      assert.strictEqual(taken.code, 1)
      assert.strictEqual(taken.stdout, "")
      assert.include(taken.stderr, "j-1")
      assert.strictEqual(bad.code, 2)
      assert.include(bad.stderr, "--batch -: line 2: not JSON")
      const { jobs } = (yield* ask("/jobs")) as { readonly jobs: ReadonlyArray<{ readonly id: string }> }
      const ids = [...plain.stdout.trim().split("\n"), "j-3", "j-4"]
      assert.deepStrictEqual(jobs.map(({ id }) => id).toReversed(), ids)
    })
  )

  live(
    "asks for what the flags say, and shows it and every attempt",
    Effect.gen(function* () {
      const args = ["job", "submit", "simulation", "--id", "j-1", "--gpu-memory", "24", "--gpus", "2"]
      const labels = ["--label", "tier=gold", "--label", "vram>=40", "--label", "vram<80", "--exclude", "spot=true"]
      const rest = ["--model", "flux", "--model", "sdxl", "--requirements", '{"hardware": {"ram_gb": 8}}', "--json"]
      const submitted = yield* operate([...args, ...labels, ...rest])
      assert.strictEqual(submitted.stderr, "")
      assert.deepStrictEqual(field(submitted.stdout, "job", "requirements"), {
        hardware: { ram_gb: 8, gpu_count: 2, gpu_memory_gb: 24 },
        models: ["flux", "sdxl"],
        labels: { tier: "gold", vram: { gte: 40, lt: 80 } },
        exclude: { spot: true }
      })
      const wrong = operate(["job", "submit", "simulation", "--label", "tier=gold", "--label", "tier=silver"])
      const [shown, none, clash] = yield* Effect.all(
        [operate(["job", "get", "j-1"]), operate(["job", "attempts", "j-1"]), wrong],
        { concurrency: 2 }
      )
      assert.match(shown.stdout, /\nrequirements +gpu_count>=2\n +gpu_memory_gb>=24\n +ram_gb>=8\n +model flux\n/)
      assert.match(shown.stdout, /\n +label tier=gold\n +label vram>=40, vram<80\n +exclude spot=true\n/)
      assert.deepStrictEqual(none, { code: 0, stdout: "", stderr: "no worker has been given job j-1 yet\n" })
      const twice = "error: --label tier: given twice; tier=a,b asks for both\n"
      assert.deepStrictEqual(clash, { code: 2, stdout: "", stderr: twice })

      yield* operate(["job", "submit", "simulation", "--id", "j-2"])
      const fence = yield* claimed
      assert.strictEqual(fence.job_id, "j-2")
      yield* JobUseCases.returnJob(fence)
      yield* Effect.flip(JobUseCases.completeJob(fence, "too late"))
      yield* claimed
      const [table, json, missing] = yield* Effect.all(
        [
          operate(["job", "attempts", "j-2"]),
          operate(["job", "attempts", "j-2", "--json"]),
          operate(["job", "attempts", "j-3"])
        ],
        { concurrency: 2 }
      )
      assert.match(table.stdout, /^ATTEMPT +WORKER +OUTCOME +STARTED +TOOK +ERROR\n +1 +worker-1 +returned /)
      assert.match(table.stdout, /\n +late: completed +.*\n +2 +worker-1 +processing .*\n$/)
      assert.deepStrictEqual(JSON.parse(json.stdout), yield* ask("/jobs/j-2/attempts"))
      assert.deepStrictEqual(missing, { code: 1, stdout: "", stderr: "error: job j-3 does not exist\n" })
    })
  )

  live(
    "retries one failed job, or all that are meant",
    Effect.gen(function* () {
      const fail = (id: string, kind: "Rejected" | "Timeout") =>
        Effect.gen(function* () {
          yield* JobUseCases.submitJob({
            id: JobId.make(id),
            request: request({ service_required: "simulation", max_retries: 0 })
          })
          const job = { attempt: 1, retry_count: 0, max_retries: 0 }
          yield* Effect.flatMap(claimed, (fence) => JobUseCases.failJob(fence, { kind, message: "no" }, job))
        })
      yield* fail("j-1", "Rejected")
      yield* fail("j-2", "Timeout")
      yield* fail("j-3", "Timeout")
      yield* fail("j-4", "Rejected")
      const one = yield* operate(["job", "retry", "j-1"])
      assert.deepStrictEqual(one, { code: 0, stdout: "job j-1 is pending\n", stderr: "" })
      const [again, json, kind] = yield* Effect.all(
        [
          operate(["job", "retry", "j-1", "--json"]),
          operate(["job", "retry", "j-2", "--json"]),
          operate(["job", "retry", "--all-failed", "--service", "simulation", "--kind", "Rejected"])
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(again.code, 1)
      assert.strictEqual(field(again.stderr, "code"), "InvalidStateTransition")
      assert.deepStrictEqual(JSON.parse(json.stdout), yield* ask("/jobs/j-2"))
      assert.deepStrictEqual(kind, { code: 0, stdout: "1 failed job waits again\n", stderr: "" })
      const [all, none] = [
        yield* operate(["job", "retry", "--all-failed", "--json"]),
        yield* operate(["job", "retry", "--all-failed"])
      ]
      assert.deepStrictEqual(JSON.parse(all.stdout), { count: 1 })
      assert.deepStrictEqual(none, { code: 0, stdout: "0 failed jobs wait again\n", stderr: "" })
    })
  )

  live(
    "Ctrl-C ends the waiting with 130 and leaves the job alone; SIGTERM with 143",
    Effect.gen(function* () {
      const env = yield* environment
      const stored = (id: string) =>
        JobQueries.getJob(JobId.make(id)).pipe(Effect.retry({ schedule: Schedule.spaced("20 millis") }))
      const codes = yield* Effect.forEach(
        [["SIGINT", "j-1"] as const, ["SIGTERM", "j-2"] as const],
        ([signal, id]) =>
          Effect.gen(function* () {
            const running = yield* start(["job", "submit", "simulation", "--id", id, "--wait"], { env })
            yield* stored(id)
            yield* running.signal(signal)
            const { code } = yield* running.ended
            return [code, (yield* stored(id)).status]
          }),
        { concurrency: 2 }
      )
      assert.deepStrictEqual(codes, [
        [130, "pending"],
        [143, "pending"]
      ])
    })
  )

  live(
    "a reader that has seen enough ends the command quietly",
    Effect.gen(function* () {
      const env = yield* environment
      yield* operate(["job", "submit", "simulation"])
      for (const args of [["job", "list"], ["--help"]]) {
        const running = yield* start(args, { env })
        yield* running.stopReading
        const { code, stderr } = yield* running.ended
        assert.deepStrictEqual({ args, code, stderr }, { args, code: 0, stderr: "" })
      }
    })
  )
})

describe("muster workers", () => {
  live(
    "lists and shows; nothing of what a worker says reaches the terminal raw",
    Effect.gen(function* () {
      const none = yield* operate(["workers", "list"])
      assert.deepStrictEqual(none, { code: 0, stdout: "", stderr: "no workers\n" })
      yield* registered
      yield* WorkerUseCases.recordHeartbeat(worker_id)
      const [table, list, block, shown, missing] = yield* Effect.all(
        [
          operate(["workers", "list"]),
          operate(["workers", "ls", "--status", "pending", "--json"]),
          operate(["workers", "show", "worker-1"]),
          operate(["workers", "show", "worker-1", "--json"]),
          operate(["workers", "show", "worker-2", "--json"])
        ],
        { concurrency: 2 }
      )
      assert.match(table.stdout, /^ID +STATUS .*\nworker-1 +pending +local +idle +2 +simulation +.*\n$/)
      assert.deepStrictEqual(JSON.parse(list.stdout), yield* ask("/workers"))
      assert.match(block.stdout, /^id +worker-1\nstatus +pending\n/)
      assert.include(block.stdout, String.raw`note red \u001b[31m \u009b1m \u202e`)
      assert.match(block.stdout, /\nheartbeats +.* \(\S+Z\)\n$/)
      assertHarmless(block.stdout)
      assertHarmless(shown.stdout)
      assert.deepStrictEqual(JSON.parse(shown.stdout), {
        ...(yield* ask("/workers/worker-1") as Effect.Effect<any>),
        ...(yield* ask("/workers/worker-1/heartbeats") as Effect.Effect<any>)
      })
      assert.strictEqual(missing.code, 1)
      assert.strictEqual(field(missing.stderr, "code"), "WorkerNotFound")
    })
  )
})
