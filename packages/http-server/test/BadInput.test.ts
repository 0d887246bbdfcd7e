/** Whatever is sent: a clear refusal, nothing stored by halves, and a server that goes on. */
import { connect } from "node:net"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { expectProblem, pathsOf } from "./problems.ts"
import { ask, register, registration, server, submit, TestServer, type Sending } from "./TestServer.ts"

const counts = Effect.gen(function* () {
  const workers = (yield* ask("GET", "/workers")).json.workers.length
  const jobs = (yield* ask("GET", "/jobs?limit=1000")).json.jobs.length
  return { workers, jobs }
})

/** Runs `refusals`, and asserts that nothing was stored and that the server still takes what is right. */
const storesNothing = <E, R>(refusals: Effect.Effect<void, E, R>) =>
  Effect.gen(function* () {
    const before = yield* counts
    yield* refusals
    assert.deepStrictEqual(yield* counts, before)
    const id = `after-${globalThis.crypto.randomUUID()}`
    assert.strictEqual((yield* register(id)).status, 201)
    assert.strictEqual((yield* ask("DELETE", `/workers/${id}`)).status, 204)
  })

/** Sends bytes as they are, and gives everything that comes back until the server closes. */
const sendBytes = (port: number, bytes: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes))
    let text = ""
    socket.on("data", (chunk) => (text += chunk.toString()))
    socket.on("close", () => resolve(text))
    socket.on("error", reject)
  })

const long = "x".repeat(10_000)
const badIds = ["", " ", "a b", "a/b", "../etc", "a\u0000b", "a\nb", "\u0007", "-first", "ü", "a%2Fb", long]

layer(server())("bad input", (it) => {
  it.effect("is refused with every fault at once, by its path", () =>
    storesNothing(
      Effect.gen(function* () {
        const worker = expectProblem(
          yield* ask("POST", "/workers", {
            body: {
              id: "",
              region: 7,
              capacity: 0,
              capabilities: { job_types: ["fine", "not fine", 3], hardware: { gpu_count: -1 }, gpus: 2 },
              metadata: null,
              colour: "red"
            }
          }),
          400,
          "InvalidRequest"
        )
        assert.deepStrictEqual(pathsOf(worker), [
          "capabilities.gpus",
          "capabilities.hardware.gpu_count",
          "capabilities.job_types[1]",
          "capabilities.job_types[2]",
          "capacity",
          "colour",
          "id",
          "metadata",
          "region"
        ])
        const job = expectProblem(
          yield* ask("POST", "/jobs", {
            body: {
              id: null,
              service_required: "",
              payload: {},
              requirements: [],
              priority: 101,
              workflow_id: null,
              workflow_priority: "9",
              workflow_datetime: "yesterday",
              customer_id: null,
              max_retries: -1,
              timeout_ms: 1.5,
              run_at: 5,
              expires_at: null,
              if_unmatchable: "perhaps",
              metadata: [],
              urgent: true
            }
          }),
          400,
          "InvalidRequest"
        )
        assert.deepStrictEqual(pathsOf(job), [
          ...["customer_id", "expires_at", "id", "if_unmatchable", "max_retries", "metadata", "priority"],
          ...["requirements", "run_at", "service_required", "timeout_ms", "urgent", "workflow_datetime"],
          ...["workflow_id", "workflow_priority"]
        ])
        const status = yield* ask("PUT", "/workers/w/status", { body: { status: "busy", why: 1 } })
        assert.deepStrictEqual(pathsOf(expectProblem(status, 400, "InvalidRequest")), ["status", "why"])
        const update = yield* ask("PUT", "/workers/w", { body: {} })
        assert.deepStrictEqual(pathsOf(expectProblem(update, 400, "InvalidRequest")), [
          "capabilities",
          "capacity",
          "instance_id",
          "region"
        ])
      })
    )
  )

  it.effect("of the wrong shape is refused as a whole", () =>
    storesNothing(
      Effect.gen(function* () {
        for (const body of [null, 1, "text", [], [registration("listed")], true]) {
          expectProblem(yield* ask("POST", "/workers", { body }), 400, "InvalidRequest")
          expectProblem(yield* ask("POST", "/jobs", { body }), 400, "InvalidRequest")
        }
        expectProblem(yield* ask("POST", "/workers"), 400, "InvalidRequest")
        expectProblem(yield* ask("POST", "/jobs", { raw: "" }), 400, "InvalidRequest")
      })
    )
  )

  it.effect("that could never run is refused by its path", () =>
    storesNothing(
      Effect.gen(function* () {
        const expired = { run_at: "2030-01-02T00:00:00Z", expires_at: "2030-01-02T00:00:00Z" }
        const never = yield* ask("POST", "/jobs", { body: { service_required: "simulation", ...expired } })
        assert.deepStrictEqual(pathsOf(expectProblem(never, 400, "InvalidRequest")), ["expires_at"])
      })
    )
  )

  it.effect("is answered within bounds, however much is wrong", () =>
    Effect.gen(function* () {
      const job_types = Array.from({ length: 900 }, (_, n) => `bad name ${n}`)
      const answer = yield* register("many", { capabilities: { job_types } })
      assert.strictEqual(expectProblem(answer, 400, "InvalidRequest").errors.length, 100)
      const key = "k".repeat(100_000)
      const wide = yield* register("wide", { [key]: 1 })
      expectProblem(wide, 400, "InvalidRequest")
      assert.isBelow(wide.text.length, 2_000)
    })
  )

  it.effect("in a query is refused by its name", () =>
    Effect.gen(function* () {
      const queries: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
        ["/workers?limit=-1", ["limit"]],
        ["/workers?limit=0", ["limit"]],
        ["/workers?limit=1.5", ["limit"]],
        ["/workers?limit=ten", ["limit"]],
        ["/workers?limit=", ["limit"]],
        ["/workers?limit=1&limit=2", ["limit"]],
        ["/workers?limit=10001&status=busy&colour=red", ["colour", "limit", "status"]],
        ["/workers?cursor=a%2Fb", ["cursor"]],
        ["/jobs?limit=1001", ["limit"]],
        ["/jobs?status=done&service_required=", ["service_required", "status"]],
        [`/jobs?cursor=${"9".repeat(300)}`, ["cursor"]],
        ["/jobs?worker_id=a%20b&machine_id=&customer_id=a/b", ["customer_id", "machine_id", "worker_id"]],
        ["/jobs?created_from=yesterday&created_before=2026-02-30T00:00:00Z", ["created_before", "created_from"]],
        ["/jobs?worker=w&workflow_id=f&workflow_id=g", ["worker", "workflow_id"]],
        ["/workers/w/heartbeats?limit=-5", ["limit"]],
        ["/workers/w?verbose&b=1", ["b", "verbose"]],
        ["/health?x=1", ["x"]]
      ]
      for (const [path, paths] of queries) {
        const answer = yield* ask("GET", path)
        assert.deepStrictEqual(pathsOf(expectProblem(answer, 400, "InvalidRequest")), paths, path)
      }
      expectProblem(yield* ask("GET", "/jobs?cursor=%zz"), 400, "InvalidCursor")
      expectProblem(yield* ask("POST", "/jobs?dry=1", { body: { service_required: "a" } }), 400, "InvalidRequest")
      assert.strictEqual((yield* ask("GET", "/health?")).status, 200)
    })
  )

  it.effect("that is not JSON is refused", () =>
    storesNothing(
      Effect.gen(function* () {
        for (const raw of ["{", '{"id":', "nonsense", '{"id":"a",}', "'a'", "\u0000", "[".repeat(200_000)]) {
          const problem = expectProblem(yield* ask("POST", "/workers", { raw }), 400, "InvalidRequest")
          assert.strictEqual(problem.detail, "the body is not valid JSON")
        }
      })
    )
  )

  it.effect("nested too deeply is refused", () =>
    storesNothing(
      Effect.gen(function* () {
        const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`
        const answer = yield* ask("POST", "/jobs", { raw: `{"service_required":"simulation","payload":${deep}}` })
        assert.deepStrictEqual(pathsOf(expectProblem(answer, 400, "InvalidRequest")), ["payload"])
      })
    )
  )

  it.effect("of a type that is not JSON is refused, with a word on what to send", () =>
    storesNothing(
      Effect.gen(function* () {
        const raw = JSON.stringify(registration("typed"))
        for (const type of [
          "application/x-www-form-urlencoded",
          "text/plain",
          "multipart/form-data",
          "application/jsonx"
        ]) {
          const problem = expectProblem(
            yield* ask("POST", "/workers", { raw, headers: { "content-type": type } }),
            415,
            "UnsupportedMediaType"
          )
          assert.include(problem.detail, "Content-Type: application/json")
          assert.include(problem.detail, type)
        }
        expectProblem(
          yield* ask("POST", "/workers", { raw, headers: { "content-type": undefined } }),
          415,
          "UnsupportedMediaType"
        )
        expectProblem(
          yield* ask("POST", "/workers", { raw, headers: { "content-encoding": "gzip" } }),
          415,
          "UnsupportedMediaType"
        )
        const known = yield* ask("POST", "/workers", {
          raw,
          headers: { "content-type": "Application/JSON; charset=utf-8" }
        })
        assert.strictEqual(known.status, 201)
        yield* ask("DELETE", "/workers/typed")
      })
    )
  )

  it.effect("of 2 MB is refused, whether it says how long it is or not", () =>
    storesNothing(
      Effect.gen(function* () {
        const pad = "x".repeat(2 * 1024 * 1024)
        const whole = JSON.stringify({ service_required: "simulation", payload: pad })
        const half = whole.length / 2
        const bodies: ReadonlyArray<Sending> = [
          { raw: whole },
          { raw: [whole.slice(0, half), whole.slice(half)] },
          { raw: Array.from({ length: 2_048 }, () => "x".repeat(1_024)) },
          { raw: whole, headers: { expect: "100-continue" } }
        ]
        for (const sending of bodies) {
          const problem = expectProblem(yield* ask("POST", "/jobs", sending), 413, "PayloadTooLarge")
          assert.strictEqual(problem.limit_bytes, 1024 * 1024)
        }
        expectProblem(yield* ask("POST", "/workers/some/heartbeat", { raw: whole }), 413, "PayloadTooLarge")
      })
    )
  )

  it.effect("that announces 2 MB is refused before it is sent", () =>
    Effect.gen(function* () {
      const { port } = yield* TestServer
      const head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 2000000"
      const answer = yield* Effect.promise(() => sendBytes(port, `POST /jobs HTTP/1.1\r\n${head}\r\n\r\n`))
      assert.match(answer, /^HTTP\/1\.1 413 [^]*"code":"PayloadTooLarge"/)
    })
  )

  it.effect("is not what a body just within the limit is", () =>
    Effect.gen(function* () {
      const body = { id: "fits", service_required: "simulation", payload: "x".repeat(1_000_000) }
      assert.strictEqual((yield* ask("POST", "/jobs", { body })).status, 201)
      assert.strictEqual((yield* ask("GET", "/jobs/fits")).json.job.payload.length, 1_000_000)
    })
  )

  it.effect("as an id is refused everywhere", () =>
    storesNothing(
      Effect.gen(function* () {
        for (const id of badIds) {
          const worker = expectProblem(yield* register(id), 400, "InvalidRequest")
          assert.deepStrictEqual(pathsOf(worker), ["id"], id.slice(0, 20))
          const job = yield* ask("POST", "/jobs", { body: { id, service_required: "simulation" } })
          assert.deepStrictEqual(pathsOf(expectProblem(job, 400, "InvalidRequest")), ["id"], id.slice(0, 20))
        }
        for (const id of badIds.filter((id) => id !== "")) {
          for (const path of ["/workers/ID", "/workers/ID/heartbeats", "/jobs/ID"]) {
            const answer = yield* ask("GET", path.replace("ID", encodeURIComponent(id)))
            assert.deepStrictEqual(pathsOf(expectProblem(answer, 400, "InvalidRequest")), ["id"], id.slice(0, 20))
          }
          const encoded = encodeURIComponent(id)
          expectProblem(yield* ask("POST", `/workers/${encoded}/heartbeat`), 400, "InvalidRequest")
          expectProblem(yield* ask("DELETE", `/workers/${encoded}`), 400, "InvalidRequest")
          expectProblem(yield* ask("POST", `/jobs/${encoded}/cancel`), 400, "InvalidRequest")
        }
        expectProblem(yield* ask("GET", "/workers/a/b/c"), 404, "RouteNotFound")
        expectProblem(yield* ask("POST", "/workers//heartbeat"), 400, "InvalidRequest")
      })
    )
  )

  it.effect("in the URL is refused", () =>
    Effect.gen(function* () {
      for (const path of ["/workers/%zz", "/workers/%", "/workers/%E0%A4%A", "/workers/%ff", "/%zz", "/jobs/%c0%af"]) {
        expectProblem(yield* ask("GET", path), 400, "InvalidRequest")
      }
      expectProblem(yield* ask("POST", "/workers/%zz/heartbeat"), 400, "InvalidRequest")
    })
  )

  it.effect("that is hardly HTTP is answered, and its connection closed", () =>
    Effect.gen(function* () {
      const { port } = yield* TestServer
      const send = (bytes: string) => Effect.promise(() => sendBytes(port, bytes))
      const tooLong = yield* send(`GET /workers/${"x".repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      assert.match(tooLong, /^HTTP\/1\.1 431 [^]*application\/problem\+json[^]*"code":"RequestHeadTooLarge"/)
      const noHttp = yield* send("hello there\r\n\r\n")
      assert.match(noHttp, /^HTTP\/1\.1 400 [^]*"code":"InvalidRequest"/)
      const noHost = yield* send("GET /health HTTP/1.1\r\n\r\n")
      assert.match(noHost, /^HTTP\/1\.1 400 /)
      assert.strictEqual((yield* ask("GET", "/health")).status, 200)
    })
  )

  it.effect("broken off in the middle leaves nothing behind", () =>
    storesNothing(
      Effect.gen(function* () {
        const { port } = yield* TestServer
        const half = JSON.stringify(registration("half")).slice(0, 20)
        const head =
          "POST /workers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        yield* Effect.promise(
          () =>
            new Promise<void>((resolve) => {
              const socket = connect(port, "127.0.0.1", () => socket.write(head + half, () => socket.destroy()))
              socket.on("close", () => resolve())
            })
        )
      })
    )
  )

  it.effect("sent by many at once harms nobody", () =>
    Effect.gen(function* () {
      const id = yield* submit()
      const answers = yield* Effect.all(
        Array.from({ length: 60 }, (_, n) => {
          if (n % 3 === 0) return ask("POST", "/jobs", { raw: "{" })
          return n % 3 === 1 ? ask("POST", "/workers/%zz/heartbeat") : ask("GET", `/jobs/${id}`)
        }),
        { concurrency: "unbounded" }
      )
      answers.forEach(({ status }, n) => assert.strictEqual(status, n % 3 === 2 ? 200 : 400))
    })
  )
})
