/** Who is let in: with a token whoever has it, without one whoever is on this host and no foreign page. */
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { expectProblem } from "./problems.ts"
import { ask, registration, server, TestServer } from "./TestServer.ts"

const token = "correct horse battery staple".replaceAll(" ", "-")

layer(server({ token: Redacted.make(token) }))("a server with a token", (it) => {
  it.effect("asks for it on every route but the probes", () =>
    Effect.gen(function* () {
      const paths = ["/workers", "/workers/w", "/jobs", "/jobs/j", "/openapi.json", "/docs", "/unknown", "/healthy"]
      for (const path of paths) {
        const answer = yield* ask("GET", path)
        expectProblem(answer, 401, "Unauthenticated")
        assert.match(String(answer.headers["www-authenticate"]), /^Bearer/)
      }
      for (const [method, path] of [
        ["POST", "/workers"],
        ["POST", "/workers/w/heartbeat"],
        ["DELETE", "/workers/w"]
      ] as const) {
        expectProblem(yield* ask(method, path), 401, "Unauthenticated")
      }
      for (const path of ["/health", "/ready"]) assert.strictEqual((yield* ask("GET", path)).status, 200)
    })
  )

  it.effect("takes it, and nothing that is almost it", () =>
    Effect.gen(function* () {
      const get = (authorization: string) => ask("GET", "/workers", { headers: { authorization } })
      for (const scheme of ["Bearer", "bearer", "BEARER "]) {
        assert.strictEqual((yield* get(`${scheme} ${token}`)).status, 200, scheme)
      }
      const wrong = [
        "",
        token,
        "Bearer",
        "Bearer ",
        `Bearer ${token}x`,
        `Bearer ${token.slice(0, -1)}`,
        `Bearer ${token.toUpperCase()}`,
        `Basic ${token}`,
        `Bearer ${token} ${token}`,
        `Bearer ${"x".repeat(8_000)}`
      ]
      for (const authorization of wrong) expectProblem(yield* get(authorization), 401, "Unauthenticated")
    })
  )

  it.effect("stores nothing for a caller without it", () =>
    Effect.gen(function* () {
      const headers = { authorization: `Bearer ${token}` }
      expectProblem(yield* ask("POST", "/workers", { body: registration("w") }), 401, "Unauthenticated")
      assert.deepStrictEqual((yield* ask("GET", "/workers", { headers })).json.workers, [])
      assert.strictEqual((yield* ask("POST", "/workers", { body: registration("w"), headers })).status, 201)
    })
  )

  it.effect("is open to any name it is reached by", () =>
    Effect.gen(function* () {
      const headers = {
        authorization: `Bearer ${token}`,
        host: "muster.example:3331",
        origin: "https://muster.example"
      }
      assert.strictEqual((yield* ask("GET", "/workers", { headers })).status, 200)
    })
  )
})

layer(server())("a server without a token", (it) => {
  it.effect("answers to loopback names and addresses of any port", () =>
    Effect.gen(function* () {
      for (const host of [
        "localhost",
        "localhost:3331",
        "LocalHost:1",
        "127.0.0.1",
        "127.1.2.3:80",
        "[::1]",
        "[::1]:3331"
      ]) {
        assert.strictEqual((yield* ask("GET", "/workers", { headers: { host } })).status, 200, host)
      }
    })
  )

  it.effect("answers to no other name, whatever it resolves to", () =>
    Effect.gen(function* () {
      const { port } = yield* TestServer
      const foreign = [
        "evil.example",
        `evil.example:${port}`,
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.evil.example",
        "192.168.0.1",
        "[::2]",
        "localhost@evil.example",
        "localhost:80:80"
      ]
      for (const host of foreign) {
        expectProblem(yield* ask("GET", "/workers", { headers: { host } }), 403, "Forbidden")
        expectProblem(yield* ask("GET", "/health", { headers: { host } }), 403, "Forbidden")
        expectProblem(
          yield* ask("POST", "/jobs", { body: { service_required: "a" }, headers: { host } }),
          403,
          "Forbidden"
        )
      }
      assert.deepStrictEqual((yield* ask("GET", "/jobs")).json.jobs, [])
    })
  )

  it.effect("answers pages of this host and no others", () =>
    Effect.gen(function* () {
      const from = (origin: string) => ask("POST", "/jobs", { body: { service_required: "a" }, headers: { origin } })
      for (const origin of ["http://localhost:8080", "https://127.0.0.1", "http://[::1]:3331"]) {
        assert.strictEqual((yield* from(origin)).status, 201, origin)
      }
      const before = (yield* ask("GET", "/jobs")).json.jobs.length
      const foreign = ["https://evil.example", "null", "http://localhost.evil.example", "file://", "http://192.168.0.1"]
      for (const origin of foreign) expectProblem(yield* from(origin), 403, "Forbidden")
      assert.strictEqual((yield* ask("GET", "/jobs")).json.jobs.length, before)
    })
  )

  it.effect("refuses what a foreign page could send without asking", () =>
    Effect.gen(function* () {
      const raw = JSON.stringify({ service_required: "a" })
      for (const type of ["text/plain", "application/x-www-form-urlencoded", undefined]) {
        expectProblem(
          yield* ask("POST", "/jobs", { raw, headers: { "content-type": type } }),
          415,
          "UnsupportedMediaType"
        )
      }
    })
  )
})
