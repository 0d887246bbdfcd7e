import * as HttpFailure from "@muster/connectors/protocol/HttpFailure"
import * as HttpService from "@muster/connectors/protocol/HttpService"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Deferred, Duration, Effect, Schema } from "effect"
import { FetchHttpClient, HttpClientRequest } from "effect/http"
import type { RequestListener } from "node:http"
import { localService } from "./LocalService.ts"

const Answer = Schema.Struct({ ok: Schema.Boolean })
const settings = { name: "the service", timeout: Duration.seconds(60), maxRetries: 2 }

const test = (
  name: string,
  answer: RequestListener,
  body: (url: string, service: HttpService.HttpService) => Effect.Effect<void, unknown>,
  over: Partial<HttpService.HttpServiceSettings> = {}
) =>
  it.live(name, () =>
    Effect.gen(function* () {
      const { url } = yield* localService(answer)
      yield* body(url, yield* HttpService.make({ ...settings, ...over }))
    }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer))
  )

/** Answers each request with the next of these statuses, the last one again and again. */
const statuses = (...given: ReadonlyArray<number>) => {
  const asked: Array<string> = []
  const answer: RequestListener = (request, response) => {
    const status = given[Math.min(asked.length, given.length - 1)] ?? 200
    asked.push(request.method ?? "")
    response.writeHead(status, { "content-type": "application/json" })
    response.end(status === 200 ? '{"ok":true}' : '{"error":{"message":"said so"}}')
  }
  return { asked, answer }
}

const get = HttpClientRequest.get
const post = HttpClientRequest.post

describe("a service by HTTP", () => {
  const recovers = statuses(503, 500, 200)
  test("is asked again after a failure that passes", recovers.answer, (url, service) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* service.json(get(url), Answer), { ok: true })
      assert.strictEqual(recovers.asked.length, 3)
    })
  )

  const once = statuses(503)
  test("is not sent twice what may have been done", once.answer, (url, service) =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(service.json(post(url), Answer))
      assert.strictEqual(failure.kind, "ServiceUnavailable")
      assert.strictEqual(failure.message, "the service answered 503: said so")
      assert.deepStrictEqual(once.asked, ["POST"])
    })
  )

  for (const [status, kind] of [
    [400, "InvalidPayload"],
    [401, "Unauthorized"],
    [403, "Unauthorized"],
    [404, "InvalidPayload"],
    [408, "Timeout"],
    [422, "InvalidPayload"],
    [429, "RateLimited"],
    [500, "ServiceUnavailable"],
    [304, "ProtocolError"]
  ] as const) {
    test(`${status} means ${kind}`, statuses(status).answer, (url, service) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* Effect.flip(service.json(post(url), Answer))).kind, kind)
      })
    )
  }

  test(
    "says how long it wants to be left alone",
    (_, response) => response.writeHead(429, { "retry-after": "17" }).end("slow down"),
    (url, service) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(service.json(get(url), Answer))
        assert.strictEqual(failure.retry_after_ms, 17_000)
        assert.strictEqual(failure.message, "the service answered 429: slow down")
      })
  )

  it.each([
    ["17", 17],
    [" 0 ", 0],
    ["99999999", 86_400],
    ["Sun, 22 Nov 2026 10:00:30 GMT", 30],
    ["Sun, 22 Nov 2026 09:00:00 GMT", 0],
    ["Sun, 22 Nov 2099 10:00:00 GMT", 86_400],
    ["soon", undefined],
    [undefined, undefined]
  ])("Retry-After: %s is %s seconds", (header, seconds) => {
    const after = HttpFailure.retryAfter(header, DateTime.makeUnsafe("2026-11-22T10:00:00Z"))
    assert.strictEqual(after === undefined ? undefined : Duration.toSeconds(after), seconds)
  })

  test(
    "a page of a proxy is not repeated",
    (_, response) => response.writeHead(502, { "content-type": "text/html" }).end("<html><h1>Bad gateway</h1></html>"),
    (url, service) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(service.json(post(url), Answer))
        assert.strictEqual(failure.message, "the service answered 502")
      })
  )

  test(
    "HTML instead of JSON, and JSON of another shape, are protocol errors",
    (request, response) =>
      response
        .writeHead(200, { "content-type": request.url === "/html" ? "text/html" : "application/json" })
        .end(request.url === "/html" ? "<html>" : '{"ok":"yes"}'),
    (url, service) =>
      Effect.gen(function* () {
        const html = yield* Effect.flip(service.json(get(`${url}/html`), Answer))
        assert.deepStrictEqual(
          [html.kind, html.message],
          ["ProtocolError", "the service answered text/html that is not JSON"]
        )
        const shape = yield* Effect.flip(service.json(get(url), Answer))
        assert.strictEqual(shape.kind, "ProtocolError")
        assert.match(shape.message, /unexpected/)
      })
  )

  test(
    "an answer that breaks off is none",
    (_, response) => {
      response.writeHead(200, { "content-length": "1000" })
      response.write("{")
      setImmediate(() => response.destroy())
    },
    (url, service) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(service.json(post(url), Answer))
        assert.deepStrictEqual(
          [failure.kind, failure.message],
          ["ServiceUnavailable", "the service broke its answer off"]
        )
      })
  )

  test(
    "an answer without end is cut",
    (_, response) => {
      response.writeHead(200)
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(64 * 1024)));
        if (!response.destroyed) response.once("drain", more)
      }
      more()
    },
    (url, service) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(service.bytes(get(url)))
        assert.deepStrictEqual(
          [failure.kind, failure.message],
          ["InvalidPayload", "the service answered more than 1000000 bytes"]
        )
      }),
    { maxAnswerBytes: 1_000_000, tooLong: "InvalidPayload" }
  )

  test(
    "that never answers is not waited for",
    () => undefined,
    (url, service) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(service.json(post(url), Answer))
        assert.deepStrictEqual([failure.kind, failure.message], ["Timeout", "the service did not answer within 50ms"])
      }),
    { timeout: Duration.millis(50) }
  )

  it.live("an answer that was opened and is not read ends with its scope", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const { url } = yield* localService((_, response) => {
        response.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
        response.writeHead(200).write("a beginning")
      })
      const service = yield* HttpService.make(settings)
      yield* Effect.scoped(service.open(get(url)))
      yield* Effect.timeoutOrElse(Deferred.await(closed), {
        duration: "60 seconds",
        orElse: () => Effect.die(new Error("the connection stays open"))
      })
    }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer))
  )

  it.live("that refuses the connection is away, and its credentials stay secret", () =>
    Effect.gen(function* () {
      const { server, url } = yield* Effect.scoped(localService(() => undefined))
      assert.isFalse(server.listening)
      const service = yield* HttpService.make({ ...settings, maxRetries: 0 })
      const request = HttpClientRequest.bearerToken(post(url), "sk-secret")
      const failure = yield* Effect.flip(service.json(request, Answer))
      assert.deepStrictEqual(
        [failure.kind, failure.message],
        ["ServiceUnavailable", "the service does not answer (ECONNREFUSED)"]
      )
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )
})
