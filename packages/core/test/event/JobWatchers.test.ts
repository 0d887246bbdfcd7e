/** What only a watcher between two of its steps shows, whatever log there is. */
import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@muster/core/event/Event"
import * as EventCursor from "@muster/core/event/EventCursor"
import * as JobWatchers from "@muster/core/event/internal/JobWatchers"
import { asSubmitted, JobId, request } from "@muster/core/job/Job"
import { DateTime, Effect, Fiber, Option, References, Stream } from "effect"

const id = JobId.make("j")
const at = DateTime.makeUnsafe(0)
const position = EventCursor.make({ log: "log", ms: 1, seq: 0, index: 0 })
const job = asSubmitted(id, request({ service_required: "simulation" }), "pending", at)
const end: Event = {
  cursor: EventCursor.make({ log: "log", ms: 2, seq: 0, index: 0 }),
  at,
  type: "job.cancelled",
  job_id: id,
  status: "cancelled",
  attempt: 0
}

const sources = {
  queue: { observe: () => Effect.succeed(Option.some({ job, position })) },
  log: {},
  archive: {}
} as unknown as JobWatchers.Sources

/** Whether a watcher that gives way every so many steps learns at once what it is told after others had so many turns. */
const learns = Effect.fnUntraced(function* (every: number, turns: number) {
  const watchers = JobWatchers.make(sources)
  const watching = yield* Stream.runCollect(watchers.watch(id)).pipe(
    Effect.provideService(References.MaxOpsBeforeYield, every),
    Effect.forkChild
  )
  for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
  watchers.tell([end])
  for (let turn = 0; turn < 200; turn++) yield* Effect.yieldNow
  const hasEnded = watching.pollUnsafe() !== undefined
  yield* Effect.forkDetach(Fiber.interrupt(watching))
  return hasEnded
})

describe("a watcher", () => {
  it.effect("misses nothing that it is told between any two of its steps", () =>
    Effect.gen(function* () {
      for (const every of [3, 4, 5, 7]) {
        const learnt = yield* Effect.forEach(Array.from({ length: 60 }).keys(), (turns) => learns(every, turns))
        const watches = learnt.indexOf(true)
        assert.isAtLeast(watches, 1)
        // No time passes here: one that waits for it was not woken.
        assert.deepStrictEqual(learnt.slice(watches).indexOf(false), -1, `gives way every ${every} steps`)
      }
    })
  )
})
