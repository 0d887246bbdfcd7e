/** Event streams as a reader sees them: from now on, after a cursor, filtered, cut and taken up again. */
import { assert, describe, it, layer } from "@effect/vitest"
import { EventFeed } from "@muster/core/event/EventFeed"
import * as JobUseCases from "@muster/core/job/JobUseCases"
import { type Fence } from "@muster/core/job/Job"
import { StorageError } from "@muster/core/job/JobErrors"
import type { Ports } from "@muster/core/Ports"
import { WorkerId } from "@muster/core/worker/Worker"
import { StreamSettings } from "@muster/http-server/StreamSettings"
import { Context, Duration, Effect, Exit, Fiber, Layer, Redacted, Schedule, Scope, Stream } from "effect"
import * as EventReader from "./EventReader.ts"
import { ask, server, serverOn, stores, submit, TestServer } from "./TestServer.ts"

const open = (path: string, headers: Record<string, string> = {}) =>
  Effect.flatMap(TestServer, ({ port }) => EventReader.open(port, path, headers))

let nonces = 0

/** Gives the next job of a service to a worker, which begins it. */
const claimed = (service: string, worker = "worker-1") =>
  Effect.gen(function* () {
    const nonce = `nonce-${nonces++}`
    const [job] = yield* JobUseCases.claimJobs({
      worker_id: WorkerId.make(worker),
      capabilities: { job_types: [service] },
      capacity: 1_000,
      limit: 1,
      nonce
    })
    if (job === undefined) return yield* Effect.die(new Error("no job was given"))
    const fence: Fence = { job_id: job.id, attempt: job.attempt, nonce }
    yield* JobUseCases.startJob(fence)
    return fence
  })

const types = (frames: ReadonlyArray<EventReader.Frame>) =>
  EventReader.names(frames).filter((name) => name.includes("."))

layer(server(), { excludeTestServices: true })("an event stream", (it) => {
  it.effect("says where it begins, and then what happens, each event with its cursor", () =>
    Effect.gen(function* () {
      const reader = yield* open("/events?service_required=told")
      assert.strictEqual(reader.status, 200)
      assert.match(String(reader.headers["content-type"]), /^text\/event-stream/)
      assert.strictEqual(reader.headers["cache-control"], "no-store")
      assert.strictEqual(reader.headers["x-accel-buffering"], "no")
      const [begin] = yield* reader.until((frames) => frames.length === 1)
      assert.isTrue(reader.text().startsWith("retry: 1000\n\n"))
      assert.deepStrictEqual([begin?.name, begin?.data], ["begin", { position: begin?.id }])

      yield* submit({ id: "told-1", service_required: "told", customer_id: "c-1" })
      const fence = yield* claimed("told")
      yield* JobUseCases.completeJob(fence, { done: true })
      const frames = yield* reader.until(EventReader.named("job.completed"))
      assert.deepStrictEqual(types(frames), ["job.submitted", "job.assigned", "job.started", "job.completed"])
      for (const { data, id, name } of frames.slice(1)) {
        assert.deepStrictEqual([data.cursor, data.type, data.job_id], [id, name, "told-1"])
      }
      assert.strictEqual(frames.at(-1)?.data.status, "completed")
      assert.strictEqual(frames.at(-1)?.data.worker_id, "worker-1")
    })
  )

  it.effect("goes on where a reader was cut off: no event is missing, and none comes twice", () =>
    Effect.gen(function* () {
      const path = "/events?service_required=cut&type=job.submitted"
      const seen: Array<string> = []
      let last: string | undefined
      for (let round = 0; round < 5; round++) {
        const wanted = (round + 1) * 4
        yield* Effect.scoped(
          Effect.gen(function* () {
            const reader = yield* open(path, last === undefined ? {} : { "last-event-id": last })
            yield* submit({ service_required: "cut", id: `cut-${round}-a` })
            yield* submit({ service_required: "cut", id: `cut-${round}-b` })
            const mine = yield* reader.until((frames) => seen.length + types(frames).length >= wanted - 2)
            for (const { data, id, name } of mine) {
              if (name === "job.submitted") seen.push(data.job_id)
              last = id
            }
            yield* reader.cut
          })
        )
        // While nobody reads.
        yield* submit({ service_required: "cut", id: `cut-${round}-c` })
        yield* submit({ service_required: "cut", id: `cut-${round}-d` })
      }
      const reader = yield* open(path, { "last-event-id": String(last) })
      for (const { data } of yield* reader.until((frames) => frames.length === 2)) seen.push(data.job_id)
      const expected = [0, 1, 2, 3, 4].flatMap((round) =>
        ["a", "b", "c", "d"].map((letter) => `cut-${round}-${letter}`)
      )
      assert.deepStrictEqual(seen, expected)
    })
  )

  it.effect("`after` says the same, `Last-Event-ID` goes before it, and `from=start` tells all that is kept", () =>
    Effect.gen(function* () {
      yield* submit({ service_required: "after", id: "after-1" })
      yield* submit({ service_required: "after", id: "after-2" })
      const [begin, first, second] = yield* Effect.flatMap(
        open("/events?from=start&service_required=after"),
        ({ until }) => until((frames) => frames.length === 3)
      )
      assert.deepStrictEqual([begin?.name, first?.data.job_id, second?.data.job_id], ["begin", "after-1", "after-2"])
      const after = yield* open(`/events?service_required=after&after=${first?.id}`)
      assert.strictEqual((yield* after.until((frames) => frames.length === 1))[0]?.id, second?.id)
      const both = yield* open(`/events?service_required=after&after=${first?.id}`, {
        "last-event-id": String(begin?.id)
      })
      assert.strictEqual((yield* both.until((frames) => frames.length === 2))[0]?.id, first?.id)
    })
  )

  it.effect("is filtered by type, job, worker, customer and workflow", () =>
    Effect.gen(function* () {
      const query = (text: string) => open(`/events?${text}`)
      const readers = yield* Effect.all({
        twoTypes: query("type=job.completed,job.started&service_required=filter"),
        repeated: query("type=job.completed&type=job.started&service_required=filter"),
        job: query("job_id=filter-2"),
        worker: query("worker_id=filter-worker"),
        customer: query("customer_id=filter-c"),
        workflow: query("workflow_id=filter-w"),
        nothing: query("machine_id=none")
      })
      yield* submit({ service_required: "filter", id: "filter-1", customer_id: "filter-c" })
      yield* submit({ service_required: "filter", id: "filter-2", workflow_id: "filter-w" })
      const one = yield* claimed("filter", "filter-worker")
      const two = yield* claimed("filter", "filter-other")
      yield* JobUseCases.completeJob(two, null)
      yield* JobUseCases.completeJob(one, null)
      const all = yield* Effect.all({
        twoTypes: readers.twoTypes.until((frames) => types(frames).length === 4),
        repeated: readers.repeated.until((frames) => types(frames).length === 4),
        job: readers.job.until(EventReader.named("job.completed")),
        worker: readers.worker.until(EventReader.named("job.completed")),
        customer: readers.customer.until(EventReader.named("job.completed")),
        workflow: readers.workflow.until(EventReader.named("job.completed"))
      })
      const told = (frames: ReadonlyArray<EventReader.Frame>) =>
        frames.slice(1).map(({ data, name }) => `${data.job_id} ${name.slice(4)}`)
      assert.deepStrictEqual(told(all.twoTypes), [
        "filter-1 started",
        "filter-2 started",
        "filter-2 completed",
        "filter-1 completed"
      ])
      assert.deepStrictEqual(told(all.repeated), told(all.twoTypes))
      const whole = (id: string) => ["submitted", "assigned", "started", "completed"].map((name) => `${id} ${name}`)
      assert.deepStrictEqual(told(all.job), whole("filter-2"))
      assert.deepStrictEqual(told(all.worker), whole("filter-1").slice(1))
      assert.deepStrictEqual(told(all.customer), whole("filter-1"))
      assert.deepStrictEqual(told(all.workflow), whole("filter-2"))
      assert.deepStrictEqual(EventReader.names(readers.nothing.frames()), ["begin"])
    })
  )

  it.effect("refuses what it does not know before it begins", () =>
    Effect.gen(function* () {
      const refused = Effect.fnUntraced(function* (path: string, headers: Record<string, string> = {}) {
        const { json, status } = yield* ask("GET", path, { headers })
        return [status, json.code, json.errors?.map((issue: { path: string }) => issue.path)]
      })
      assert.deepStrictEqual(yield* refused("/events?types=job.failed"), [400, "InvalidRequest", ["types"]])
      assert.deepStrictEqual(yield* refused("/events?type=job.unknown"), [400, "InvalidRequest", ["type[0]"]])
      assert.deepStrictEqual(yield* refused("/events?type="), [400, "InvalidRequest", ["type[0]"]])
      assert.deepStrictEqual(yield* refused("/events?after=5"), [400, "InvalidRequest", ["after"]])
      assert.deepStrictEqual(yield* refused("/events?from=end"), [400, "InvalidRequest", ["from"]])
      for (const id of ["5", "nonsense", "a.1-2", `a.${"1".repeat(17)}-0-0`, "A.1-0-0"]) {
        const headers = { "last-event-id": id }
        assert.deepStrictEqual(yield* refused("/events", headers), [400, "InvalidRequest", ["last-event-id"]])
        assert.deepStrictEqual(yield* refused("/jobs/j/events", headers), [400, "InvalidRequest", ["last-event-id"]])
      }
      assert.deepStrictEqual(yield* refused("/jobs/unknown/events"), [404, "JobNotFound", undefined])
      assert.deepStrictEqual(yield* refused("/jobs/unknown/events?type=x"), [400, "InvalidRequest", ["type"]])
      assert.deepStrictEqual(yield* refused("/jobs/unknown?wait=soon"), [400, "InvalidRequest", ["wait"]])
      assert.deepStrictEqual(yield* refused("/jobs/unknown?wait=6m"), [400, "InvalidRequest", ["wait"]])
      assert.deepStrictEqual(yield* refused("/jobs/unknown?wait=5m"), [404, "JobNotFound", undefined])
      const put = yield* ask("PUT", "/events")
      assert.deepStrictEqual([put.status, put.headers["allow"]], [405, "GET"])
      const head = yield* ask("HEAD", "/events")
      assert.deepStrictEqual([head.status, head.text], [200, ""])
    })
  )

  it.effect("is told to begin anew where the log does not go on from its cursor", () =>
    Effect.gen(function* () {
      const foreign = "abc.1700000000000-0-0"
      const reader = yield* open("/events?service_required=anew", { "last-event-id": foreign })
      const [reset] = yield* reader.until((frames) => frames.length === 1)
      assert.strictEqual(reset?.name, "reset")
      assert.deepStrictEqual(reset?.data, { position: reset?.id, why: "foreign" })
      // It goes on from there, and so does whoever comes back with that id.
      yield* submit({ service_required: "anew" })
      yield* reader.until(EventReader.named("job.submitted"))
      const again = yield* open("/events?service_required=anew", { "last-event-id": String(reset?.id) })
      yield* again.until(EventReader.named("job.submitted"))

      const id = yield* submit({ service_required: "anew" })
      const ofJob = yield* open(`/jobs/${id}/events`, { "last-event-id": foreign })
      const frames = yield* ofJob.until((frames) => frames.length === 2)
      assert.deepStrictEqual(EventReader.names(frames), ["reset", "snapshot"])
      assert.strictEqual(frames[1]?.data.job.id, id)
    })
  )
})

layer(server(), { excludeTestServices: true })("the events of a job", (it) => {
  it.effect("begin with the job as it is, and end with it as it ended", () =>
    Effect.gen(function* () {
      const id = yield* submit({ service_required: "whole" })
      const reader = yield* open(`/jobs/${id}/events`)
      yield* reader.until(EventReader.named("snapshot"))
      const fence = yield* claimed("whole")
      yield* JobUseCases.reportProgress(fence, { percent: 50, message: "half" })
      yield* reader.until(EventReader.named("job.progress"))
      yield* JobUseCases.completeJob(fence, { done: [1] })
      yield* reader.ended
      const frames = reader.frames()
      assert.deepStrictEqual(EventReader.names(frames), [
        "snapshot",
        "job.assigned",
        "job.started",
        "job.progress",
        "job.completed",
        "end"
      ])
      assert.strictEqual(frames[0]?.data.job.status, "pending")
      assert.deepStrictEqual(frames[3]?.data.progress, { percent: 50, message: "half" })
      assert.deepStrictEqual(frames[5]?.data, (yield* ask("GET", `/jobs/${id}`)).json)
      assert.deepStrictEqual(frames[5]?.data.job.result, { done: [1] })

      const late = yield* open(`/jobs/${id}/events`)
      yield* late.ended
      assert.deepStrictEqual(EventReader.names(late.frames()), ["snapshot", "end"])
    })
  )

  it.effect("go on where a reader was cut off, also when the job ended meanwhile", () =>
    Effect.gen(function* () {
      const id = yield* submit({ service_required: "resumed" })
      const first = yield* open(`/jobs/${id}/events`)
      const [snapshot] = yield* first.until(EventReader.named("snapshot"))
      yield* first.cut
      const fence = yield* claimed("resumed")

      const second = yield* open(`/jobs/${id}/events`, { "last-event-id": String(snapshot?.id) })
      const started = yield* second.until(EventReader.named("job.started"))
      assert.deepStrictEqual(EventReader.names(started), ["job.assigned", "job.started"])
      yield* second.cut
      yield* JobUseCases.completeJob(fence, null)

      const third = yield* open(`/jobs/${id}/events`, { "last-event-id": String(started[1]?.id) })
      yield* third.ended
      assert.deepStrictEqual(EventReader.names(third.frames()), ["job.completed", "end"])

      const fourth = yield* open(`/jobs/${id}/events`, { "last-event-id": String(third.frames()[0]?.id) })
      yield* fourth.ended
      assert.deepStrictEqual(EventReader.names(fourth.frames()), ["end"])
    })
  )
})

layer(server(), { excludeTestServices: true })("a job that is waited for", (it) => {
  it.effect("is answered at its end, or as it is when the time is over", () =>
    Effect.gen(function* () {
      const id = yield* submit({ service_required: "waited" })
      const early = yield* ask("GET", `/jobs/${id}?wait=50ms`)
      assert.deepStrictEqual([early.status, early.json.job.status], [200, "pending"])
      const fence = yield* claimed("waited")
      const [waited] = yield* Effect.all([ask("GET", `/jobs/${id}?wait=30s`), JobUseCases.completeJob(fence, "done")], {
        concurrency: 2
      })
      assert.deepStrictEqual(
        [waited.status, waited.json.job.status, waited.json.job.result],
        [200, "completed", "done"]
      )
      const late = yield* ask("GET", `/jobs/${id}?wait=30s`)
      assert.strictEqual(late.json.job.status, "completed")
    })
  )
})

/** A server whose streams have settings of their own. */
const streaming = (settings: Partial<StreamSettings>, ports: Layer.Layer<Ports> = stores) =>
  serverOn(ports).pipe(
    Layer.provide(
      Layer.effect(
        StreamSettings,
        Effect.map(StreamSettings, (defaults) => ({ ...defaults, ...settings }))
      )
    )
  )

describe("a server with open streams", () => {
  it.live("says something now and then, so that the connection is known to live", () =>
    Effect.gen(function* () {
      const reader = yield* open("/events")
      yield* EventReader.eventually("three comments", () => reader.text().split("\n:\n").length > 3)
    }).pipe(Effect.scoped, Effect.provide(streaming({ pulse: Duration.millis(50) })))
  )

  it.live("keeps so many open and no more, and takes the next one when another goes", () =>
    Effect.gen(function* () {
      const id = yield* submit()
      const first = yield* open("/events")
      const second = yield* open(`/jobs/${id}/events`)
      const refused = yield* ask("GET", "/events")
      assert.deepStrictEqual([refused.status, refused.json.code], [503, "TooManyStreams"])
      assert.strictEqual(refused.headers["retry-after"], "5")
      assert.strictEqual((yield* ask("GET", `/jobs/${id}?wait=1s`)).status, 503)
      // A request that asks for the head only leaves nothing open.
      assert.strictEqual((yield* ask("GET", `/jobs/${id}`)).status, 200)
      yield* first.cut
      yield* second.until(EventReader.named("snapshot"))
      const status = Effect.scoped(Effect.map(open("/events"), (reader) => reader.status))
      yield* Effect.repeat(status, { until: (status) => status === 200, schedule: Schedule.spaced("5 millis") })
      const head = Effect.map(ask("HEAD", "/events"), ({ status }) => status)
      yield* Effect.repeat(head, { until: (status) => status === 200, schedule: Schedule.spaced("5 millis") })
      for (let round = 0; round < 5; round++) assert.strictEqual(yield* head, 200)
    }).pipe(Effect.scoped, Effect.provide(streaming({ atMost: 2 })))
  )

  it.live("ends them when it stops, and does not wait for them", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(server(), scope)
      const { port } = Context.get(context, TestServer)
      const id = yield* Effect.provide(submit(), context)
      const [all, ofJob] = [
        yield* EventReader.open(port, "/events"),
        yield* EventReader.open(port, `/jobs/${id}/events`)
      ]
      const waiting = yield* Effect.forkChild(Effect.provide(ask("GET", `/jobs/${id}?wait=60s`), context))
      yield* ofJob.until(EventReader.named("snapshot"))
      const [took] = yield* Effect.timed(Scope.close(scope, Exit.void))
      yield* Effect.all([all.ended, ofJob.ended])
      const answer = yield* Fiber.join(waiting)
      assert.deepStrictEqual([answer.status, answer.json.job.status], [200, "pending"])
      // A server waits 20 s for what does not end.
      assert.isBelow(Duration.toMillis(took), 15_000)
    }).pipe(Effect.scoped)
  )

  it.live("ends a stream that cannot go on, so that its reader comes back, and says nothing of why", () =>
    Effect.gen(function* () {
      const reader = yield* open("/events")
      yield* reader.ended
      assert.deepStrictEqual(EventReader.names(reader.frames()), ["begin"])
      assert.notInclude(reader.text(), "secret")
    }).pipe(
      Effect.scoped,
      Effect.provide(
        streaming(
          {},
          Layer.effect(
            EventFeed,
            Effect.map(EventFeed, (feed) =>
              EventFeed.of({
                ...feed,
                follow: () =>
                  Stream.fail(
                    new StorageError({ operation: "read", detail: "secret", unavailable: true, cause: "secret" })
                  )
              })
            )
          ).pipe(Layer.provideMerge(stores))
        )
      )
    )
  )

  it.live("asks for the token like everywhere else", () =>
    Effect.gen(function* () {
      for (const path of ["/events", "/jobs/j/events"]) {
        assert.strictEqual((yield* ask("GET", path)).status, 401)
      }
      const reader = yield* open("/events", { authorization: "Bearer a-token-for-tests" })
      assert.strictEqual(reader.status, 200)
    }).pipe(Effect.scoped, Effect.provide(server({ token: Redacted.make("a-token-for-tests") })))
  )
})
