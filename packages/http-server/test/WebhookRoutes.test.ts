import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { expectProblem, pathsOf } from "./problems.ts"
import { ask, server } from "./TestServer.ts"

/** The receivers of this server answer what the path of their URL says. */
const registration = (id: string, over: Record<string, unknown> = {}) => ({
  id,
  url: "https://example.com/204",
  ...over
})

const register = (id: string, over: Record<string, unknown> = {}) =>
  ask("POST", "/webhooks", { body: registration(id, over) })

layer(server())("the routes of webhooks", (it) => {
  it.effect("register one, and tell its secret this once", () =>
    Effect.gen(function* () {
      const filter = { types: ["job.completed", "job.failed"], customer_id: "acme" }
      const answer = yield* register("first", { filter, description: "billing" })
      assert.strictEqual(answer.status, 201)
      const { secret, webhook } = answer.json
      assert.match(secret, /^whsec_[0-9a-f]{64}$/)
      assert.deepInclude(webhook, {
        id: "first",
        url: "https://example.com/204",
        filter,
        description: "billing",
        status: "active",
        status_reason: null,
        failing_since: null,
        consecutive_failures: 0,
        next_attempt_at: null
      })
      assert.match(webhook.created_at, /^\d{4}-.*Z$/)
      const shown = yield* ask("GET", "/webhooks/first")
      assert.deepStrictEqual(shown.json, { webhook })
      for (const { text } of [shown, yield* ask("GET", "/webhooks")]) assert.notInclude(text, secret)
    })
  )

  it.effect("give an id, and take a secret", () =>
    Effect.gen(function* () {
      const answer = yield* ask("POST", "/webhooks", {
        body: { url: "http://example.com/204", secret: "a-secret-of-my-own" }
      })
      assert.strictEqual(answer.json.secret, "a-secret-of-my-own")
      assert.match(answer.json.webhook.id, /^[0-9a-f-]{36}$/)
      assert.deepStrictEqual(answer.json.webhook.filter, {})
    })
  )

  it.effect("refuse what is wrong, all of it, and say where", () =>
    Effect.gen(function* () {
      const wrong = {
        id: "no spaces",
        url: "ftp://example.com/",
        secret: "short",
        filter: { types: ["job.done"], customer: "acme" },
        events: []
      }
      const problem = expectProblem(yield* ask("POST", "/webhooks", { body: wrong }), 400, "InvalidRequest")
      assert.deepStrictEqual(pathsOf(problem), ["events", "filter.customer", "filter.types[0]", "id", "secret", "url"])
      for (const [url, message] of [
        ["https://user:pass@example.com/", /credentials/],
        ["https://exa mple.com/", /spaces/],
        ["javascript:alert(1)", /https:\/\//],
        [`https://example.com/${"a".repeat(2_048)}`, /2048/]
      ] as const) {
        const { errors } = expectProblem(yield* register("wrong", { url }), 400, "InvalidRequest")
        assert.match(errors[0].message, message)
      }
      expectProblem(yield* register("wrong", { filter: { types: [] } }), 400, "InvalidRequest")
      expectProblem(yield* ask("GET", "/webhooks/wrong"), 404, "WebhookNotFound")
    })
  )

  it.effect("refuse a target that must not be reached", () =>
    Effect.gen(function* () {
      const answer = yield* register("inside", { url: "http://private/204" })
      const problem = expectProblem(answer, 400, "InvalidConfiguration")
      assert.strictEqual(problem.path, "url")
      expectProblem(yield* ask("GET", "/webhooks/inside"), 404, "WebhookNotFound")
    })
  )

  it.effect("let exactly one of many registrations at once win", () =>
    Effect.gen(function* () {
      const answers = yield* Effect.all(
        Array.from({ length: 10 }, (_, n) => register("contested", { description: `${n}` })),
        { concurrency: "unbounded" }
      )
      const won = answers.filter(({ status }) => status === 201)
      assert.strictEqual(won.length, 1)
      for (const answer of answers) if (answer !== won[0]) expectProblem(answer, 409, "WebhookAlreadyExists")
    })
  )

  it.effect("list them in pages", () =>
    Effect.gen(function* () {
      for (const id of ["list-1", "list-2", "list-3"]) yield* register(id)
      const [first, second] = [
        yield* ask("GET", "/webhooks?limit=2&cursor=list-0"),
        yield* ask("GET", "/webhooks?limit=2&cursor=list-2")
      ]
      const ids = ({ json }: typeof first) => json.webhooks.map(({ id }: { id: string }) => id)
      assert.deepStrictEqual([ids(first), first.json.next_cursor], [["list-1", "list-2"], "list-2"])
      assert.deepStrictEqual([ids(second), second.json.next_cursor], [["list-3"], null])
      expectProblem(yield* ask("GET", "/webhooks?limit=0"), 400, "InvalidRequest")
      expectProblem(yield* ask("GET", "/webhooks?status=active"), 400, "InvalidRequest")
    })
  )

  it.effect("try one out, say what came back, and keep it", () =>
    Effect.gen(function* () {
      yield* register("good")
      yield* register("bad", { url: "https://example.com/500" })
      const good = (yield* ask("POST", "/webhooks/good/test")).json.delivery
      const bad = (yield* ask("POST", "/webhooks/bad/test")).json.delivery
      assert.deepInclude(good, { notice: "webhook.test", outcome: "delivered", status: 204, error: null, attempt: 1 })
      assert.deepInclude(bad, { outcome: "failed", status: 500, error: "answered 500" })
      yield* ask("POST", "/webhooks/bad/test")
      const list = yield* ask("GET", "/webhooks/bad/deliveries")
      assert.strictEqual(list.json.deliveries.length, 2)
      assert.deepStrictEqual(list.json.deliveries[1], bad)
      assert.strictEqual((yield* ask("GET", "/webhooks/bad/deliveries?limit=1")).json.deliveries.length, 1)
      expectProblem(yield* ask("GET", "/webhooks/bad/deliveries?limit=101"), 400, "InvalidRequest")
    })
  )

  it.effect("enable and remove them", () =>
    Effect.gen(function* () {
      yield* register("fleeting")
      const { webhook } = (yield* ask("POST", "/webhooks/fleeting/enable")).json
      assert.deepInclude(webhook, { id: "fleeting", status: "active" })
      assert.strictEqual((yield* ask("DELETE", "/webhooks/fleeting")).status, 204)
      expectProblem(yield* ask("DELETE", "/webhooks/fleeting"), 404, "WebhookNotFound")
    })
  )

  it.effect("know nothing of strangers", () =>
    Effect.gen(function* () {
      for (const [method, path] of [
        ["GET", ""],
        ["DELETE", ""],
        ["GET", "/deliveries"],
        ["POST", "/test"],
        ["POST", "/enable"]
      ] as const) {
        const problem = expectProblem(yield* ask(method, `/webhooks/stranger${path}`), 404, "WebhookNotFound")
        assert.strictEqual(problem.id, "stranger")
      }
      expectProblem(yield* ask("PUT", "/webhooks/stranger"), 405, "MethodNotAllowed")
    })
  )
})
