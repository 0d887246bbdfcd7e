/**
 * Worker processes that are killed or stopped while they work: every job completes, once. What an attempt did that was
 * given up is found in the attempts of its job.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { startPostgres, startRedis } from "../../../../tools/servers/testServers.ts"
import { startBroker, startWorker } from "./processes.ts"

const Job = Schema.Struct({
  id: Schema.String,
  status: Schema.String,
  attempt: Schema.Int,
  worker_id: Schema.NullOr(Schema.String),
  result: Schema.Unknown
})
const Page = Schema.Struct({ jobs: Schema.Array(Job), next_cursor: Schema.NullOr(Schema.String) })
const Worker = Schema.Struct({ worker: Schema.Struct({ current_jobs: Schema.NullOr(Schema.Array(Schema.String)) }) })
const Attempts = Schema.Struct({
  attempts: Schema.Array(
    Schema.Struct({
      attempt: Schema.Int,
      worker_id: Schema.String,
      outcome: Schema.NullOr(Schema.String),
      late_reports: Schema.Array(Schema.Struct({ report: Schema.String }))
    })
  )
})

/** Looks again until it holds; what happens here takes real time. */
const eventually = <A, E, R>(what: string, look: Effect.Effect<A, E, R>, holds: (a: A) => boolean, seconds = 60) =>
  look.pipe(
    Effect.repeat({ until: holds, schedule: Schedule.spaced("50 millis") }),
    Effect.timeoutOrElse({
      duration: `${seconds} seconds`,
      orElse: () => Effect.die(new Error(`${what}: not within ${seconds} s`))
    })
  )

const production = Effect.fnUntraced(function* (lease: string) {
  const [postgres, redis] = yield* Effect.all([startPostgres(), startRedis()], { concurrency: 2 })
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    MUSTER_HEARTBEAT_INTERVAL: "300ms",
    MUSTER_LEASE: lease
  }
  const server = yield* startBroker("server", env)
  const send = (method: string, path: string, body?: unknown) =>
    Effect.promise(async () => {
      const headers = { "content-type": "application/json" }
      const given = body === undefined ? {} : { body: JSON.stringify(body), headers }
      const answer = await fetch(server.url + path, { method, ...given })
      return { status: answer.status, body: (await answer.json()) as unknown }
    })
  const get = <S extends Schema.ConstraintDecoder<unknown>>(path: string, schema: S) =>
    Effect.flatMap(send("GET", path), ({ body }) => Schema.decodeUnknownEffect(schema)(body))
  return {
    send,
    aWorker: (name: string, capacity: number) =>
      startWorker({
        ...env,
        MUSTER_URL: server.url,
        WORKER_ID: name,
        CONNECTORS: "simulation",
        MUSTER_CAPACITY: String(capacity)
      }),
    job: (id: string) => Effect.map(get(`/jobs/${id}`, Schema.Struct({ job: Job })), ({ job }) => job),
    attempts: (id: string) => Effect.map(get(`/jobs/${id}/attempts`, Attempts), ({ attempts }) => attempts),
    holds: (name: string) =>
      Effect.map(get(`/workers/${name}`, Worker), ({ worker }) => worker.current_jobs?.length ?? 0),
    pending: Effect.map(get("/jobs?status=pending&limit=1", Page), ({ jobs }) => jobs),
    /** Some of the jobs that have not ended, if there are any. */
    waiting: Effect.map(
      Effect.forEach(["pending", "scheduled", "assigned", "processing"], (status) =>
        get(`/jobs?status=${status}&limit=1`, Page)
      ),
      (pages) => pages.flatMap(({ jobs }) => jobs)
    )
  }
})

it.live(
  "workers killed again and again in the middle of their jobs lose none and complete none twice",
  () =>
    Effect.gen(function* () {
      const { aWorker, attempts, holds, job, pending, send, waiting } = yield* production("1s")
      const names = ["a", "b", "c"]
      const workers = yield* Effect.forEach(names, (name) => aWorker(name, 8), { concurrency: 3 })
      const ids: Array<string> = []
      const submit = Effect.fnUntraced(function* (count: number) {
        const jobs = Array.from({ length: count }, (_, n) => ({
          id: `j${ids.length + n}`,
          service_required: "simulation",
          payload: { duration_ms: 200 + (((ids.length + n) * 37) % 700) },
          max_retries: 100
        }))
        ids.push(...jobs.map(({ id }) => id))
        assert.strictEqual((yield* send("POST", "/jobs/batch", { jobs })).status, 201)
      })
      yield* submit(200)
      /** There is always more to do, however long it takes to start a process again. */
      const atWork = (name: string) =>
        Effect.andThen(
          Effect.flatMap(pending, (jobs) => (jobs.length === 0 ? submit(24) : Effect.void)),
          holds(name)
        )
      const rounds = 3
      for (let round = 0; round < rounds; round++) {
        // Two of the three, while they are at work.
        const victims = names.filter((_, n) => n !== round % names.length)
        yield* Effect.forEach(
          victims,
          Effect.fnUntraced(function* (name) {
            yield* eventually(`${name} is at work`, atWork(name), (jobs) => jobs > 2)
            const { kill, restart } = workers[names.indexOf(name)]!
            yield* kill
            yield* restart
          }),
          { concurrency: 2 }
        )
      }
      yield* eventually("all have ended", waiting, (jobs) => jobs.length === 0)

      const done = yield* Effect.forEach(ids, job, { concurrency: 20 })
      assert.deepStrictEqual(
        done.filter(({ status }) => status !== "completed").map(({ id, status }) => [id, status]),
        []
      )
      const all = yield* Effect.forEach(ids, attempts, { concurrency: 20 })
      for (const [n, of] of all.entries()) {
        const outcomes = of.map(({ outcome }) => outcome)
        assert.strictEqual(outcomes.filter((outcome) => outcome === "completed").length, 1, ids[n])
        assert.strictEqual(outcomes.at(-1), "completed", ids[n])
        assert.deepStrictEqual(
          of.map(({ attempt }) => attempt),
          of.map((_, at) => at + 1)
        )
      }
      // Each kill took some jobs out of a hand.
      const given_up = all.flat().filter(({ outcome }) => outcome !== "completed")
      assert.isAtLeast(given_up.length, 2 * rounds)
    }).pipe(Effect.scoped),
  240_000
)

it.live(
  "a worker stopped past its lease wakes up to a job that ran elsewhere, and cannot harm it",
  () =>
    Effect.gen(function* () {
      const { aWorker, attempts, job, send } = yield* production("3s")
      const frozen = yield* aWorker("frozen", 1)
      const submit = (id: string, payload: unknown) =>
        Effect.map(send("POST", "/jobs", { id, service_required: "simulation", payload }), ({ status }) =>
          assert.strictEqual(status, 201)
        )
      const becomes = (id: string, status: string) =>
        eventually(`${id} ${status}`, job(id), (now) => now.status === status)
      // Its work is done before its lease is over, by its own clock: it reports that when it wakes.
      let id = "j0"
      for (let tries = 1; ; tries++) {
        yield* submit(id, { duration_ms: 1_500, steps: 1 })
        yield* eventually(`${id} begins`, job(id), ({ status }) => status === "processing" || status === "completed")
        yield* frozen.pause
        const now = yield* job(id)
        if (now.status === "processing" && now.attempt === 1) break
        // It was quicker: another one.
        yield* frozen.resume
        yield* becomes(id, "completed")
        id = `j${tries}`
      }
      yield* aWorker("heir", 1)
      const done = yield* becomes(id, "completed")
      assert.deepStrictEqual([done.worker_id, done.attempt], ["heir", 2])
      const before = yield* attempts(id)
      assert.deepStrictEqual(
        before.map(({ outcome, worker_id }) => [worker_id, outcome]),
        [
          ["frozen", "lost"],
          ["heir", "completed"]
        ]
      )

      yield* frozen.resume
      const [first, second] = yield* eventually("late evidence", attempts(id), ([of]) => of!.late_reports.length > 0)
      assert.include(["completed", "returned"], first!.late_reports[0]!.report)
      assert.deepStrictEqual([{ ...first!, late_reports: [] }, second!], before)
      assert.deepStrictEqual(yield* job(id), done)
      // It works on.
      yield* submit("next", { duration_ms: 5 })
      yield* submit("next2", { duration_ms: 5 })
      yield* becomes("next", "completed")
      yield* becomes("next2", "completed")
    }).pipe(Effect.scoped),
  240_000
)
