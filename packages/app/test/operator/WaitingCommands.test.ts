/** Why jobs wait, by the real command, against a real server in memory. */
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { ask, assertHarmless, field, live, operate } from "./operator.ts"

const register = (id: string, job_types: ReadonlyArray<string>, labels: Record<string, string> = {}) =>
  WorkerUseCases.registerWorker({
    id: WorkerId.make(id),
    region: "local",
    capacity: 2,
    capabilities: { job_types, labels }
  })

const submit = (id: string, service: string, ...flags: ReadonlyArray<string>) =>
  Effect.map(operate(["job", "submit", service, "--id", id, ...flags]), ({ code }) => assert.strictEqual(code, 0))

describe("muster job explain", () => {
  live(
    "says in one command why `simulation` waits where `simulationx` is accepted",
    Effect.gen(function* () {
      yield* register("w-7", ["simulationx"])
      yield* submit("j-1", "simulation")
      const explained = yield* operate(["job", "explain", "j-1"])
      assert.strictEqual(explained.code, 0)
      assert.strictEqual(explained.stderr, "")
      assert.deepStrictEqual(explained.stdout.split("\n"), [
        "job j-1 waits (impossible): Nobody could run it: the only worker that is registered does not match.",
        "",
        "WORKER  STATUS   JOBS  LAST BEAT  MISSES",
        `w-7     pending     -  never      does not accept "simulation" (it accepts "simulationx")`,
        "",
        `→ no worker accepts "simulation"; did you mean "simulationx", accepted by worker w-7?`,
        `→ if "simulation" is right, worker w-7 may list the name of an internal service among its job types: correct its service mapping`,
        ""
      ])
    })
  )

  live(
    "folds what is far away, and --json is what the server answered",
    Effect.gen(function* () {
      for (let n = 0; n < 7; n++) yield* register(`w-${n}`, ["render"], { tier: `t\u001b[31m\u202e${n}` })
      yield* submit("j-1", "render", "--label", "tier=gold")
      yield* submit("j-2", "render")
      const [folded, all, json, next] = yield* Effect.all(
        [
          operate(["job", "explain", "j-1"]),
          operate(["jobs", "why", "j-1", "--all"]),
          operate(["job", "explain", "j-1", "--json"]),
          operate(["job", "explain", "j-2"])
        ],
        { concurrency: 2 }
      )
      for (const { code, stdout } of [folded, all, json, next]) {
        assert.strictEqual(code, 0)
        assertHarmless(stdout)
      }
      assert.lengthOf(folded.stdout.match(/^w-\d/gm) ?? [], 5)
      assert.strictEqual(folded.stderr, "2 more workers are known; --all shows them\n")
      assert.lengthOf(all.stdout.match(/^w-\d/gm) ?? [], 7)
      assert.strictEqual(all.stderr, "")
      assert.deepStrictEqual(JSON.parse(json.stdout), yield* ask("/jobs/j-1/explain"))
      assert.match(next.stdout, /^job j-2 waits \(next\): It is about to run: worker w-\d matches and has room/)
      assert.match(next.stdout, /^w-\d +pending +0 of 2 +never +nothing$/m)

      yield* operate(["job", "cancel", "j-2"])
      const cancelled = yield* operate(["job", "explain", "j-2"])
      assert.strictEqual(cancelled.code, 0)
      assert.match(cancelled.stdout, /^job j-2 is cancelled: It was cancelled (just now|\d+ s ago)\.\n$/)
    })
  )

  live(
    "fails as other commands do",
    Effect.gen(function* () {
      const [missing, wrong, away] = yield* Effect.all(
        [
          operate(["job", "explain", "none"]),
          operate(["job", "explain", "a b", "--json"]),
          operate(["job", "explain", "j-1"], { env: { MUSTER_URL: "http://127.0.0.1:1" } })
        ],
        { concurrency: 2 }
      )
      assert.deepStrictEqual(missing, { code: 1, stdout: "", stderr: "error: job none does not exist\n" })
      assert.strictEqual(wrong.code, 2)
      assert.strictEqual(field(wrong.stderr, "code"), "WrongUse")
      assert.strictEqual(away.code, 1)
      assert.include(away.stderr, "no Muster server at")
    })
  )
})

describe("muster queue", () => {
  live(
    "shows what waits, first what nobody can run",
    Effect.gen(function* () {
      const empty = yield* operate(["queue"])
      assert.deepStrictEqual(empty, {
        code: 0,
        stdout:
          "0 waiting, 0 scheduled, 0 held by workers, 0 finished\n" +
          "in the last minute: 0 submitted, 0 started, 0 ended\n",
        stderr: ""
      })
      yield* register("w-1", ["render"])
      yield* submit("j-1", "render")
      yield* submit("j-2", "render")
      yield* submit("j-3", "paint", "--model", "flux", "--customer-id", "acme")
      const [shown, one, json, wrong] = yield* Effect.all(
        [
          operate(["queue"]),
          operate(["queue", "--limit", "1"]),
          operate(["queue", "--json"]),
          operate(["queue", "--limit", "1001"])
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(shown.code, 0)
      const [counts, , , titles, first, second] = shown.stdout.split("\n")
      assert.strictEqual(counts, "3 waiting, 0 scheduled, 0 held by workers, 0 finished")
      assert.match(titles ?? "", /^SERVICE +WAITING +OLDEST +IN\/MIN +OUT\/MIN +WORKERS +NEEDS$/)
      assert.match(first ?? "", /^paint +1 +\d+ s +\d+ +0 +nobody +model flux/)
      assert.match(second ?? "", /^render +2 +\d+ s +\d+ +0 +0 of 1 active +-$/)
      assert.notInclude(one.stdout, "render")
      assert.strictEqual(one.stderr, "1 more kind of jobs waits; --limit shows more\n")
      assert.strictEqual(field(json.stdout, "counts", "pending"), 3)
      assert.strictEqual(field(json.stdout, "classes", "0", "service_required"), "paint")
      assert.strictEqual(wrong.code, 2)
    })
  )
})
