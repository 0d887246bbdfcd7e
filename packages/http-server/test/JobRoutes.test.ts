import { assert, layer } from "@effect/vitest"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import { WorkerId } from "@muster/core/worker/Worker"
import { Effect } from "effect"
import { expectProblem, pathsOf } from "./problems.ts"
import { ask, register, server, submit } from "./TestServer.ts"

/** A job of this type that has failed for good. */
const failed = Effect.fnUntraced(function* (service_required: string, kind: "Rejected" | "Timeout" = "Rejected") {
  const id = yield* submit({ service_required, max_retries: 0 })
  const nonce = `claim-of-${id}`
  const [job] = yield* JobUseCases.claimJobs({
    worker_id: WorkerId.make("failing"),
    capabilities: { job_types: [service_required] },
    capacity: 100,
    limit: 1,
    nonce
  })
  if (job === undefined) return assert.fail("nothing was claimed")
  yield* JobUseCases.failJob({ job_id: job.id, attempt: job.attempt, nonce }, { kind, message: "no" }, job)
  return id
})

layer(server())("the routes of jobs", (it) => {
  it.effect("submit a job, with all that was left out filled in", () =>
    Effect.gen(function* () {
      const answer = yield* ask("POST", "/jobs", { body: { service_required: "lonely" } })
      assert.strictEqual(answer.status, 201)
      const { job, matching } = answer.json
      assert.deepInclude(job, {
        service_required: "lonely",
        status: "pending",
        payload: {},
        requirements: {},
        priority: 50,
        max_retries: 3,
        customer_id: null,
        attempt: 0,
        worker_id: null,
        result: null
      })
      assert.isAbove(job.id.length, 10)
      assert.deepStrictEqual(matching, { active: 0, registered: 0 })
    })
  )

  it.effect("keep everything a caller says", () =>
    Effect.gen(function* () {
      const said = {
        id: "said",
        service_required: "simulation",
        payload: { nested: [1, null, { deep: true }] },
        requirements: {
          hardware: { gpu_count: 1, gpu_memory_gb: 23.5 },
          models: ["sdxl", "flux"],
          labels: { tier: ["gold", 1, true], vram: { gte: 24, lt: 80 }, zone: { not: "c" }, constructor: "x" },
          exclude: { spot: true },
          customer_isolation: "strict"
        },
        priority: 0,
        workflow_id: "w",
        workflow_priority: 100,
        workflow_datetime: "2026-01-01T00:00:00.000Z",
        customer_id: "c",
        max_retries: 0,
        timeout_ms: 1_000,
        run_at: "2999-01-01T00:00:00.000Z",
        expires_at: "2999-01-02T00:00:00.000Z",
        metadata: { any: "thing" }
      }
      const answer = yield* ask("POST", "/jobs", { body: { ...said, if_unmatchable: "wait" } })
      assert.strictEqual(answer.status, 201)
      assert.deepInclude(answer.json.job, { ...said, status: "scheduled" })
      assert.deepStrictEqual((yield* ask("GET", "/jobs/said")).json.job, answer.json.job)
    })
  )

  it.effect("take any JSON as payload, null included", () =>
    Effect.gen(function* () {
      for (const payload of [null, 0, "text", [1, [2]], { a: null }]) {
        const answer = yield* ask("POST", "/jobs", { body: { service_required: "simulation", payload } })
        assert.strictEqual(answer.status, 201)
        assert.deepStrictEqual(answer.json.job.payload, payload)
      }
    })
  )

  it.effect("take the older name of service_required", () =>
    Effect.gen(function* () {
      const older = yield* ask("POST", "/jobs", { body: { job_type: "simulation" } })
      assert.strictEqual(older.json.job.service_required, "simulation")
      assert.notProperty(older.json.job, "job_type")
      assert.strictEqual((yield* ask("POST", "/jobs", { body: { job_type: "a", service_required: "a" } })).status, 201)
      const both = yield* ask("POST", "/jobs", { body: { job_type: "a", service_required: "b" } })
      assert.deepStrictEqual(pathsOf(expectProblem(both, 400, "InvalidRequest")), ["job_type"])
      const neither = yield* ask("POST", "/jobs", { body: {} })
      assert.deepStrictEqual(pathsOf(expectProblem(neither, 400, "InvalidRequest")), ["service_required"])
    })
  )

  it.effect("find a job that was submitted before, and refuse its id for another", () =>
    Effect.gen(function* () {
      const body = { id: "again", service_required: "simulation", payload: { a: 1, b: 2 } }
      assert.strictEqual((yield* ask("POST", "/jobs", { body })).status, 201)
      const again = yield* ask("POST", "/jobs", { body: { ...body, payload: { b: 2, a: 1 } } })
      assert.strictEqual(again.status, 200)
      assert.strictEqual(again.json.job.id, "again")
      assert.isObject(again.json.matching)
      const other = yield* ask("POST", "/jobs", { body: { ...body, priority: 51 } })
      assert.strictEqual(expectProblem(other, 409, "JobAlreadyExists").id, "again")
    })
  )

  it.effect("count the workers that match, and refuse where none ever could", () =>
    Effect.gen(function* () {
      const body = { id: "choosy", service_required: "rare", if_unmatchable: "reject" }
      const refused = expectProblem(yield* ask("POST", "/jobs", { body }), 409, "NotMatchable")
      assert.strictEqual(refused.service_required, "rare")
      expectProblem(yield* ask("GET", "/jobs/choosy"), 404, "JobNotFound")

      yield* register("rare-worker", { capabilities: { job_types: ["rare"] } })
      const taken = yield* ask("POST", "/jobs", { body })
      assert.strictEqual(taken.status, 201)
      assert.deepStrictEqual(taken.json.matching, { active: 0, registered: 1 })
    })
  )

  it.effect("list jobs page by page, newest first", () =>
    Effect.gen(function* () {
      const ids: Array<string> = []
      for (let n = 0; n < 5; n++) ids.push(yield* submit({ service_required: "listed" }))
      yield* ask("POST", `/jobs/${ids[0]}/cancel`)

      const listed: Array<string> = []
      let cursor: string | null = ""
      while (cursor !== null) {
        const query = `/jobs?service_required=listed&status=pending&limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`
        const page: any = (yield* ask("GET", query)).json
        listed.push(...page.jobs.map(({ id }: { id: string }) => id))
        cursor = page.next_cursor
      }
      assert.deepStrictEqual(listed, ids.slice(1).toReversed())
      expectProblem(yield* ask("GET", "/jobs?cursor=nonsense"), 400, "InvalidCursor")
    })
  )

  it.effect("list jobs by what they are for, who held them, and when they came", () =>
    Effect.gen(function* () {
      const old = yield* submit({ service_required: "filtered", customer_id: "c-1" })
      const { job } = (yield* ask("GET", `/jobs/${old}`)).json
      const machine_id = "filter-machine"
      yield* ask("POST", "/workers", {
        body: { id: "filter-worker", region: "eu", capacity: 1, metadata: { machine_id } }
      })
      const flow = yield* submit({ service_required: "filtered", workflow_id: "f-1" })
      const list = (query: string) =>
        Effect.map(ask("GET", `/jobs?service_required=filtered&${query}`), ({ json }) =>
          json.jobs.map(({ id }: { id: string }) => id)
        )
      assert.deepStrictEqual(yield* list("customer_id=c-1"), [old])
      assert.deepStrictEqual(yield* list("workflow_id=f-1"), [flow])
      assert.deepStrictEqual(yield* list("customer_id=c-1&workflow_id=f-1"), [])
      assert.deepStrictEqual(yield* list(`created_from=${job.created_at}`), [flow, old])
      assert.deepStrictEqual(yield* list(`created_before=${job.created_at}`), [])
      assert.deepStrictEqual(yield* list("worker_id=filter-worker"), [])
      const onMachine = (yield* ask("GET", `/jobs?machine_id=${machine_id}`)).json
      assert.deepStrictEqual(onMachine, { jobs: [], next_cursor: null })
    })
  )

  it.effect("show a job and cancel it once and for all", () =>
    Effect.gen(function* () {
      const id = yield* submit()
      assert.strictEqual((yield* ask("GET", `/jobs/${id}`)).json.job.status, "pending")
      assert.strictEqual((yield* ask("POST", `/jobs/${id}/cancel`)).json.job.status, "cancelled")
      assert.strictEqual((yield* ask("POST", `/jobs/${id}/cancel`)).status, 200)
      expectProblem(yield* ask("GET", "/jobs/unknown"), 404, "JobNotFound")
      expectProblem(yield* ask("POST", "/jobs/unknown/cancel"), 404, "JobNotFound")
      expectProblem(
        yield* ask("POST", `/jobs/${id}/cancel`, { body: { reason: "nobody reads this" } }),
        400,
        "InvalidRequest"
      )
    })
  )

  it.effect("submit jobs together, in their order", () =>
    Effect.gen(function* () {
      const jobs = [
        { service_required: "together", payload: { n: 0 } },
        { id: "mine", job_type: "together", priority: 0, run_at: "2999-01-01T00:00:00.000Z" },
        { service_required: "together", if_unmatchable: "wait" }
      ]
      const answer = yield* ask("POST", "/jobs/batch", { body: { jobs } })
      assert.strictEqual(answer.status, 201)
      assert.deepStrictEqual(Object.keys(answer.json), ["ids"])
      const { ids } = answer.json
      assert.strictEqual(ids[1], "mine")
      const listed = (yield* ask("GET", "/jobs?service_required=together")).json.jobs
      assert.deepStrictEqual(listed.map(({ id }: { id: string }) => id).toReversed(), ids)
      assert.deepStrictEqual(listed[2].payload, { n: 0 })
      assert.strictEqual(listed[1].status, "scheduled")

      const again = yield* ask("POST", "/jobs/batch", { body: { jobs: [jobs[1], { job_type: "together" }] } })
      assert.strictEqual(again.status, 201)
      assert.strictEqual(again.json.ids[0], "mine")
    })
  )

  it.effect("submit all jobs of a batch or none, and name what is wrong by its place", () =>
    Effect.gen(function* () {
      yield* submit({ id: "taken", service_required: "partial" })
      const count = Effect.map(ask("GET", "/jobs?service_required=partial"), ({ json }) => json.jobs.length)
      const batch = (...jobs: ReadonlyArray<unknown>) => ask("POST", "/jobs/batch", { body: { jobs } })
      const good = { service_required: "partial" }

      const taken = yield* batch(good, { ...good, id: "taken", payload: 1 })
      assert.strictEqual(expectProblem(taken, 409, "JobAlreadyExists").id, "taken")
      const choosy = yield* batch(good, { ...good, if_unmatchable: "reject" })
      assert.strictEqual(expectProblem(choosy, 409, "NotMatchable").service_required, "partial")
      const twice = expectProblem(
        yield* batch({ ...good, id: "two" }, good, { ...good, id: "two" }),
        400,
        "InvalidRequest"
      )
      assert.deepStrictEqual(pathsOf(twice), ["jobs[2].id"])
      assert.include(twice.detail, "two")
      const bad = yield* batch(good, { ...good, priority: 101 }, {}, { ...good, urgent: true }, null)
      assert.deepStrictEqual(pathsOf(expectProblem(bad, 400, "InvalidRequest")), [
        ...["jobs[1].priority", "jobs[2].service_required", "jobs[3].urgent", "jobs[4]"]
      ])
      for (const jobs of [[], Array.from({ length: 1_001 }, () => good), {}, null]) {
        const problem = expectProblem(yield* ask("POST", "/jobs/batch", { body: { jobs } }), 400, "InvalidRequest")
        assert.deepStrictEqual(pathsOf(problem), ["jobs"])
      }
      expectProblem(yield* batch(good, { ...good, payload: "x".repeat(1_100_000) }), 413, "PayloadTooLarge")
      assert.strictEqual(yield* count, 1)

      const most = Array.from({ length: 1_000 }, (_, n) => ({ ...good, id: `most-${n}` }))
      const answer = yield* batch(...most)
      assert.deepStrictEqual(
        answer.json.ids,
        most.map(({ id }) => id)
      )
    })
  )

  it.effect("let a failed job start over", () =>
    Effect.gen(function* () {
      const id = yield* failed("retried")
      const answer = yield* ask("POST", `/jobs/${id}/retry`)
      assert.strictEqual(answer.status, 200)
      assert.deepInclude(answer.json.job, {
        id,
        status: "pending",
        retry_count: 0,
        attempt: 1,
        error: { kind: "Rejected", message: "no" },
        finished_at: null
      })
      const again = expectProblem(yield* ask("POST", `/jobs/${id}/retry`), 400, "InvalidStateTransition")
      assert.deepInclude(again, {
        ...{ subject: "job", id, from: "pending", to: "pending" },
        detail: `job ${id} is pending; only a failed job can be retried`
      })
      expectProblem(yield* ask("POST", "/jobs/unknown/retry"), 404, "JobNotFound")
    })
  )

  it.effect("let many failed jobs start over, those that the filter means", () =>
    Effect.gen(function* () {
      const many = [yield* failed("many"), yield* failed("many", "Timeout"), yield* failed("more", "Timeout")]
      const retry = (filter: unknown) => ask("POST", "/jobs/retry", { body: { filter } })
      assert.deepStrictEqual((yield* retry({ service_required: "many", error_kind: "Timeout" })).json, { count: 1 })
      const statuses = Effect.forEach(many, (id) =>
        Effect.map(ask("GET", `/jobs/${id}`), ({ json }) => json.job.status)
      )
      assert.deepStrictEqual(yield* statuses, ["failed", "pending", "failed"])
      assert.deepStrictEqual((yield* retry({ service_required: "nothing" })).json, { count: 0 })
      assert.strictEqual((yield* retry({})).json.count, 2)
      assert.deepStrictEqual(yield* statuses, ["pending", "pending", "pending"])

      for (const [body, ...paths] of [
        [undefined, ""],
        [{}, "filter"],
        [{ filter: null }, "filter"],
        [{ filter: { status: "failed" } }, "filter.status"],
        [
          { filter: { service_required: "a b", error_kind: "Bad" }, all: true },
          "all",
          "filter.error_kind",
          "filter.service_required"
        ]
      ] as const) {
        const problem = expectProblem(yield* ask("POST", "/jobs/retry", { body }), 400, "InvalidRequest")
        assert.deepStrictEqual(pathsOf(problem), [...paths])
      }
    })
  )

  it.effect("reach a job that is called as a route is", () =>
    Effect.gen(function* () {
      for (const id of ["retry", "batch"]) {
        yield* submit({ id })
        assert.strictEqual((yield* ask("GET", `/jobs/${id}`)).json.job.id, id)
        assert.strictEqual((yield* ask("POST", `/jobs/${id}/cancel`)).json.job.status, "cancelled")
      }
    })
  )

  it.effect("show what a worker made of a job", () =>
    Effect.gen(function* () {
      const id = yield* submit({ service_required: "run" })
      const worker_id = WorkerId.make("runner")
      const [job] = yield* JobUseCases.claimJobs({
        worker_id,
        capabilities: { job_types: ["run"] },
        capacity: 1,
        limit: 1,
        nonce: "claim-1"
      })
      if (job === undefined) return assert.fail("nothing was claimed")
      const fence = { job_id: job.id, attempt: job.attempt, nonce: "claim-1" }
      yield* JobUseCases.startJob(fence)
      yield* JobUseCases.reportProgress(fence, { percent: 40, message: "half way, nearly" })
      const running = (yield* ask("GET", `/jobs/${id}`)).json.job
      assert.deepInclude(running, { status: "processing", worker_id: "runner", attempt: 1 })
      assert.deepStrictEqual(running.progress, { percent: 40, message: "half way, nearly" })

      yield* JobUseCases.completeJob(fence, { images: [1, 2] })
      const done = (yield* ask("GET", `/jobs/${id}`)).json.job
      assert.strictEqual(done.status, "completed")
      assert.deepStrictEqual(done.result, { images: [1, 2] })
      const problem = expectProblem(yield* ask("POST", `/jobs/${id}/cancel`), 400, "InvalidStateTransition")
      assert.deepInclude(problem, {
        ...{ subject: "job", from: "completed", to: "cancelled" },
        detail: `job ${id} is completed and cannot be cancelled any more`
      })
    })
  )

  it.effect("show the attempts of a job, with what was reported too late", () =>
    Effect.gen(function* () {
      const id = yield* submit({ service_required: "tried" })
      const attempts = Effect.map(ask("GET", `/jobs/${id}/attempts`), ({ json }) => json.attempts)
      assert.deepStrictEqual(yield* attempts, [])

      const claim = Effect.fnUntraced(function* (worker: string) {
        const nonce = `of-${worker}`
        const [job] = yield* JobUseCases.claimJobs({
          worker_id: WorkerId.make(worker),
          capabilities: { job_types: ["tried"] },
          capacity: 1,
          limit: 1,
          nonce
        })
        if (job === undefined) return assert.fail("nothing was claimed")
        return { job_id: job.id, attempt: job.attempt, nonce }
      })
      const first = yield* claim("frozen")
      yield* JobUseCases.startJob(first)
      yield* JobUseCases.returnJob(first)
      const second = yield* claim("other")
      const late = yield* Effect.flip(JobUseCases.completeJob(first, { late: true }))
      assert.strictEqual(late._tag, "LeaseLost")

      const [returned, holding] = yield* attempts
      assert.deepInclude(returned, { attempt: 1, worker_id: "frozen", outcome: "returned", error: null })
      assert.match(returned.assigned_at, /^\d{4}-\d\d-\d\dT/)
      assert.isString(returned.started_at)
      assert.isString(returned.ended_at)
      assert.deepStrictEqual(
        returned.late_reports.map(({ error, report }: any) => ({ error, report })),
        [{ error: null, report: "completed" }]
      )
      assert.deepInclude(holding, {
        attempt: 2,
        worker_id: "other",
        outcome: null,
        started_at: null,
        ended_at: null,
        late_reports: []
      })

      const failure = { kind: "Rejected", message: "not this one" } as const
      yield* JobUseCases.failJob(second, failure, { attempt: 2, retry_count: 0, max_retries: 3 })
      assert.deepInclude((yield* attempts)[1], { outcome: "failed", error: failure })
      expectProblem(yield* ask("GET", "/jobs/nobody/attempts"), 404, "JobNotFound")
    })
  )
})
