/** A feed under test: on a log that can be cut off, muted and made to forget, whichever store it is of. */
import { it } from "@effect/vitest"
import type { EventCursor } from "@muster/core/event/EventCursor"
import { compare } from "@muster/core/event/EventCursor"
import { CursorLost } from "@muster/core/event/EventErrors"
import * as EventFeed from "@muster/core/event/EventFeed"
import { EventLog } from "@muster/core/event/internal/EventLog"
import * as JobArchive from "@muster/core/job/internal/JobArchive"
import { JobQueue } from "@muster/core/job/internal/JobQueue"
import { StorageError } from "@muster/core/job/JobErrors"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { Context, Deferred, Duration, Effect, Layer, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type QueueLayer, settings, StoreTime } from "../job/QueueTest.ts"

/** What happens between the feed and the log. */
export class LogSwitch extends Context.Service<
  LogSwitch,
  {
    /** Reads fail from now on, also those that wait. */
    readonly cut: Effect.Effect<void>
    /** Reads find nothing from now on, as over a connection that is gone without a word. */
    readonly mute: Effect.Effect<void>
    /** The state of jobs cannot be read from now on. */
    readonly blind: Effect.Effect<void>
    /** Reads work again. */
    readonly mend: Effect.Effect<void>
    /** All that has happened so far is forgotten. */
    readonly lose: Effect.Effect<void>
  }
>()("@muster/core/test/event/LogSwitch") {}

const away = new StorageError({ operation: "EventLog.read", detail: "cut", unavailable: true, cause: "cut" })

/** The log as others see it through the switch. */
const switched = Effect.gen(function* () {
  const log = yield* EventLog
  const queue = yield* JobQueue
  const time = yield* StoreTime
  let state: "cut" | "mute" | "open" = "open"
  let turned = Deferred.makeUnsafe<void>()
  let floor: EventCursor | undefined
  let isBlind = false

  const turn = (to: typeof state) =>
    Effect.suspend(() => {
      const before = turned
      state = to
      isBlind = false
      turned = Deferred.makeUnsafe<void>()
      return Effect.asVoid(Deferred.succeed(before, undefined))
    })

  const gate = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.suspend((): Effect.Effect<A, E | StorageError> => (state === "cut" ? Effect.fail(away) : effect))

  const through: EventLog["Service"] = {
    ...log,
    end: gate(log.end),
    start: gate(Effect.suspend(() => (floor === undefined ? log.start : Effect.succeed(floor)))),
    read: (request) =>
      Effect.suspend(() => {
        if (state === "cut") return Effect.fail(away)
        if (floor !== undefined && compare(request.after, floor) < 0) {
          return Effect.fail(new CursorLost({ cursor: request.after, why: "trimmed" }))
        }
        const nothing = { events: [], position: request.after }
        if (state === "mute") {
          return Effect.as(Effect.timeoutOption(Deferred.await(turned), request.wait ?? Duration.zero), nothing)
        }
        const interrupted = Effect.flatMap(Deferred.await(turned), () =>
          state === "cut" ? Effect.fail(away) : Effect.succeed(nothing)
        )
        return request.wait === undefined ? log.read(request) : Effect.raceFirst(log.read(request), interrupted)
      })
  }

  const lose = Effect.gen(function* () {
    floor = yield* Effect.orDie(log.end)
    yield* turn(state)
  })

  const blind = Effect.sync(() => {
    isBlind = true
  })

  return Context.make(EventLog, through).pipe(
    Context.add(JobQueue, {
      ...queue,
      observe: (id) => Effect.suspend(() => (isBlind ? Effect.fail(away) : queue.observe(id)))
    }),
    Context.add(StoreTime, time),
    Context.add(LogSwitch, LogSwitch.of({ cut: turn("cut"), mute: turn("mute"), mend: turn("open"), lose, blind }))
  )
})

export type Feed =
  | EventFeed.EventFeed
  | JobQueue
  | JobArchive.JobArchive
  | EventLog
  | StoreTime
  | LogSwitch
  | Scope.Scope

export const feedOn = (layer: QueueLayer, kept: number) =>
  EventFeed.layerKeeping(kept).pipe(
    Layer.provideMerge(Layer.effectContext(switched).pipe(Layer.provide(layer))),
    Layer.provideMerge(JobArchive.layerNone)
  )

/** A test on a feed of its own, which keeps few events. */
export const on =
  (layer: QueueLayer) =>
  (title: string, body: Effect.Effect<unknown, unknown, Feed>, kept = 50): void =>
    it.effect(
      title,
      () =>
        Effect.gen(function* () {
          // Whoever looks at a feed at once would race with its start.
          const feed = yield* EventFeed.EventFeed
          yield* until(
            "the feed is connected",
            Effect.map(feed.lag, ({ connected }) => connected)
          )
          yield* body
        }).pipe(Effect.scoped, Effect.provide(feedOn(layer, kept)), Effect.provideService(QueueSettings, settings)),
      120_000
    )

/** Waits until something holds, for at most a minute. */
export const until = <E, R>(what: string, holds: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.gen(function* () {
    const deadline = performance.now() + 60_000
    while (!(yield* holds)) {
      if (performance.now() > deadline) return yield* Effect.die(new Error(`not within 60 s: ${what}`))
      yield* TestClock.withLive(Effect.sleep("1 millis"))
    }
  })

/** Reads a stream from now on; gives what has come. */
export const reading = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.gen(function* () {
    const items: Array<A> = []
    const end = yield* Deferred.make<void, E>()
    yield* Stream.runForEach(stream, (item) => Effect.sync(() => items.push(item))).pipe(
      Effect.onExit((exit) => Deferred.done(end, exit)),
      Effect.forkScoped({ startImmediately: true })
    )
    return {
      items,
      /** Until so many have come. */
      count: (count: number) =>
        until(
          `${count} items, not ${items.length}`,
          Effect.sync(() => items.length >= count)
        ),
      end: TestClock.withLive(Effect.timeout(Deferred.await(end), "60 seconds"))
    }
  })
