/** Answers the routes of events with the feed of the process. */
import type { Event } from "@muster/core/event/Event"
import { type EventCursor, positionOf } from "@muster/core/event/EventCursor"
import { EventFeed } from "@muster/core/event/EventFeed"
import * as EventQueries from "@muster/core/event/EventQueries"
import * as JobEvents from "@muster/core/event/JobEvents"
import type { Ports } from "@muster/core/Ports"
import { Array, Context, Effect, Schema, Scope, Stream } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../contract/Api.ts"
import * as EventFrames from "../contract/EventFrames.ts"
import * as EventStream from "../EventStream.ts"
import type { OpenRequests } from "../OpenRequests.ts"
import * as CoreAnswers from "./CoreAnswers.ts"

const encode = {
  begin: Schema.encodeSync(EventFrames.data.begin),
  event: Schema.encodeSync(EventFrames.data.event),
  reset: Schema.encodeSync(EventFrames.data.reset),
  state: Schema.encodeSync(EventFrames.data.snapshot)
}

/** All readers of the process are handed the same events, so each is written out once, not once for each of them. */
const written = new WeakMap<Event, string>()

const ofEvent = (event: Event): string => {
  const known = written.get(event)
  if (known !== undefined) return known
  const frame = EventStream.frame(event.cursor, event.type, encode.event(event))
  written.set(event, frame)
  return frame
}

/** Why a reader cannot go on from where it was. */
const whyReset = (last: EventCursor | undefined, position: EventCursor): "trimmed" | "foreign" =>
  last !== undefined && positionOf(last).log !== positionOf(position).log ? "foreign" : "trimmed"

const frameOf =
  (last: EventCursor | undefined) =>
  (item: JobEvents.JobEvent): string => {
    switch (item._tag) {
      case "Event":
        return ofEvent(item.event)
      case "Reset": {
        const { position } = item
        return EventStream.frame(position, "reset", encode.reset({ position, why: whyReset(last, position) }))
      }
      case "Snapshot":
        return EventStream.frame(item.cursor, "snapshot", encode.state(item))
      case "End":
        return EventStream.frame(undefined, "end", encode.state(item))
    }
  }

type Items = Array.NonEmptyReadonlyArray<JobEvents.JobEvent>

/** Readers that keep up are handed the same items at the same time: those are put together once, too. By the first. */
const together = new WeakMap<
  JobEvents.JobEvent,
  { readonly items: Items; readonly pieces: Array.NonEmptyReadonlyArray<Uint8Array> }
>()

const pieces = (last: EventCursor | undefined) => {
  const frame = frameOf(last)
  return <E, R>(items: Stream.Stream<JobEvents.JobEvent, E, R>) =>
    Stream.mapArray(items, (items) => {
      const known = together.get(items[0])
      if (known?.items.length === items.length && known.items.every((item, at) => item === items[at])) {
        return known.pieces
      }
      const pieces = EventStream.pieces(Array.map(items, frame))
      together.set(items[0], { items, pieces })
      return pieces
    })
}

export const layer = HttpApiBuilder.group(
  Api,
  "events",
  Effect.fnUntraced(function* (handlers) {
    const answered = yield* CoreAnswers.make
    // What a request holds it gives back at its own end, not at that of the server.
    const context = Context.omit(Scope.Scope)(yield* Effect.context<Ports | OpenRequests>())
    const { follow } = yield* EventFeed
    const answer = (pieces: Stream.Stream<Uint8Array, unknown, Ports>) =>
      EventStream.answer(Stream.provideContext(pieces, context))
    return handlers.handleAll({
      follow: ({ headers, query }) => {
        const { after, from, type, ...rest } = query
        const last = headers["last-event-id"] ?? after
        const filter = type === undefined ? rest : { ...rest, types: type }
        const since = (after: EventCursor) => pieces(after)(follow({ after, filter }))
        if (last !== undefined) return Effect.provideContext(answer(since(last)), context)
        return (from === "start" ? EventQueries.firstCursor : EventQueries.lastCursor).pipe(
          Effect.flatMap((position) =>
            answer(
              Stream.concat(
                Stream.fromArray(
                  EventStream.pieces([EventStream.frame(position, "begin", encode.begin({ position }))])
                ),
                since(position)
              )
            )
          ),
          answered,
          Effect.provideContext(context)
        )
      },
      ofJob: ({ headers, params }) => {
        const last = headers["last-event-id"]
        return JobEvents.follow(params.id, last).pipe(
          Effect.flatMap((life) => answer(pieces(last)(life))),
          answered,
          Effect.provideContext(context)
        )
      }
    })
  })
)
