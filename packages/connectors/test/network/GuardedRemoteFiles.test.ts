/** Files that jobs name by URL. */
import { assert, describe, it } from "@effect/vitest"
import * as GuardedRemoteFiles from "@muster/connectors/network/GuardedRemoteFiles"
import { RemoteFiles } from "@muster/core/connector/RemoteFiles"
import { Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { eventually } from "../ConnectorSuite.ts"
import { localService } from "../protocol/LocalService.ts"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

const maxBytes = 2_000_000

const read = (url: string) =>
  Effect.gen(function* () {
    const files = yield* RemoteFiles
    const { content, content_type } = yield* files.open(url, { maxBytes })
    return { content_type, bytes: Buffer.concat(yield* Stream.runCollect(content)) }
  })

const anywhere = GuardedRemoteFiles.layer({ alsoAllowed: true })

describe("files that jobs name", () => {
  it.effect("are in data URLs, in base64 of both alphabets, with its ends and line breaks, or as text", () =>
    Effect.gen(function* () {
      for (const url of [
        "data:text/plain;base64,aGVs\r\nbG8=",
        "data:text/plain;charset=utf-8;base64,aGVsbG8",
        "data:,hello"
      ]) {
        assert.strictEqual(String((yield* read(url)).bytes), "hello", url)
      }
      assert.deepStrictEqual([...(yield* read("data:x/y;base64,-_8=")).bytes], [0xfb, 0xff])
    }).pipe(Effect.provide(anywhere))
  )

  it.effect("are refused when they are no base64, in no time however long they are", () =>
    Effect.gen(function* () {
      const long = " ".repeat(1_000_000)
      for (const text of [`${long}!`, `${long}=${long}a`, "a=b=", "ä", `${"=".repeat(1_000_000)}!`]) {
        const failure = yield* Effect.flip(read(`data:image/png;base64,${text}`))
        assert.deepStrictEqual([failure.kind, failure.message], ["InvalidPayload", "the data URL is not base64"])
      }
    }).pipe(Effect.provide(anywhere))
  )

  it.effect("are not waited for for ever when they come a byte at a time", () =>
    Effect.gen(function* () {
      const { port, next } = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          let next = () => {}
          const server = createServer((_, response) => {
            next = () => void response.write("x")
            next()
          })
          await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
          const close = () => {
            server.closeAllConnections()
            server.close()
          }
          return { port: (server.address() as AddressInfo).port, next: () => next(), close }
        }),
        ({ close }) => Effect.sync(close)
      )
      const files = yield* RemoteFiles
      const { content } = yield* files.open(`http://127.0.0.1:${port}/slow`, { maxBytes })
      const slowly = Stream.tap(content, () => Effect.andThen(TestClock.adjust("50 seconds"), Effect.sync(next)))
      const failure = yield* Effect.flip(Stream.runDrain(slowly))
      assert.deepStrictEqual([failure.kind, failure.message], ["Timeout", `http://127.0.0.1:${port}/slow is too slow`])
    }).pipe(Effect.scoped, Effect.provide(anywhere))
  )

  it.live("leave no connection behind when they are refused, however long the other side goes on", () =>
    Effect.gen(function* () {
      const open = new Set<string>()
      const { url } = yield* localService((request, response) => {
        const path = request.url ?? ""
        open.add(path)
        response.once("close", () => open.delete(path))
        const status = path === "/moved" ? 302 : path === "/missing" ? 404 : 200
        const length = path === "/large" ? { "content-length": "9000000" } : {}
        response.writeHead(status, { location: "/missing", ...length }).write("a beginning")
      })
      for (const path of ["/moved", "/missing", "/large"]) {
        assert.strictEqual((yield* Effect.flip(read(`${url}${path}`))).kind, "InvalidPayload")
        yield* eventually("no connection is open", () => open.size === 0)
      }
    }).pipe(Effect.scoped, Effect.provide(anywhere))
  )
})
