/** The commands that wait and follow, as processes, against a real server in memory. */
import { assert, describe } from "@effect/vitest"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { type Fence, JobId } from "@muster/core/job/Job"
import * as JobQueries from "@muster/core/job/JobQueries"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import { WorkerId } from "@muster/core/worker/Worker"
import { Effect, Option, Schedule } from "effect"
import { ask, assertHarmless, environment, live, operate, type Running, start } from "./operator.ts"

const claimed = JobUseCases.claimJobs({
  worker_id: WorkerId.make("worker-1"),
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

const begin = (args: ReadonlyArray<string>) => Effect.flatMap(environment, (env) => start(args, { env }))

/** Waits until the command has written this. */
const wrote = (stream: Running["stdout"], text: string | RegExp) =>
  stream.pipe(
    Effect.repeat({
      until: (said) => (typeof text === "string" ? said.includes(text) : text.test(said)),
      schedule: Schedule.spaced("20 millis")
    }),
    Effect.timeout("60 seconds"),
    Effect.orDie
  )

const lines = (text: string): ReadonlyArray<any> =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))

describe("waiting on the command line", () => {
  live(
    "job watch tells each event, and then the job; --json a line for each",
    Effect.gen(function* () {
      yield* operate(["job", "submit", "simulation", "--id", "j-1"])
      const [people, programs] = [
        yield* begin(["job", "watch", "j-1"]),
        yield* begin(["job", "watch", "j-1", "--json"])
      ]
      yield* wrote(programs.stdout, "snapshot")
      yield* wrote(people.stderr, "job j-1 is pending")
      const fence = yield* claimed
      yield* wrote(people.stderr, "job.started")
      yield* JobUseCases.reportProgress(fence, { percent: 41, message: "half \u001b[31m\u202e" })
      yield* wrote(people.stderr, "41 %")
      yield* JobUseCases.completeJob(fence, { done: true })
      const [said, json] = yield* Effect.all([people.ended, programs.ended])
      assert.deepStrictEqual([said.code, json.code, json.stderr], [0, 0, ""])
      assert.match(said.stderr, /^job j-1 is pending\n\S+Z {2}job\.assigned +j-1 {2}on worker-1\n\S+Z {2}job\.started /)
      assert.match(said.stderr, /\n\S+Z {2}job\.completed +j-1 {2}attempt 1 completed · on worker-1\n$/)
      assert.match(said.stdout, /^id +j-1\nstatus +completed\n/)
      assertHarmless(said.stderr)
      assertHarmless(json.stdout)
      const told = lines(json.stdout)
      assert.deepStrictEqual(
        told.map(({ type }) => type),
        ["snapshot", "job.assigned", "job.started", "job.progress", "job.completed", "end"]
      )
      assert.deepStrictEqual(told.at(-1)?.job, ((yield* ask("/jobs/j-1")) as any).job)
    })
  )

  live(
    "ends with 1 when the job does not complete, when there is none, and when the time is over",
    Effect.gen(function* () {
      yield* operate(["job", "submit", "simulation", "--id", "j-1"])
      const [late, submitted, unknown, alone] = yield* Effect.all(
        [
          operate(["job", "watch", "j-1", "--timeout", "3s"]),
          operate(["job", "submit", "simulation", "--id", "j-2", "--wait", "--wait-timeout", "3s", "--json"]),
          operate(["job", "watch", "j-3"]),
          operate(["job", "submit", "simulation", "--wait-timeout", "1s"])
        ],
        { concurrency: 2 }
      )
      const over = "error: job j-1 has not ended within 3s (pending); it goes on; why it waits: muster job explain j-1"
      const error = `job j-1 is pending\n${over}\n`
      assert.deepStrictEqual(late, { code: 1, stdout: "", stderr: error })
      assert.deepStrictEqual([submitted.code, submitted.stdout], [1, ""])
      assert.strictEqual(JSON.parse(submitted.stderr).code, "JobNotEnded")
      assert.deepStrictEqual(unknown, { code: 1, stdout: "", stderr: "error: job j-3 does not exist\n" })
      assert.deepStrictEqual(alone, { code: 2, stdout: "", stderr: "error: --wait-timeout: goes with --wait\n" })

      const watching = yield* begin(["job", "watch", "j-1", "--json"])
      yield* wrote(watching.stdout, "snapshot")
      yield* JobUseCases.cancelJob(JobId.make("j-1"))
      const { code, stderr } = yield* watching.ended
      assert.strictEqual(code, 1)
      assert.strictEqual(JSON.parse(stderr).code, "JobNotCompleted")
    })
  )

  live(
    "Ctrl-C leaves the job alone",
    Effect.gen(function* () {
      yield* operate(["job", "submit", "simulation", "--id", "j-1"])
      const watching = yield* begin(["job", "watch", "j-1", "--json"])
      yield* wrote(watching.stdout, "snapshot")
      yield* watching.signal("SIGINT")
      assert.strictEqual((yield* watching.ended).code, 130)
      assert.strictEqual((yield* JobQueries.getJob(JobId.make("j-1"))).status, "pending")
    })
  )
})

describe("muster events", () => {
  live(
    "prints what is meant until it is stopped, and goes on after a cursor",
    Effect.gen(function* () {
      const log = yield* EventLog
      const all = yield* begin(["events"])
      const args = ["--type", "job.cancelled,job.completed", "--job", "j-2", "--json"]
      const some = yield* begin(["events", ...args, "--after", yield* log.end])
      // Without a cursor one is told what happens after it came.
      const submitting = operate(["job", "submit", "simulation"])
      yield* Effect.repeat(submitting, { until: () => Effect.runSync(all.stdout) !== "" })
      yield* Effect.forEach(["j-1", "j-2"], (id) => operate(["job", "submit", "simulation", "--id", id]))
      yield* JobUseCases.cancelJob(JobId.make("j-1"))
      yield* JobUseCases.cancelJob(JobId.make("j-2"))
      yield* wrote(all.stdout, /job\.cancelled +j-2/)
      yield* wrote(some.stdout, "j-2")
      yield* Effect.all([all.signal("SIGINT"), some.signal("SIGTERM")])
      const [told, json] = yield* Effect.all([all.ended, some.ended])
      assert.deepStrictEqual([told.code, told.stderr, json.code, json.stderr], [0, "", 0, ""])
      assert.match(told.stdout, /\n\S+Z {2}job\.submitted +j-1 {2}pending · simulation\n/)
      const events = lines(json.stdout)
      assert.deepStrictEqual(
        events.map(({ job_id, type }) => [type, job_id]),
        [["job.cancelled", "j-2"]]
      )

      yield* operate(["job", "submit", "simulation", "--id", "j-3"])
      const again = yield* begin(["events", "--after", events[0].cursor])
      yield* wrote(again.stdout, "j-3")
      assert.match(yield* again.stdout, /^\S+Z {2}job\.submitted +j-3 {2}pending · simulation\n$/)
    })
  )

  live(
    "refuses what no event has, and says when there is no server",
    Effect.gen(function* () {
      const [type, cursor, nowhere] = yield* Effect.all(
        [
          operate(["events", "--type", "job.exploded"]),
          operate(["events", "--after", "5"]),
          operate(["events"], { env: { MUSTER_URL: "http://127.0.0.1:1" } })
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(type.code, 2)
      assert.match(type.stderr, /^error: --type: expected "job\.submitted" \| /)
      assert.deepStrictEqual(
        [cursor.code, cursor.stderr],
        [2, "error: --after: expected a cursor that the event log has handed out\n"]
      )
      assert.strictEqual(nowhere.code, 1)
      assert.include(nowhere.stderr, "no Muster server at http://127.0.0.1:1")
    })
  )
})
