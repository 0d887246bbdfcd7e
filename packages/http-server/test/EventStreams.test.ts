/** The streams of the typed client, over connections that break, to servers that stop and come back. */
import { createServer, type Server, type ServerResponse } from "node:http"
import { assert, describe, it } from "@effect/vitest"
import { EventCursor } from "@muster/core/event/EventCursor"
import { type Fence, JobId } from "@muster/core/job/Job"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import { WorkerId } from "@muster/core/worker/Worker"
import * as EventStreams from "@muster/http-server/client/EventStreams"
import * as MusterClient from "@muster/http-server/client/MusterClient"
import { Duration, Effect, Fiber, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { eventually } from "./EventReader.ts"
import { server, submit, TestServer } from "./TestServer.ts"

const clientOf = (baseUrl: string) => Effect.provide(MusterClient.make({ baseUrl }), FetchHttpClient.layer)

const client = Effect.flatMap(TestServer, ({ url }) => clientOf(url))

const claimed = Effect.gen(function* () {
  const nonce = "nonce"
  const [job] = yield* JobUseCases.claimJobs({
    worker_id: WorkerId.make("worker-1"),
    capabilities: { job_types: ["simulation"] },
    capacity: 1,
    limit: 1,
    nonce
  })
  if (job === undefined) return yield* Effect.die(new Error("no job was given"))
  const fence: Fence = { job_id: job.id, attempt: job.attempt, nonce }
  yield* JobUseCases.startJob(fence)
  return fence
})

/** A server that answers as it is told, one connection after the other. */
const scripted = (answers: ReadonlyArray<(response: ServerResponse) => void>) =>
  Effect.acquireRelease(
    Effect.callback<{
      readonly url: string
      readonly asked: Array<string | undefined>
      /** When that was. */
      readonly times: Array<number>
      readonly server: Server
    }>((resume) => {
      const asked: Array<string | undefined> = []
      const times: Array<number> = []
      const server = createServer((request, response) => {
        const answer = answers[Math.min(asked.length, answers.length - 1)]
        asked.push(request.headers["last-event-id"] as string | undefined)
        times.push(performance.now())
        answer?.(response)
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" ? address?.port : 0
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, asked, times, server }))
      })
    }),
    ({ server }) => Effect.sync(() => server.close().closeAllConnections())
  )

const cursor = (n: number) => EventCursor.make(`abc.${n}-0-0`)

const frame = (n: number) =>
  `id: ${cursor(n)}\nevent: job.submitted\ndata: ${JSON.stringify({
    cursor: cursor(n),
    at: "2026-01-01T00:00:00.000Z",
    type: "job.submitted",
    job_id: `j-${n}`
  })}\n\n`

const stream = (text: string, then: (response: ServerResponse) => void) => (response: ServerResponse) => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  response.write(text, () => setImmediate(() => then(response)))
}

const problem = (status: number, code: string) => (response: ServerResponse) =>
  response
    .writeHead(status, { "content-type": "application/problem+json" })
    .end(JSON.stringify({ type: `urn:muster:problem:${code}`, title: "", status, code, detail: "", retry_after_s: 1 }))

const ids = (told: ReadonlyArray<EventStreams.Told>): ReadonlyArray<string | undefined> =>
  told.map((one) => (one._tag === "Event" ? one.event.job_id : one._tag))

describe("the streams of the client", () => {
  it.live("tell the events of a server, and let go of it when nobody reads any more", () =>
    Effect.gen(function* () {
      const told = yield* Effect.forkChild(
        EventStreams.follow(yield* client, { types: ["job.submitted"], service_required: "simulation" }).pipe(
          Stream.take(2),
          Stream.runCollect
        )
      )
      // A reader without a cursor begins with what happens after it came.
      const submitting = yield* Effect.forkChild(Effect.forever(Effect.delay(submit(), "20 millis")))
      assert.strictEqual((yield* Fiber.join(told)).length, 2)
      yield* Fiber.interrupt(submitting)
    }).pipe(Effect.scoped, Effect.provide(server()))
  )

  it.live("tell the life of a job, and wait for its end", () =>
    Effect.gen(function* () {
      const api = yield* client
      const id = JobId.make(yield* submit())
      const [lived, awaited] = [
        yield* Effect.forkChild(Stream.runCollect(EventStreams.watch(api, id))),
        yield* Effect.forkChild(EventStreams.awaitJob(api, id))
      ]
      const fence = yield* claimed
      yield* JobUseCases.completeJob(fence, { pixels: 42 })
      const told = yield* Fiber.join(lived)
      const last = told.at(-1)
      assert.strictEqual(last?._tag === "End" ? last.job.status : last?._tag, "completed")
      assert.deepStrictEqual((yield* Fiber.join(awaited)).result, { pixels: 42 })
      assert.strictEqual((yield* EventStreams.awaitJob(api, id)).status, "completed")
      const unknown = yield* Effect.flip(EventStreams.awaitJob(api, JobId.make("unknown")))
      assert.strictEqual(unknown._tag, "JobNotFound")
    }).pipe(Effect.scoped, Effect.provide(server()))
  )

  it.live("come back with the id of the last frame, whatever ends a connection", () =>
    Effect.gen(function* () {
      const half = frame(3)
      const { asked, url } = yield* scripted([
        stream(`retry: 1\n\nid: ${cursor(0)}\nevent: begin\ndata: {"position":"${cursor(0)}"}\n\n`, (response) =>
          response.destroy()
        ),
        stream(frame(1) + frame(2) + half.slice(0, half.length - 5), (response) => response.destroy()),
        problem(503, "StoreUnavailable"),
        problem(503, "TooManyStreams"),
        (response) => response.writeHead(502).end("a proxy"),
        (response) => response.destroy(),
        stream(`${frame(3)}event: job.of_a_newer_server\ndata: {}\n\n:\n\n${frame(4)}`, (response) => response.end()),
        stream(frame(5), () => {})
      ])
      let outages = 0
      const told = yield* EventStreams.follow(
        yield* clientOf(url),
        {},
        { onOutage: () => Effect.sync(() => outages++) }
      ).pipe(Stream.take(5), Stream.runCollect)
      assert.deepStrictEqual(ids(told), ["j-1", "j-2", "j-3", "j-4", "j-5"])
      const two = cursor(2)
      assert.deepStrictEqual(asked, [undefined, cursor(0), two, two, two, two, two, cursor(4)])
      // All that failed before a connection was made was one outage.
      assert.strictEqual(outages, 1)
    }).pipe(Effect.scoped)
  )

  it.live("end with what coming back does not heal, and with an outage that is too long", () =>
    Effect.gen(function* () {
      const refusing = yield* scripted([problem(401, "Unauthenticated")])
      const refused = yield* Effect.flip(Stream.runDrain(EventStreams.follow(yield* clientOf(refusing.url))))
      assert.strictEqual(refused._tag, "Unauthenticated")
      assert.strictEqual(refusing.asked.length, 1)

      const failing = yield* scripted([problem(503, "StoreUnavailable")])
      const options = { outage: Duration.millis(200) }
      const gone = yield* Effect.flip(Stream.runDrain(EventStreams.follow(yield* clientOf(failing.url), {}, options)))
      assert.strictEqual(gone._tag, "StoreUnavailable")
      assert.isAbove(failing.asked.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("do not storm a server that ends each stream at once", () =>
    Effect.gen(function* () {
      const { times, url } = yield* scripted([stream(frame(1), (response) => response.end())])
      const reading = yield* Effect.forkChild(Stream.runDrain(EventStreams.follow(yield* clientOf(url))))
      yield* eventually("six connections", () => times.length >= 6)
      assert.isAbove(times[5]! - times[2]!, 3 * 40)
      yield* Fiber.interrupt(reading)
    }).pipe(Effect.scoped)
  )
})
