/** The doctor by the real command: against a real server in memory, and against what is no such server. */
import { assert, describe, it } from "@effect/vitest"
import * as Diagnosis from "@muster/core/diagnosis/Diagnosis"
import { JobId, request } from "@muster/core/job/Job"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { WorkerId } from "@muster/core/worker/Worker"
import * as WorkerUseCases from "@muster/core/worker/WorkerUseCases"
import { Effect } from "effect"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { merge, namesOf, summary } from "../../src/operator/doctor/Report.ts"
import { ahead } from "../../src/operator/doctor/ServerVisit.ts"
import { unknownVariables } from "../../src/operator/doctor/Surroundings.ts"
import { assertHarmless, type Ended, live, muster, operate, token } from "./operator.ts"

interface Line {
  readonly name: string
  readonly verdict: string
  readonly detail: string
  readonly fix: string | null
  readonly by: ReadonlyArray<string>
}

const findings = ({ stdout }: Ended): ReadonlyArray<Line> => JSON.parse(stdout).findings

const line = (ended: Ended, name: string): Line | undefined => findings(ended).find((finding) => finding.name === name)

/** A small server that is none of ours. */
const serve = (answer: RequestListener) =>
  Effect.acquireRelease(
    Effect.promise(
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer(answer).listen(0, "127.0.0.1", () => resolve(server))
        })
    ),
    (server) => Effect.sync(() => (server.closeAllConnections(), server.close()))
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`))

const doctor = (env: Record<string, string>, ...more: ReadonlyArray<string>) =>
  muster(["doctor", ...more], { env: { MUSTER_URL: "http://127.0.0.1:1", ...env } })

describe("muster doctor", () => {
  live(
    "finds a server well, and says who looked",
    Effect.gen(function* () {
      yield* WorkerUseCases.registerWorker({
        id: WorkerId.make("w-1"),
        region: "local",
        capacity: 1,
        capabilities: { job_types: ["simulation"] }
      })
      const ended = yield* operate(["doctor"])
      assert.strictEqual(ended.code, 0, ended.stdout)
      assert.match(ended.stdout, /^ok +node +Node\.js v\d+\S+ \(here\)$/m)
      assert.match(ended.stdout, /^ok +token +the server takes it \(here\)$/m)
      assert.match(ended.stdout, /^ok +queue\.serves +jobs are taken and given \(server\)$/m)
      assert.match(ended.stdout, /^ok +workers +1 worker: 0 active, 1 not heard from yet \(server\)$/m)
      assert.match(ended.stdout, /\n\nall is well\n$/)
      assertHarmless(ended.stdout)
      const names = ended.stdout.split("\n").map((text) => text.split(/ +/)[1])
      assert.isBelow(names.indexOf("node"), names.indexOf("server"))
      assert.isBelow(names.indexOf("server"), names.indexOf("queue.serves"))
      assert.isBelow(names.indexOf("queue.serves"), names.indexOf("workers"))
      assert.strictEqual(ended.stderr, "")
    })
  )

  live(
    "warns of jobs that nobody can serve, which is no error",
    Effect.gen(function* () {
      const queue = yield* JobQueue
      yield* queue.submit(JobId.make("j-1"), request({ service_required: "simulationx" }))
      const ended = yield* operate(["doctor", "--json"])
      assert.strictEqual(ended.code, 0)
      assert.isTrue(JSON.parse(ended.stdout).ok)
      assert.deepInclude(line(ended, "queue.waiting"), { verdict: "warning", by: ["server"] })
      assert.match(line(ended, "queue.waiting")?.detail ?? "", /1 waiting job .*simulationx \(1\)/)
      assert.match(line(ended, "queue.waiting")?.fix ?? "", /muster job explain/)
      assert.deepInclude(line(ended, "workers"), { verdict: "warning", detail: "no worker is registered" })
    })
  )

  live(
    "tells a wrong token from a missing one, and shows neither",
    Effect.gen(function* () {
      const wrong = yield* operate(["doctor", "--json"], { env: { MUSTER_TOKEN: "not-the-right-token" } })
      assert.strictEqual(wrong.code, 1)
      assert.deepInclude(line(wrong, "token"), { verdict: "error", detail: "the server does not take this token" })
      assert.deepInclude(line(wrong, "server"), { verdict: "ok" })
      const missing = yield* operate(["doctor", "--json"], { env: { MUSTER_TOKEN: "" } })
      assert.strictEqual(missing.code, 1)
      assert.match(line(missing, "token")?.detail ?? "", /asks for a token, and none is set/)
      for (const { stderr, stdout } of [wrong, missing]) {
        assert.notInclude(stdout + stderr, token)
        assert.notInclude(stdout + stderr, "not-the-right-token")
      }
    })
  )

  it.live(
    "names a server that is away, or something else that answers there",
    () =>
      Effect.gen(function* () {
        const away = yield* doctor({})
        assert.strictEqual(away.code, 1)
        assert.match(away.stdout, /^error +server +no Muster server at http:\/\/127\.0\.0\.1:1 /m)
        assert.match(away.stdout, /^ +fix: start the server, or let MUSTER_URL/m)
        assert.match(away.stdout, /\n1 error\n$/)
        const other = yield* serve((_, response) => response.writeHead(404).end("nginx"))
        const wrong = yield* doctor({ MUSTER_URL: other }, "--json")
        assert.strictEqual(wrong.code, 1)
        assert.match(line(wrong, "server")?.detail ?? "", /no Muster server/)
      }).pipe(Effect.scoped),
    120_000
  )

  it.live(
    "names clocks that differ, and a server that hangs, in time",
    () =>
      Effect.gen(function* () {
        const at =
          (offset: number): RequestListener =>
          (incoming, response) => {
            const date = new Date(Date.now() + offset).toUTCString()
            const [status, body] =
              incoming.url === "/health" ? [200, { status: "ok" }] : [200, { version: "9.9.9", findings: [] }]
            response.writeHead(status, { date, "content-type": "application/json" }).end(JSON.stringify(body))
          }
        const [agreeing, behind, ahead] = yield* Effect.forEach([0, 8_000, -60_000], (offset) =>
          Effect.flatMap(serve(at(offset)), (url) => doctor({ MUSTER_URL: url }, "--json"))
        )
        assert.deepInclude(line(agreeing!, "clock"), { verdict: "ok" })
        assert.strictEqual(agreeing?.code, 0)
        assert.deepInclude(line(agreeing!, "server"), { verdict: "warning" })
        assert.match(line(agreeing!, "server")?.detail ?? "", /Muster 9\.9\.9 answers .* this command is \d/)
        assert.deepInclude(line(behind!, "clock"), { verdict: "warning" })
        assert.match(line(behind!, "clock")?.detail ?? "", /^this clock is \d\.\d s behind the server's$/)
        // Over half of the lease of 30 s.
        assert.deepInclude(line(ahead!, "clock"), { verdict: "error" })
        assert.match(line(ahead!, "clock")?.fix ?? "", /timedatectl/)
        assert.strictEqual(ahead?.code, 1)

        const silent = yield* serve(() => {})
        const began = Date.now()
        const hanging = yield* doctor({ MUSTER_URL: silent }, "--json")
        assert.isBelow(Date.now() - began, 60_000)
        assert.strictEqual(hanging.code, 1)
        assert.match(line(hanging, "server")?.detail ?? "", /no answer within 3s/)
      }).pipe(Effect.scoped),
    120_000
  )

  it.live(
    "lists everything wrong with the configuration, and guesses what was meant",
    () =>
      Effect.gen(function* () {
        const ended = yield* doctor(
          {
            MUSTER_PORT: "99999999",
            MUSTER_LEASE: "soon",
            MUSTER_TOKN: "a-secret-in-a-wrong-variable",
            REDIS_URL: "redsi://:secret-password@somewhere",
            DATABASE_URL: "postgres://user:other-password@127.0.0.1:1/muster"
          },
          "--json"
        )
        assert.strictEqual(ended.code, 1)
        const { detail = "", verdict } = line(ended, "configuration") ?? {}
        assert.strictEqual(verdict, "error")
        for (const said of [
          /MUSTER_PORT: /,
          /MUSTER_LEASE: /,
          /REDIS_URL: /,
          /MUSTER_TOKN \(did you mean MUSTER_TOKEN\?\)/
        ]) {
          assert.match(detail, said)
        }
        // What can be read is looked at all the same.
        assert.deepInclude(line(ended, "postgres.connection"), { verdict: "error", by: ["here"] })
        for (const secret of ["a-secret-in", "secret-password", "other-password"]) {
          assert.notInclude(ended.stdout + ended.stderr, secret)
        }
      }),
    120_000
  )

  it.live(
    "looks at stores that are named, before there is a server",
    () =>
      Effect.gen(function* () {
        const ended = yield* muster(["doctor", "--json"], {
          env: { DATABASE_URL: "postgres://user:pw@127.0.0.1:1/muster", REDIS_URL: "redis://:pw@127.0.0.1:1" }
        })
        assert.strictEqual(ended.code, 1)
        assert.deepInclude(line(ended, "postgres.connection"), {
          verdict: "error",
          detail: "PostgreSQL cannot be reached"
        })
        assert.deepInclude(line(ended, "redis.connection"), { verdict: "error", detail: "Redis cannot be reached" })
        assert.strictEqual(ended.stderr, "")
      }),
    120_000
  )
})

describe("what both sides found", () => {
  const found = (verdict: "ok" | "warning" | "error", detail: string) => ({
    name: "redis.memory",
    verdict,
    detail,
    fix: null
  })

  it("is one line when they agree, and two when they do not", () => {
    assert.deepStrictEqual(merge(found("ok", "here"), found("ok", "server")), [
      { ...found("ok", "server"), by: ["here", "server"] }
    ])
    assert.deepStrictEqual(merge(found("ok", "here"), found("error", "server")), [
      { ...found("ok", "here"), by: ["here"] },
      { ...found("error", "server"), by: ["server"] }
    ])
    assert.deepStrictEqual(merge(undefined, undefined), [])
  })

  it("is told in one order, whoever looked first", () => {
    const named = (...names: ReadonlyArray<string>) => names.map((name) => ({ ...found("ok", ""), name }))
    assert.deepStrictEqual(
      namesOf(named("redis.version", "node"), named("workers", "redis.version", "server", "of.another.version")),
      ["node", "server", "redis.version", "workers", "of.another.version"]
    )
    assert.deepStrictEqual(
      Diagnosis.inOrder(named("workers", "node")).map(({ name }) => name),
      ["node", "workers"]
    )
  })

  it("is summed up", () => {
    const by = ["here"] as const
    assert.strictEqual(summary([{ ...found("ok", ""), by }]), "all is well")
    assert.strictEqual(
      summary([
        { ...found("error", ""), by },
        { ...found("error", ""), by },
        { ...found("warning", ""), by }
      ]),
      "2 errors, 1 warning"
    )
  })
})

describe("clocks", () => {
  it("differ by what neither the whole second nor the way there and back explains", () => {
    const date = 1_000_000
    assert.strictEqual(ahead(date, date + 100, date + 200), 0)
    assert.strictEqual(ahead(date, date + 900, date + 1_100), 0)
    assert.strictEqual(ahead(date, date + 5_000, date + 5_000), 4_000)
    assert.strictEqual(ahead(date, date - 3_000, date - 3_000), -3_000)
    // The answer may have waited for all of it.
    assert.strictEqual(ahead(date, date - 2_000, date + 1_000), 0)
    assert.strictEqual(ahead(date, date + 2_000, date + 6_000), 1_000)
  })
})

describe("variables", () => {
  it("that nothing reads are named, those of others are not", () => {
    assert.deepStrictEqual(unknownVariables({ MUSTER_URL: "x", PATH: "x", HOME: "x", MUSTERED: "x" }), [])
    assert.deepStrictEqual(unknownVariables({ MUSTER_LEAS: "1", MUSTER_QWERTZUIOP: "2" }), [
      "MUSTER_LEAS (did you mean MUSTER_LEASE?)",
      "MUSTER_QWERTZUIOP"
    ])
  })
})
