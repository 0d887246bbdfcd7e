import { assert, describe, it } from "@effect/vitest"
import * as EventFeed from "@muster/core/event/EventFeed"
import { EventLog } from "@muster/core/event/internal/EventLog"
import * as JobEvents from "@muster/core/event/JobEvents"
import { request } from "@muster/core/job/Job"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import * as MemoryJobQueue from "@muster/core/job/internal/MemoryJobQueue"
import { Effect, Layer, Stream } from "effect"
import { jobId, submit } from "../job/QueueTest.ts"

const stores = EventFeed.layer.pipe(Layer.provideMerge(Layer.merge(MemoryJobQueue.layer, JobArchive.layerNone)))

/** What a reader is told that comes back to a job that has ended, after so many other things happened. */
const toldAfter = Effect.fnUntraced(function* (others: number) {
  const queue = yield* JobQueue
  yield* submit("j")
  const last = yield* (yield* EventLog).end
  yield* queue.cancel(jobId("j"))
  const jobs = Array.from({ length: others }, (_, n) => ({
    id: jobId(`other-${n}`),
    request: request({ service_required: "nobody" })
  }))
  yield* queue.submitMany(jobs)
  const told = yield* Stream.runCollect(Stream.unwrap(JobEvents.follow(jobId("j"), last)))
  return told.map((one) => (one._tag === "Event" ? one.event.type : one._tag))
})

describe("a reader that comes back to a job", () => {
  it.effect("is told what it missed", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* toldAfter(JobEvents.lookedAt - 1_000), ["job.cancelled", "End"])
    }).pipe(Effect.provide(stores))
  )

  it.effect("is told the state when too much else happened meanwhile to look through it", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* toldAfter(JobEvents.lookedAt + 1_000), [
        "job.cancelled",
        "Reset",
        "Snapshot",
        "End"
      ])
    }).pipe(Effect.provide(stores))
  )
})
