/** The functions of lua/functions/log.lua, one typed command each. */
import type { NewEvent } from "@muster/core/event/Event"
import { Schema } from "effect"
import { Flag, named } from "./JobCommands.ts"
import { command } from "./RedisFunctions.ts"
import { LogPosition, relayedLine } from "./StoredEvents.ts"

const Count = Schema.FiniteFromString

export const readLog = command({
  name: "read_log",
  args: (request: LogPosition & { readonly log: string; readonly limit: number }) => [
    request.log,
    request.entry,
    String(request.line),
    String(request.limit)
  ],
  reply: Schema.Union([
    Schema.TupleWithRest(Schema.Tuple([Schema.Literal("page")]), [Schema.Tuple([Schema.String, Schema.String])]),
    named("trimmed", "foreign")
  ])
})

export const logState = command({
  name: "log_state",
  args: (_: void) => [],
  reply: Schema.Tuple([Schema.String, LogPosition, LogPosition, Count, Count, Schema.String])
})

export const openLog = command({ name: "open_log", args: (_: void) => [], reply: named("ok") })

export const appendLog = command({
  name: "append_log",
  args: (relayed: { readonly source: string; readonly number: number; readonly events: ReadonlyArray<NewEvent> }) => [
    relayed.source,
    String(relayed.number),
    ...relayed.events.map(relayedLine)
  ],
  reply: named("ok")
})

export const relayed = command({ name: "relayed", args: (source: string) => [source], reply: Count })

export const trimLog = command({
  name: "trim_log",
  args: (request: {
    readonly retentionMs: string
    readonly maxBytes: number
    /** What the archive has last; null when there is none. */
    readonly archived: (LogPosition & { readonly log: string }) | null
  }) => [
    request.retentionMs,
    String(request.maxBytes),
    request.archived?.log ?? "",
    request.archived?.entry ?? "",
    String(request.archived?.line ?? "")
  ],
  reply: Flag
})
