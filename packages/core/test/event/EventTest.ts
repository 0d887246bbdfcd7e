/** What the contract suites of events share: reading all that was told, and what matters of it. */
import type { Event } from "@muster/core/event/Event"
import type { EventCursor } from "@muster/core/event/EventCursor"
import { EventLog } from "@muster/core/event/internal/EventLog"
import { Effect } from "effect"

/** All events after a cursor, page by page. */
export const eventsAfter = (cursor: EventCursor, limit = 100) =>
  Effect.gen(function* () {
    const log = yield* EventLog
    const events: Array<Event> = []
    let after = cursor
    while (true) {
      const page = yield* log.read({ after, limit })
      if (page.events.length === 0) return events
      events.push(...page.events)
      after = page.position
    }
  })

/** Listens from now on: gives what was told since the last time. */
export const listening = Effect.gen(function* () {
  const log = yield* EventLog
  let cursor = yield* log.end
  return Effect.gen(function* () {
    const events = yield* eventsAfter(cursor)
    cursor = events.at(-1)?.cursor ?? cursor
    return events
  }).pipe(Effect.provideService(EventLog, log))
})

/** What an event says, without where it stands, when it was, and the name of the class. */
export const said = ({ at: _at, cursor: _cursor, requirement_class: _class, ...rest }: Event) => rest
