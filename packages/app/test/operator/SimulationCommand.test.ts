import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"

const bin = join(import.meta.dirname, "../../bin/muster.js")

/** A simulated service as a process, stopped with the scope; gives where it says that it listens. */
const simulation = (protocol: "http" | "websocket") =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, [bin, "simulation", protocol, "--port", "0"])),
      (child) =>
        Effect.promise(async () => {
          if (child.exitCode !== null) return
          child.kill("SIGKILL")
          await once(child, "close")
        })
    )
    const said = Stream.fromAsyncIterable(child.stdout as AsyncIterable<Buffer>, (cause) => cause).pipe(
      Stream.map((bytes) => /listening on (\S+)/.exec(bytes.toString())?.[1]),
      Stream.filter((url) => url !== undefined),
      Stream.runHead
    )
    const url = yield* Effect.flatMap(said, Effect.fromOption)
    return { child, url }
  })

describe("muster simulation", () => {
  it.live(
    "http answers where it says that it listens, until Ctrl-C",
    () =>
      Effect.gen(function* () {
        const { child, url } = yield* simulation("http")
        const answer = yield* Effect.promise(() => fetch(`${url}/health`))
        assert.strictEqual(answer.status, 200)
        child.kill("SIGINT")
        const [code] = yield* Effect.promise(() => once(child, "close"))
        assert.strictEqual(code, 0)
      }).pipe(Effect.scoped),
    120_000
  )

  it.live(
    "websocket takes sockets",
    () =>
      Effect.gen(function* () {
        const { url } = yield* simulation("websocket")
        const socket = new WebSocket(url)
        yield* Effect.promise(() => once(socket, "open"))
        socket.send(JSON.stringify({ type: "ping", id: "p" }))
        const [message] = yield* Effect.promise(() => once(socket, "message"))
        assert.deepStrictEqual(JSON.parse(String((message as MessageEvent).data)), { type: "pong", id: "p" })
        socket.close()
      }).pipe(Effect.scoped),
    120_000
  )
})
