import { assert, describe, it } from "@effect/vitest"
import * as AddressPolicy from "@muster/connectors/network/AddressPolicy"
import * as GuardedHttpClient from "@muster/connectors/network/GuardedHttpClient"
import { Effect, Option, Result } from "effect"
import { HttpClientRequest } from "effect/http"
import { createServer } from "node:http"
import { type AddressInfo, isIP } from "node:net"

/** A server on loopback that counts who comes. */
const server = Effect.acquireRelease(
  Effect.promise(async () => {
    const state = { port: 0, requests: 0, close: () => {} }
    const listening = createServer((request, response) => {
      state.requests++
      if (request.url === "/redirect") response.writeHead(302, { location: `http://127.0.0.1:${state.port}/` })
      response.end("hello")
    })
    await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve))
    state.port = (listening.address() as AddressInfo).port
    state.close = () => {
      listening.closeAllConnections()
      listening.close()
    }
    return state
  }),
  ({ close }) => Effect.sync(close)
)

/** A DNS in which each look-up of a name gives the next answer. */
const dns = (...answers: ReadonlyArray<ReadonlyArray<string>>) => {
  let asked = 0
  const lookup: GuardedHttpClient.Lookup = (_host, _options, done) => {
    const addresses = answers[Math.min(asked++, answers.length - 1)] ?? []
    if (addresses.length === 0) return done(Object.assign(new Error("no such name"), { code: "ENOTFOUND" }), [])
    return done(
      null,
      addresses.map((address) => ({ address, family: isIP(address) }))
    )
  }
  return lookup
}

const get = (url: string, options: GuardedHttpClient.GuardedOptions) =>
  Effect.flatMap(GuardedHttpClient.make(options), (client) =>
    Effect.result(client.execute(HttpClientRequest.get(url)).pipe(Effect.tap((response) => response.text)))
  )

const isRefused = (result: Effect.Success<ReturnType<typeof get>>): boolean =>
  Result.isFailure(result) &&
  result.failure.reason._tag === "TransportError" &&
  result.failure.reason.cause instanceof GuardedHttpClient.AddressRefused

const publicOnly = AddressPolicy.make()
const loopbackToo = AddressPolicy.make(["127.0.0.0/8"])

describe("a client for URLs that others choose", () => {
  it.live("connects to no address that is forbidden, however it is written", () =>
    Effect.gen(function* () {
      const target = yield* server
      const hosts = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "0"]
      for (const host of [...hosts, "①②⑦.0.0.1", "localhost", "LOCALHOST"]) {
        const url = `http://${host}:${target.port}/`
        assert.isTrue(isRefused(yield* get(url, { policy: publicOnly })), host)
        assert.isTrue(Option.isSome(yield* GuardedHttpClient.check(url, { policy: publicOnly })), host)
      }
      assert.strictEqual(target.requests, 0)
    })
  )

  it.live("connects where it may", () =>
    Effect.gen(function* () {
      const target = yield* server
      for (const host of ["127.0.0.1", "hook.example"]) {
        const options = { policy: loopbackToo, lookup: dns(["127.0.0.1"]) }
        const answer = yield* get(`http://${host}:${target.port}/`, options)
        assert.strictEqual(Result.isSuccess(answer) && answer.success.status, 200)
        assert.isTrue(Option.isNone(yield* GuardedHttpClient.check(`http://${host}/`, options)))
      }
      assert.strictEqual(target.requests, 2)
    })
  )

  it.live("is not fooled by a name that leads elsewhere the second time", () =>
    Effect.gen(function* () {
      const target = yield* server
      const options = { policy: publicOnly, lookup: dns(["93.184.215.14"], ["127.0.0.1"]) }
      const url = `http://rebinding.example:${target.port}/`
      assert.isTrue(Option.isNone(yield* GuardedHttpClient.check(url, options)))
      assert.isTrue(isRefused(yield* get(url, options)))
      assert.strictEqual(target.requests, 0)
    })
  )

  it.live("refuses a name that leads to a forbidden address among others", () =>
    Effect.gen(function* () {
      const lookup = dns(["93.184.215.14", "::1"])
      assert.isTrue(isRefused(yield* get("http://both.example/", { policy: publicOnly, lookup })))
      assert.isTrue(
        Option.isSome(yield* GuardedHttpClient.check("http://both.example/", { policy: publicOnly, lookup }))
      )
    })
  )

  it.live("does not follow redirects", () =>
    Effect.gen(function* () {
      const target = yield* server
      const answer = yield* get(`http://127.0.0.1:${target.port}/redirect`, { policy: loopbackToo })
      assert.strictEqual(Result.isSuccess(answer) && answer.success.status, 302)
      assert.strictEqual(target.requests, 1)
    })
  )

  it.live("does not call a name forbidden that cannot be resolved", () =>
    Effect.gen(function* () {
      const options = { policy: publicOnly, lookup: dns([]) }
      assert.isTrue(Option.isNone(yield* GuardedHttpClient.check("http://unknown.example/", options)))
      const answer = yield* get("http://unknown.example/", options)
      assert.isTrue(Result.isFailure(answer) && !isRefused(answer))
    })
  )
})
