import { merge } from "../../src/operator/doctor/Report.ts"
import * as JobView from "@muster/app/operator/JobView"
import * as WorkerView from "@muster/app/operator/WorkerView"
import { coloured, plain } from "@muster/app/terminal/Style"
import * as Table from "@muster/app/terminal/Table"
import { width } from "@muster/app/terminal/Text"
import type { Attempt } from "@muster/core/job/Attempt"
import { request, type Job, JobId } from "@muster/core/job/Job"
import { WorkerId, type WorkerWithMetadata } from "@muster/core/worker/Worker"
import { assert, describe, it } from "@effect/vitest"
import { DateTime } from "effect"

const now = DateTime.makeUnsafe("2026-03-01T12:00:00Z")
const ago = (seconds: number) => DateTime.subtract(now, { seconds })
const wide: Table.Canvas = { columns: Number.POSITIVE_INFINITY, style: plain }
const narrow = (columns: number): Table.Canvas => ({ columns, style: plain })

const job = (id: string, said: Partial<Job> = {}): Job => ({
  ...request({ service_required: "simulation" }),
  id: JobId.make(id),
  status: "pending",
  attempt: 0,
  retry_count: 0,
  worker_id: null,
  progress: null,
  result: null,
  error: null,
  created_at: ago(3),
  assigned_at: null,
  started_at: null,
  finished_at: null,
  ...said
})

const worker: WorkerWithMetadata = {
  id: WorkerId.make("w-1"),
  region: "local",
  capacity: 2,
  capabilities: {
    job_types: ["simulation", "other"],
    labels: { gpu: ["a", "b"] },
    models: ["sdxl"],
    customers: { isolation: "strict", allow: ["acme", "zeus"] },
    workflow_id: "wf-1"
  },
  machine_id: "m-1",
  worker_type: null,
  process_name: null,
  instance_id: null,
  unhealthy_job_types: ["other"],
  connectors: [
    { name: "A", status: "active", since: ago(60), reason: null, job_types: ["simulation"] },
    { name: "B", status: "error", since: ago(7_200), reason: "Timeout: away", job_types: ["other"] }
  ],
  standing: "open",
  status: "active",
  registered_at: ago(7_200),
  status_changed_at: ago(60),
  last_heartbeat_at: ago(4),
  occupancy: "busy",
  current_jobs: ["j-1"]
}

const widest = (text: string) => Math.max(...text.split("\n").map(width))

describe("JobView", () => {
  it("lists jobs in aligned columns", () => {
    const jobs = [
      job("a", { status: "completed", attempt: 12, worker_id: worker.id, created_at: ago(300) }),
      job("b-2")
    ]
    assert.deepStrictEqual(JobView.table(jobs, now, wide).split("\n"), [
      "ID   STATUS     SERVICE     PRIO  TRY  WORKER    AGE",
      "a    completed  simulation    50   12  w-1     5 min",
      "b-2  pending    simulation    50    0  -         3 s"
    ])
  })

  it("keeps to the width of the terminal, and gives ids the most room", () => {
    const id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    const jobs = [job(id, { status: "processing", worker_id: WorkerId.make("gpu-17-worker-simulation-3") })]
    const at80 = JobView.table(jobs, now, narrow(80))
    assert.include(at80, `${id}  processing  `)
    assert.isAtMost(widest(at80), 80)
    const at60 = JobView.table(jobs, now, narrow(60))
    assert.match(at60, /3f2504e\S*…\S*2c3301 {2}processing {2}simul… .* gpu…-3 /)
    assert.isAtMost(widest(at60), 60)
    // Below what can be cut the lines wrap; nothing is lost but the end of some texts.
    assert.include(JobView.table(jobs, now, narrow(20)), "3f2…01  processing")
  })

  it("shows everything about a job under its names on the wire, and leaves out what it does not have", () => {
    const failed = job("a", {
      status: "failed",
      attempt: 4,
      retry_count: 3,
      worker_id: worker.id,
      error: { kind: "Timeout", message: "took\u001b[31m too long\nreally" },
      payload: { prompt: "\u0007" },
      started_at: ago(2),
      finished_at: ago(1)
    })
    assert.deepStrictEqual(JobView.block(failed, now, wide).split("\n"), [
      "id                a",
      "status            failed",
      "service_required  simulation",
      String.raw`error             Timeout: took\u001b[31m too long\nreally`,
      "worker_id         w-1",
      "attempt           4 (3 of 3 retries used)",
      "priority          50",
      "created_at        3 s ago (2026-03-01T11:59:57.000Z)",
      "started_at        2 s ago (2026-03-01T11:59:58.000Z)",
      "finished_at       1 s ago (2026-03-01T11:59:59.000Z), after 1.0 s",
      String.raw`payload           {"prompt":"\u0007"}`
    ])
    const long = job("a", { payload: { text: "x".repeat(500) } })
    assert.strictEqual(widest(JobView.block(long, now, narrow(80))), 80)
    assert.isAbove(widest(JobView.block(long, now, wide)), 500)
  })

  it("shows what a job needs as one would ask for it", () => {
    const needy = job("a", {
      requirements: {
        hardware: { gpu_memory_gb: 24 },
        models: ["flux", "sd\u001bxl"],
        labels: { tier: ["gold", "4"], vram: { gte: 24, lt: 80 } },
        exclude: { spot: true, zone: { not: "a" } },
        customer_isolation: "strict"
      }
    })
    const lines = JobView.block(needy, now, wide).split("\n")
    const from = lines.findIndex((line) => line.startsWith("requirements"))
    assert.deepStrictEqual(
      lines.slice(from, from + 8).map((line) => line.slice(18)),
      [
        "gpu_memory_gb>=24",
        "model flux",
        String.raw`model sd\u001bxl`,
        'label tier=gold,"4"',
        "label vram>=24, vram<80",
        "exclude spot=true",
        "exclude zone!=a",
        "isolation strict"
      ]
    )
  })

  it("lists attempts, with late reports under theirs", () => {
    const attempts: ReadonlyArray<Attempt> = [
      {
        attempt: 1,
        worker_id: worker.id,
        outcome: "lost",
        assigned_at: ago(100),
        started_at: ago(99),
        ended_at: ago(69),
        error: { kind: "Lost", message: "the lease ran out" },
        late_reports: [
          { report: "failed", at: ago(60), error: { kind: "Timeout", message: "slow\u001b[31m" } },
          { report: "completed", at: ago(50), error: null }
        ]
      },
      {
        attempt: 2,
        worker_id: WorkerId.make("worker-22"),
        outcome: null,
        assigned_at: ago(5),
        started_at: null,
        ended_at: null,
        error: null,
        late_reports: []
      }
    ]
    assert.deepStrictEqual(JobView.attempts(attempts, now, wide).split("\n"), [
      "ATTEMPT  WORKER     OUTCOME          STARTED     TOOK  ERROR",
      "      1  w-1        lost             1 min ago   30 s  Lost: the lease ran out",
      String.raw`                    late: failed     1 min ago         Timeout: slow\u001b[31m`,
      "                    late: completed  50 s ago          -",
      "      2  worker-22  assigned         5 s ago    5.0 s  -"
    ])
    assert.include(JobView.attempts(attempts, now, { ...wide, style: coloured }), "\u001b[31mlost\u001b[39m")
    assert.isAtMost(widest(JobView.attempts(attempts, now, narrow(60))), 60)
  })

  it("shows progress in one line that fits", () => {
    const running = job("a", {
      status: "processing",
      worker_id: worker.id,
      progress: { percent: 40.6, step: 2, total_steps: 5, preview: "render-1-preview.jpg" }
    })
    assert.strictEqual(
      JobView.progressLine(running, now, narrow(80)),
      "processing  ████████░░░░░░░░░░░░  40 %  step 2 of 5 · on w-1 · 3 s"
    )
    assert.match(JobView.block(running, now, wide), /^preview +render-1-preview\.jpg$/m)
    const chatty = job("a", { status: "processing", progress: { percent: 100, message: "\r\u001b[K你".repeat(50) } })
    const line = JobView.progressLine(chatty, now, narrow(60))
    assert.notMatch(line, /\p{Cc}/u)
    assert.isBelow(width(line), 60)
    assert.strictEqual(JobView.progressLine(job("a"), now, narrow(80)), "pending  3 s")
  })

  it("colours only where the canvas has colours, without moving anything", () => {
    const jobs = [job("a", { status: "failed" }), job("bbb", { status: "completed" })]
    const shown = JobView.table(jobs, now, { ...wide, style: coloured })
    assert.include(shown, "\u001b[31mfailed\u001b[39m     simulation")
    assert.include(shown, "\u001b[32mcompleted\u001b[39m  simulation")
    assert.notInclude(JobView.table(jobs, now, wide), "\u001b")
  })
})

describe("WorkerView", () => {
  it("lists workers in aligned columns", () => {
    const silent = {
      ...worker,
      id: WorkerId.make("worker-2"),
      last_heartbeat_at: null,
      status: "pending" as const,
      unhealthy_job_types: []
    }
    assert.deepStrictEqual(WorkerView.table([worker, silent], now, wide).split("\n"), [
      "ID        STATUS   REGION  OCCUPANCY  CAPACITY  JOB TYPES                      LAST BEAT",
      "w-1       active   local   busy              2  simulation, other (unhealthy)  4 s ago",
      "worker-2  pending  local   busy              2  simulation, other              never"
    ])
  })

  it("shows a worker with its latest heartbeats", () => {
    assert.deepStrictEqual(WorkerView.block(worker, [ago(4), ago(19)], now, wide).split("\n"), [
      "id                   w-1",
      "status               active",
      "status_changed_at    1 min ago (2026-03-01T11:59:00.000Z)",
      "occupancy            busy",
      "current_jobs         j-1",
      "region               local",
      "capacity             2",
      "job_types            simulation, other",
      "unhealthy_job_types  other",
      "connectors           A: active since 1 min ago (2026-03-01T11:59:00.000Z), for simulation",
      "                     B: error since 2 h ago (2026-03-01T10:00:00.000Z), for other: Timeout: away",
      "models               sdxl",
      "labels               gpu a, b",
      "customers            isolation strict",
      "                     allow acme, zeus",
      "workflow_id          wf-1",
      "machine_id           m-1",
      "registered_at        2 h ago (2026-03-01T10:00:00.000Z)",
      "last_heartbeat_at    4 s ago (2026-03-01T11:59:56.000Z)",
      "heartbeats           4 s ago (2026-03-01T11:59:56.000Z)",
      "                     19 s ago (2026-03-01T11:59:41.000Z)"
    ])
  })
})

describe("a job with a picture in its payload", () => {
  it("does not fill the screen", () => {
    const lines = JobView.block(job("a", { payload: { image: "A".repeat(900_000) } }), now, wide).split("\n")
    const payload = lines.find((line) => line.startsWith("payload")) ?? ""
    assert.isBelow(payload.length, 2_200)
    assert.isTrue(payload.endsWith("AAA… (900012 characters; --json shows them all)"), payload.slice(-80))
  })
})

describe("the report of muster doctor", () => {
  it("names the mapping of either side where they are two", () => {
    const of = (detail: string) => ({ name: "mapping", verdict: "ok" as const, detail, fix: null })
    assert.deepStrictEqual(merge(of("a.json: 1 worker type"), of("b.json: 2 worker types")), [
      { ...of("a.json: 1 worker type"), by: ["here"] },
      { ...of("b.json: 2 worker types"), by: ["server"] }
    ])
    assert.strictEqual(merge(of("a.json: 1 worker type"), of("a.json: 1 worker type")).length, 1)
  })
})
