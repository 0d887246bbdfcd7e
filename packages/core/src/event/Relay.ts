/**
 * Moves what happened to workers from the outbox of their registry to the event log, exactly once: the log knows up to
 * which number it has them, so a page that was added and not forgotten, because its server died in between, is not added
 * again. Every server runs it.
 */
import { Duration, Effect, Layer, Option } from "effect"
import { recurring } from "../Recurring.ts"
import { WorkerOutbox } from "../worker/internal/WorkerOutbox.ts"
import { EventLog } from "./internal/EventLog.ts"

const interval = Duration.millis(500)

/** Moves one page; says whether there was one. */
export const relay = Effect.fnUntraced(function* () {
  const outbox = yield* WorkerOutbox
  const log = yield* EventLog
  const found = yield* outbox.read
  if (Option.isNone(found)) return false
  yield* log.append(found.value)
  yield* outbox.forget(found.value)
  return true
})

export const startRelaying = recurring("worker-events", interval, Effect.repeat(relay(), { while: (more) => more }))

export const layer = Layer.effectDiscard(startRelaying)
