import { assert, describe, it } from "@effect/vitest"
import * as Explanation from "@muster/core/job/Explanation"
import { JobId } from "@muster/core/job/Job"
import { WorkerId } from "@muster/core/worker/Worker"
import { DateTime, Schema } from "effect"
import { ago, explain, job, later, now } from "./explaining.ts"

const workerIds = ({ workers }: Explanation.Explanation) => workers.map(({ worker_id }) => String(worker_id))
const clauses = ({ workers }: Explanation.Explanation) =>
  workers.map(({ unmet, worker_id }) => `${worker_id}: ${unmet.map(({ clause }) => clause).join(" ")}`)

const failure = { kind: "ServiceUnavailable", message: "HTTP 503" } as const

describe("Explanation", () => {
  it("next: a worker that matches has room", () => {
    const answer = explain({
      place: { ahead: 2 },
      fleet: [
        { ids: ["w-1", "w-2"], capacity: 2, holds: 2 },
        { ids: ["w-3"], capacity: 2, holds: 1, offer: { labels: { a: 1 } } },
        { ids: ["w-4"], standing: "paused" }
      ]
    })
    assert.deepInclude(answer, {
      job_id: JobId.make("j-1"),
      status: "pending",
      verdict: "next",
      ahead: 2,
      ahead_at_least: false,
      reason: null,
      due_at: null,
      summary: "It is about to run: worker w-3 matches and has room; 2 jobs go before it.",
      hints: [],
      workers_left_out: 0
    })
    assert.deepInclude(answer.matching, { free: 1, full: 2, paused: 1 })
    assert.deepStrictEqual(workerIds(answer), ["w-3", "w-1", "w-2", "w-4"])
    assert.deepInclude(answer.workers[0], { status: "active", standing: "open", capacity: 2, holds: 1, unmet: [] })
    assert.deepInclude(answer.workers[3], { standing: "paused", holds: null, unmet: [] })
  })

  it("next, of a worker that has not been activated yet", () => {
    assert.strictEqual(explain({ fleet: [{ ids: ["w-1"], status: "pending" }] }).verdict, "next")
  })

  it("next, and a worker with room that does not claim is strange", () => {
    const old = job({}, { created_at: ago(400) })
    const fleet = [{ ids: ["w-1"] }]
    assert.deepStrictEqual(explain({ job: old, fleet }).hints, [
      "worker w-1 has room and has not claimed the job for 6 min: see its log, and whether it reaches the queue"
    ])
    assert.deepStrictEqual(explain({ job: old, fleet, place: { ahead: 1 } }).hints, [])
    assert.deepStrictEqual(explain({ job: { ...old, run_at: ago(3) }, fleet }).hints, [])
  })

  it("busy: an unhealthy connector is told by its name, since when, and why", () => {
    const connectors = [
      { name: "TextConnector", status: "idle" as const, since: ago(9), reason: null, job_types: ["text"] },
      {
        name: "RenderConnector",
        status: "error" as const,
        since: ago(600),
        reason: "ServiceUnavailable: the connection was refused",
        job_types: ["render"]
      }
    ]
    const { hints, verdict } = explain({ fleet: [{ ids: ["w-2"], unhealthy: ["render"], connectors }] })
    assert.strictEqual(verdict, "busy")
    assert.deepStrictEqual(hints, [
      "connector RenderConnector on w-2, which matches, is unhealthy since 2026-03-01T11:50:00.000Z (10 min ago): " +
        "ServiceUnavailable: the connection was refused"
    ])
  })

  it("busy: full, paused, draining and unhealthy are told apart", () => {
    const answer = explain({
      place: { ahead: 1, at_least: true },
      fleet: [
        { ids: ["w-1", "w-2"], capacity: 2, holds: 2 },
        { ids: ["w-3"], standing: "paused" },
        { ids: ["w-4"], standing: "draining" },
        { ids: ["w-5"], unhealthy: ["render"] },
        { ids: ["w-6"], status: "offline" }
      ]
    })
    assert.deepInclude(answer, {
      verdict: "busy",
      ahead: 1,
      ahead_at_least: true,
      summary:
        "5 live workers match, and none is free: 2 are full, 1 is paused, 1 is draining, 1 has an unhealthy connector; " +
        "at least 1 job goes before it; 1 more that would match is offline.",
      hints: [
        "2 workers that could take it are full with 4 jobs: wait, add workers, or raise their capacity",
        "1 worker that matches is paused: muster workers resume w-3",
        "1 worker that matches is draining: muster workers resume w-4",
        `worker w-5 matches, but its connector for "render" is unhealthy`
      ]
    })
    assert.deepStrictEqual(answer.matching, {
      free: 0,
      full: 2,
      not_looked_at: 0,
      paused: 1,
      draining: 1,
      unhealthy: 1,
      offline: 1,
      gone: 0
    })
    assert.deepStrictEqual(clauses(answer), ["w-1: ", "w-2: ", "w-5: connector_unhealthy", "w-3: ", "w-4: ", "w-6: "])
  })

  it("busy, when all that match are paused, says how to go on", () => {
    const answer = explain({ fleet: [{ ids: ["w-1", "w-2", "w-3"], standing: "paused" }] })
    assert.strictEqual(answer.verdict, "busy")
    assert.deepStrictEqual(answer.hints, ["all 3 workers that match are paused: muster workers resume w-1 w-2 w-3"])
    const one = explain({ fleet: [{ ids: ["w-1"], standing: "draining" }] })
    assert.strictEqual(one.summary, "The only worker that matches is draining; no job goes before it.")
    assert.deepStrictEqual(one.hints, ["the only worker that matches is draining: muster workers resume w-1"])
    const left = explain({
      fleet: [
        { ids: ["w-1"], standing: "draining" },
        { ids: ["w-2", "w-3"], status: "offline" }
      ]
    })
    assert.strictEqual(
      left.summary,
      "The only live worker that matches is draining; no job goes before it; 2 more that would match are offline."
    )
  })

  it("an unhealthy connector is never nobody", () => {
    const answer = explain({ fleet: [{ ids: ["w-1"], unhealthy: ["render", "other"] }] })
    assert.strictEqual(answer.verdict, "busy")
    assert.strictEqual(
      answer.summary,
      "The only worker that matches has an unhealthy connector; no job goes before it."
    )
    assert.deepStrictEqual(answer.workers[0]?.unmet, [
      { clause: "connector_unhealthy", required: "render", offered: ["render", "other"] }
    ])
    // For another job type it does not matter.
    assert.strictEqual(explain({ fleet: [{ ids: ["w-1"], unhealthy: ["other"] }] }).verdict, "next")
  })

  it("later: scheduled", () => {
    const due_at = later(600)
    const scheduled = job({ run_at: due_at }, { status: "scheduled" })
    const answer = explain({ job: scheduled, place: { due_at }, fleet: [{ ids: ["w-1"] }] })
    assert.deepInclude(answer, {
      verdict: "later",
      reason: "scheduled",
      due_at,
      ahead: null,
      summary: "It is scheduled and waits until 2026-03-01T12:10:00.000Z.",
      hints: []
    })
    const nobody = explain({
      job: scheduled,
      place: { due_at },
      fleet: [{ ids: ["w-1"], offer: { job_types: ["b"] } }]
    })
    assert.strictEqual(nobody.verdict, "later")
    assert.deepStrictEqual(nobody.hints, [
      "when its time has come, nobody could take it as things are now:",
      `no worker accepts "render"; job types that are accepted: "b"`
    ])
  })

  it("later: backing off", () => {
    const due_at = later(20)
    const failed = job({}, { status: "scheduled", attempt: 2, retry_count: 2, error: failure })
    const answer = explain({ job: failed, place: { due_at }, fleet: [{ ids: ["w-1"] }] })
    assert.deepInclude(answer, {
      verdict: "later",
      reason: "backing_off",
      error: failure,
      summary:
        "It is backing off until 2026-03-01T12:00:20.000Z, after attempt 2 ended with ServiceUnavailable: HTTP 503."
    })
  })

  it("later: left to other workers than the one it failed on", () => {
    const avoids = WorkerId.make("w-1")
    const error = { kind: "ResourceExhausted", message: "out of memory" } as const
    const failed = job({}, { attempt: 1, error })
    const alone = explain({ job: failed, place: { avoids }, fleet: [{ ids: ["w-1"] }] })
    assert.deepInclude(alone, { verdict: "later", reason: "stepped_aside", due_at: null, ahead: 0 })
    assert.include(alone.summary, "left to other workers for half a minute: it failed on w-1 with ResourceExhausted")
    const aside = { ...failed, status: "scheduled" as const }
    const stepped = explain({ job: aside, place: { avoids, due_at: later(1) }, fleet: [{ ids: ["w-1", "w-2"] }] })
    assert.strictEqual(stepped.reason, "stepped_aside")
    const others = explain({ job: failed, place: { avoids }, fleet: [{ ids: ["w-1", "w-2"] }] })
    assert.strictEqual(others.verdict, "next")
    assert.include(others.summary, "worker w-2 matches")
    const full = explain({
      job: failed,
      place: { avoids },
      fleet: [{ ids: ["w-1"] }, { ids: ["w-2"], holds: 1, offer: { labels: { a: 1 } } }]
    })
    assert.strictEqual(full.verdict, "busy")
    assert.include(full.summary, "1 is full, 1 is the one it failed on")
  })

  it("offline: only workers that were lost match", () => {
    const answer = explain({
      fleet: [
        { ids: ["w-1"], status: "gone", since: ago(7_300), machine_id: "m-1" },
        { ids: ["w-2"], status: "offline", last_heartbeat_at: ago(3 * 3_600) },
        { ids: ["w-3"], status: "offline", standing: "paused", last_heartbeat_at: null },
        { ids: ["w-4"], offer: { job_types: ["other"] } }
      ]
    })
    assert.strictEqual(answer.verdict, "offline")
    assert.strictEqual(answer.summary, "Only workers that were lost match it: w-2 and 2 more.")
    assert.deepStrictEqual(answer.hints, [
      "worker w-2 matches and was last seen 3 h ago: see whether its process and its machine run",
      "worker w-3 matches and has never been heard from: see whether its process and its machine run",
      "worker w-1 on machine m-1 matched, and was unregistered 2 h ago: start it again"
    ])
    assert.deepStrictEqual(workerIds(answer), ["w-2", "w-3", "w-1", "w-4"])
    assert.deepInclude(answer.matching, { offline: 2, gone: 1, full: 0 })
  })

  it("impossible: none of all known", () => {
    const asked = job({ requirements: { hardware: { gpu_memory_gb: 24 } } })
    const answer = explain({
      job: asked,
      fleet: [
        { ids: ["far"], offer: { hardware: { gpu_memory_gb: 8 } } },
        { ids: ["near", "near-2"], offer: { hardware: { gpu_memory_gb: 20 } } },
        { ids: ["other"], offer: { job_types: ["chat"] } },
        { ids: ["lost"], status: "offline", offer: { hardware: { gpu_memory_gb: 23 } } }
      ]
    })
    assert.deepInclude(answer, {
      verdict: "impossible",
      summary: "Nobody could run it: of 5 workers that are registered none matches.",
      hints: [
        "worker lost misses 1 GB of GPU memory (it has 23, the job asks for 24), and is offline",
        "worker near misses 4 GB of GPU memory (it has 20, the job asks for 24) (as does 1 more)",
        "worker far misses 16 GB of GPU memory (it has 8, the job asks for 24)"
      ]
    })
    assert.deepStrictEqual(clauses(answer), [
      "lost: hardware.gpu_memory_gb",
      "near: hardware.gpu_memory_gb",
      "near-2: hardware.gpu_memory_gb",
      "far: hardware.gpu_memory_gb",
      "other: service_required hardware.gpu_memory_gb"
    ])
    assert.strictEqual(explain({ fleet: [] }).summary, "Nobody could run it: no worker is registered.")
  })

  it("answers some workers of each kind and says how many are left out", () => {
    const many = Array.from({ length: 50 }, (_, at) => `far-${String(at).padStart(2, "0")}`)
    const answer = explain({
      job: job({ requirements: { models: ["flux"] } }),
      fleet: [
        { ids: many },
        { ids: ["near"], offer: { models: ["sdxl"] }, status: "offline" },
        { ids: ["other"], offer: { job_types: ["chat"] } }
      ],
      limit: 10
    })
    assert.deepStrictEqual(workerIds(answer), ["far-00", "far-01", "near", "other"])
    assert.strictEqual(answer.workers_left_out, 48)
  })

  it("looks at hundreds of workers that may be free, and says what it has not looked at", () => {
    const many = Array.from({ length: 500 }, (_, at) => `w-${at}`)
    const answer = explain({ fleet: [{ ids: many, holds: 1 }], limit: 5 })
    assert.deepInclude(answer.matching, { full: 300, not_looked_at: 200 })
    assert.strictEqual(answer.verdict, "busy")
    assert.lengthOf(answer.workers, 5)
    assert.strictEqual(answer.workers_left_out, 495)
  })

  it("does not answer lists without an end", () => {
    const models = Array.from({ length: 1_000 }, (_, at) => `m-${at}`)
    const answer = explain({
      job: job({ requirements: { models: ["flux"] } }),
      fleet: [{ ids: ["w-1"], offer: { models } }]
    })
    assert.deepStrictEqual(answer.workers[0]?.unmet, [
      { clause: "models", required: ["flux"], offered: models.slice(0, 20), offered_left_out: 980 }
    ])
  })

  it("says when a job expires", () => {
    const expires_at = later(60)
    assert.deepStrictEqual(explain({ job: job({ expires_at }), fleet: [{ ids: ["w-1"] }] }).hints, [
      "it expires at 2026-03-01T12:01:00.000Z unless a worker has taken it by then"
    ])
  })

  it("answers for jobs that do not wait", () => {
    const held = job({}, { status: "processing", attempt: 2, worker_id: WorkerId.make("w-1"), started_at: ago(65) })
    const running = Explanation.explainOther(held, { status: "active" }, now)
    assert.deepInclude(running, {
      verdict: null,
      ahead: null,
      matching: null,
      worker_id: WorkerId.make("w-1"),
      workers: [],
      hints: [],
      summary: "It does not wait: worker w-1 runs it (attempt 2, since 1 min)."
    })
    const lost = Explanation.explainOther(held, { status: "offline" }, now)
    assert.deepStrictEqual(lost.hints, [
      "worker w-1 is offline: unless it goes on renewing its lease, the job waits again when that ends"
    ])
    assert.deepStrictEqual(Explanation.explainOther(held, null, now).hints, [])
    const failed = { ...held, status: "failed" as const, error: failure, finished_at: ago(7_200) }
    assert.deepInclude(Explanation.explainOther(failed, null, now), {
      verdict: null,
      error: failure,
      summary: "It failed 2 h ago, after attempt 2: ServiceUnavailable: HTTP 503.",
      hints: ["what became of each attempt: muster job attempts j-1", "let it start over: muster job retry j-1"]
    })
    for (const [status, words] of [
      ["completed", "It completed 2 h ago."],
      ["cancelled", "It was cancelled 2 h ago."],
      ["expired", "It expired 2 h ago: no worker had taken it by its expires_at."]
    ] as const) {
      assert.strictEqual(Explanation.explainOther({ ...failed, status }, null, now).summary, words)
    }
  })

  it("travels", () => {
    const answer = explain({ fleet: [{ ids: ["w-1"], offer: { job_types: [] } }] })
    const codec = Schema.toCodecJson(Explanation.Explanation)
    const text = JSON.stringify(Schema.encodeSync(codec)(answer))
    assert.deepStrictEqual(Schema.decodeSync(codec)(JSON.parse(text)), answer)
    assert.isTrue(DateTime.isDateTime(answer.workers[0]?.status_changed_at))
  })
})
