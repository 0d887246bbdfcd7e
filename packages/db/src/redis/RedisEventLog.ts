/**
 * The event log on Redis: a stream beside the jobs, written by the functions that change them. It has a name of its own,
 * so that a cursor of a log that was lost is told from one of the log that came after it; and a cursor stands on an
 * entry that is there, so that one of writes that Redis has lost is, too. Source: broker rules 17 and 18.
 */
import { CursorLost } from "@muster/core/event/EventErrors"
import { EventSettings } from "@muster/core/event/EventSettings"
import { EventLog, type EventPage, type ReadRequest } from "@muster/core/event/internal/EventLog"
import { QueueSettings } from "@muster/core/job/QueueSettings"
import { Duration, Effect, Layer, Option, Schema } from "effect"
import * as LogCommands from "./LogCommands.ts"
import * as LogTail from "./LogTail.ts"
import { Redis } from "./Redis.ts"
import { inMethod, unexpected } from "./RedisFailure.ts"
import { queuePrefix, RedisFunctions } from "./RedisFunctions.ts"
import { cursorAt, eventsIn, positionAt } from "./StoredEvents.ts"

const storage = inMethod("EventLog")
const eventsPerPage = 1_000

const make = Effect.gen(function* () {
  const settings = yield* EventSettings
  const queue = queuePrefix((yield* QueueSettings).name)
  const redis = yield* Redis
  const functions = yield* RedisFunctions
  const tail = yield* LogTail.make(redis, queue)

  const readLog = LogCommands.readLog(functions, queue)
  const logState = LogCommands.logState(functions, queue)
  const openLog = LogCommands.openLog(functions, queue)
  const appendLog = LogCommands.appendLog(functions, queue)
  const relayed = LogCommands.relayed(functions, queue)
  const trimLog = LogCommands.trimLog(functions, queue)

  const page = Effect.fnUntraced(function* ({ after, limit }: ReadRequest) {
    const position = positionAt(after)
    const reply = yield* readLog({ ...position, limit: Math.min(limit, eventsPerPage) })
    if (reply[0] !== "page") return yield* new CursorLost({ cursor: after, why: reply[0] })
    const [, ...entries] = reply
    const events = yield* Effect.forEach(entries, (entry) =>
      eventsIn(position.log, entry, entry[0] === position.entry ? position.line : -1)
    ).pipe(Effect.mapError((issue) => unexpected(new Schema.SchemaError(issue))))
    const all = events.flat()
    return { events: all, position: all.at(-1)?.cursor ?? after } satisfies EventPage
  })

  const pageInTime = Effect.fnUntraced(function* (request: ReadRequest) {
    const now = yield* page(request)
    const { after, wait } = request
    if (now.events.length > 0 || wait === undefined) return now
    const later = Effect.andThen(tail.behind(positionAt(after).entry), page(request)).pipe(
      Effect.repeat({ until: ({ events }) => events.length > 0 }),
      Effect.timeoutOption(wait)
    )
    return Option.getOrElse(yield* later, () => now)
  })

  /** A log without a name, which nobody has written to, is given one. */
  const state = Effect.gen(function* () {
    const known = yield* logState()
    if (known[0] !== "") return known
    yield* openLog()
    return yield* logState()
  })

  return EventLog.of({
    read: (request) => storage("read")(pageInTime(request)),

    end: storage("end")(Effect.map(state, ([log, , end]) => cursorAt(log, end))),

    start: storage("start")(Effect.map(state, ([log, start]) => cursorAt(log, start))),

    append: (events) => Effect.asVoid(storage("append")(appendLog(events))),

    relayed: (source) => storage("relayed")(relayed(source)),

    trim: (archived) =>
      trimLog({
        retentionMs: String(Duration.toMillis(settings.retention)),
        maxBytes: settings.maxBytes,
        archived: archived === null ? null : positionAt(archived)
      }).pipe(
        Effect.map((more) => more === "1"),
        storage("trim")
      ),

    size: Effect.map(state, ([log, , end, entries, bytes, first]) => ({
      entries,
      bytes,
      first: first === "" ? null : cursorAt(log, { entry: first, line: 0 }),
      last: first === "" ? null : cursorAt(log, end)
    })).pipe(storage("size"))
  })
})

/** Of the queue that the settings name; Redis may be away. */
export const layer: Layer.Layer<EventLog, never, Redis | RedisFunctions> = Layer.effect(EventLog, make)
