import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

const bin = join(import.meta.dirname, "../../bin/muster.js")

/** A command that listens, as a process that is stopped with the scope; gives where it says that it listens. */
const listening = (command: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, [bin, ...command, "--port", "0"], { env: { ...process.env, ...env } })),
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

const simulation = (protocol: "http" | "websocket") => listening(["simulation", protocol])

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

  it.live(
    "runs the jobs of a whole broker in memory, whose workers are of the type that CONNECTORS names",
    () =>
      Effect.gen(function* () {
        const service = yield* simulation("http")
        const workspace = yield* Effect.acquireRelease(
          Effect.promise(() => mkdtemp(join(tmpdir(), "muster-up-"))),
          (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
        )
        const { url } = yield* listening(["up"], {
          CONNECTORS: "simulation-http",
          SIMULATION_HTTP_URL: service.url,
          MUSTER_WORKSPACE: workspace
        })
        const submitted = yield* Effect.promise(() =>
          fetch(`${url}/jobs`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ service_required: "simulation", payload: { duration_ms: 10 } })
          })
        )
        const { job } = (yield* Effect.promise(() => submitted.json())) as { job: { id: string } }
        const answer = yield* Effect.promise(() => fetch(`${url}/jobs/${job.id}?wait=60s`))
        const ended = (yield* Effect.promise(() => answer.json())) as { job: { status: string; worker_id: string } }
        assert.strictEqual(ended.job.status, "completed")
        assert.match(ended.job.worker_id, /^local-worker-simulation-http-[01]$/)
      }).pipe(Effect.scoped),
    120_000
  )
})
