/** Where the event log begins and ends. */
import { Effect } from "effect"
import { EventLog } from "./internal/EventLog.ts"

/** Before the oldest event that is kept: a reader from here learns all that is still known. */
export const firstCursor = Effect.flatMap(EventLog, ({ start }) => start)

/** Behind the newest event: a reader from here learns what happens next. */
export const lastCursor = Effect.flatMap(EventLog, ({ end }) => end)
