import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { expectProblem } from "./problems.ts"
import { ask, server } from "./TestServer.ts"

const routes = {
  "/workers": ["get", "post"],
  "/workers/{id}": ["delete", "get", "put"],
  "/workers/{id}/heartbeat": ["post"],
  "/workers/{id}/heartbeats": ["get"],
  "/workers/{id}/status": ["put"],
  "/workers/{id}/pause": ["post"],
  "/workers/{id}/drain": ["post"],
  "/workers/{id}/resume": ["post"],
  "/jobs": ["get", "post"],
  "/jobs/{id}": ["get"],
  "/jobs/{id}/cancel": ["post"],
  "/jobs/{id}/retry": ["post"],
  "/jobs/{id}/attempts": ["get"],
  "/jobs/{id}/events": ["get"],
  "/jobs/{id}/explain": ["get"],
  "/jobs/retry": ["post"],
  "/jobs/batch": ["post"],
  "/events": ["get"],
  "/queue": ["get"],
  "/webhooks": ["get", "post"],
  "/webhooks/{id}": ["delete", "get"],
  "/webhooks/{id}/deliveries": ["get"],
  "/webhooks/{id}/enable": ["post"],
  "/webhooks/{id}/test": ["post"],
  "/jobs/{id}/assets/{file_name}": ["get"],
  "/assets": ["post"],
  "/mapping": ["get"],
  "/health": ["get"],
  "/ready": ["get"],
  "/metrics": ["get"],
  "/doctor": ["get"]
}

layer(server())("the routes of the system", (it) => {
  it.effect("say that the process lives and that the stores answer", () =>
    Effect.gen(function* () {
      const health = yield* ask("GET", "/health")
      assert.strictEqual(health.status, 200)
      assert.deepStrictEqual(health.json, { status: "ok" })
      const ready = yield* ask("GET", "/ready")
      assert.strictEqual(ready.status, 200)
      assert.deepStrictEqual(ready.json, {
        ready: true,
        registry: { ok: true, detail: null },
        queue: { ok: true, detail: null },
        degraded: [],
        figures: {
          jobs: { scheduled: 0, pending: 0, held: 0, finished: 0, unarchived: null },
          waiting: { oldest_at: null, unserved_jobs: 0 },
          memory: null,
          log: { entries: 0, bytes: 0, limit_bytes: 256 * 1024 * 1024, lag_ms: null },
          archive: null
        }
      })
    })
  )

  it.effect("describe every route, with its problems", () =>
    Effect.gen(function* () {
      const answer = yield* ask("GET", "/openapi.json")
      assert.strictEqual(answer.status, 200)
      assert.match(String(answer.headers["content-type"]), /^application\/json/)
      const { components, openapi, paths } = answer.json
      assert.deepStrictEqual(components.securitySchemes, { token: { type: "http", scheme: "bearer" } })
      assert.match(openapi, /^3\./)
      // A generated client sends its token everywhere, except where none is ever asked for.
      assert.deepStrictEqual(answer.json.security, [{}, { token: [] }])
      assert.notProperty(paths["/jobs"].post, "security")
      assert.deepStrictEqual(paths["/ready"].get.security, [])
      assert.deepStrictEqual(
        Object.fromEntries(
          Object.entries(paths).map(([path, methods]) => [path, Object.keys(methods as object).toSorted()])
        ),
        routes
      )
      const { responses } = paths["/workers"].post
      assert.containsAllKeys(responses, ["201", "400", "401", "403", "409", "413", "415", "500", "503"])
      assert.property(responses["409"].content, "application/problem+json")
    })
  )

  it.effect("show the contract to people, with nothing fetched from elsewhere", () =>
    Effect.gen(function* () {
      const answer = yield* ask("GET", "/docs")
      assert.strictEqual(answer.status, 200)
      assert.match(String(answer.headers["content-type"]), /^text\/html/)
      assert.include(answer.text, "/workers/{id}/heartbeat")
      assert.notMatch(answer.text, /<script[^>]+src=/)
      assert.strictEqual((yield* ask("GET", "/docs")).text, answer.text)
    })
  )

  it.effect("answer an unknown path and a wrong method with a problem", () =>
    Effect.gen(function* () {
      expectProblem(yield* ask("GET", "/nothing/here"), 404, "RouteNotFound")
      expectProblem(yield* ask("GET", "/"), 404, "RouteNotFound")
      expectProblem(yield* ask("GET", "/Workers"), 404, "RouteNotFound")
      for (const [path, methods] of Object.entries(routes)) {
        const answer = yield* ask("PATCH", path.replace("{id}", "some"), { body: {} })
        const problem = expectProblem(answer, 405, "MethodNotAllowed")
        // A path with a name of its own also means the job of that name.
        const allowed = path === "/jobs/retry" || path === "/jobs/batch" ? ["get", ...methods] : methods
        assert.deepStrictEqual(problem.allowed.map((method: string) => method.toLowerCase()).toSorted(), allowed)
        assert.strictEqual(answer.headers["allow"], problem.allowed.join(", "))
      }
      expectProblem(yield* ask("DELETE", "/docs"), 405, "MethodNotAllowed")
    })
  )

  it.effect("answer HEAD as GET, without a body", () =>
    Effect.gen(function* () {
      const answer = yield* ask("HEAD", "/health")
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.text, "")
    })
  )
})
