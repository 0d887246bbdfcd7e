/** Readers that never read: they cost little, disturb nobody, and are cut off in the end. */
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { request } from "@muster/core/job/Job"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import * as HttpServer from "@muster/http-server/HttpServer"
import { StreamSettings } from "@muster/http-server/StreamSettings"
import { Duration, Effect, Layer, Schedule } from "effect"
import * as EventReader from "./EventReader.ts"
import { stores } from "./TestServer.ts"

const silent = 1_000
const jobs = 4_000
/** What a silent reader may cost, however much there is to send. */
const bytesEach = 200_000

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

/** Memory that is really used. */
const inUse = (): number => {
  collectGarbage()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

/** Asks for a stream, and reads nothing of what comes. */
const openSilently = (path: string) =>
  Effect.acquireRelease(
    Effect.callback<Socket, Error>((resume) => {
      const socket = connect(path).pause()
      socket.on("error", (error) => resume(Effect.fail(error)))
      socket.on("connect", () => {
        socket.write("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n", () => resume(Effect.succeed(socket)))
      })
      // More may knock than the system lets wait.
    }).pipe(Effect.retry(Schedule.spaced("5 millis"))),
    (socket) => Effect.sync(() => socket.destroy()),
    { interruptible: true }
  )

/** For a TCP connection the system keeps up to 4 MB that nobody reads; for one of these it is 200 kB. */
const socketPath = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "muster-silent-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
).pipe(Effect.map((folder) => join(folder, "socket")))

/** Whether the other side has let go: who does not read learns it by writing. */
const isCut = (socket: Socket): boolean => {
  if (!socket.destroyed) socket.write("\r\n")
  return socket.destroyed
}

const patient = Layer.succeed(StreamSettings, {
  atMost: 2 * silent,
  pulse: Duration.seconds(15),
  patience: Duration.seconds(4)
})

it.live(
  `${silent} readers that never read cost little, disturb nobody, and are cut off`,
  () =>
    Effect.gen(function* () {
      const path = yield* socketPath
      const context = yield* Layer.build(
        HttpServer.layer.pipe(
          Layer.provide(NodeHttpServer.layer(createServer, { path, gracefulShutdownTimeout: "1 second" })),
          Layer.provideMerge(stores),
          Layer.provide(patient)
        )
      )
      const sockets = yield* Effect.forEach(Array.from({ length: silent }), () => openSilently(path), {
        concurrency: 50
      })
      const reader = yield* EventReader.open(path, "/events?type=job.submitted")
      yield* reader.until(EventReader.named("begin"))
      const submission = {
        id: undefined,
        if_unmatchable: undefined,
        request: request({ service_required: "loud" })
      }
      const expected: Array<string> = []
      while (expected.length < jobs) {
        const submitted = yield* JobUseCases.submitJobs(Array.from({ length: 500 }, () => submission)).pipe(
          Effect.provide(context)
        )
        expected.push(...submitted.map(({ id }) => id))
        yield* reader.until((frames) => frames.length > expected.length - 2_000)
      }
      const frames = yield* reader.until((frames) => frames.length > jobs)
      assert.deepStrictEqual(
        frames.slice(1).map(({ data }) => data.job_id),
        expected
      )
      const withSilent = inUse()
      // Nobody has read a byte and none has hung up, so it is the server that lets them go.
      yield* EventReader.eventually(
        "the silent ones are cut off",
        () => sockets.filter((socket) => !isCut(socket)).length === 0
      )
      assert.isBelow((withSilent - inUse()) / silent, bytesEach)
      assert.isFalse(reader.hasEnded())
    }).pipe(Effect.scoped),
  120_000
)
