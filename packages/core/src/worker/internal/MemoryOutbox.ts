/** The outbox of the registry in memory: the registry tells it what happened, in the same synchronous step. */
import { Context, DateTime, Effect, Layer, Option } from "effect"
import type { NewEvent, WorkerEventType } from "../../event/Event.ts"
import type { Worker } from "../Worker.ts"
import { WorkerOutbox } from "./WorkerOutbox.ts"

const pageSize = 1_000
/** Where nobody reads events, they are not kept for ever. */
const mostEvents = 10_000

export class MemoryOutbox extends Context.Service<
  MemoryOutbox,
  {
    /** Notes what happened to a worker, at a time in ms. */
    readonly tell: (type: WorkerEventType, worker: Worker, now: number) => void
    readonly outbox: WorkerOutbox["Service"]
  }
>()("@muster/core/worker/internal/MemoryOutbox") {}

const about = (type: WorkerEventType, { standing, status }: Worker): Partial<NewEvent> => {
  if (type === "worker.registered" || type === "worker.status") return { worker_status: status }
  return type === "worker.standing" ? { standing } : {}
}

const make = Effect.sync(() => {
  const source = `workers:${globalThis.crypto.randomUUID()}`
  const events: Array<NewEvent> = []
  /** Events that were forgotten, and how many of the others the page holds that is given out now. */
  let forgotten = 0
  let given = 0

  return MemoryOutbox.of({
    tell: (type, worker, now) => {
      const { id, machine_id } = worker
      const event: NewEvent = {
        at: DateTime.makeUnsafe(now),
        type,
        worker_id: id,
        ...(machine_id === null ? {} : { machine_id }),
        ...about(type, worker)
      }
      events.push(event)
      if (events.length > mostEvents) events.splice(given, events.length - mostEvents)
    },
    outbox: {
      read: Effect.sync(() => {
        if (given === 0) given = Math.min(events.length, pageSize)
        return given === 0
          ? Option.none()
          : Option.some({ source, number: forgotten + given, events: events.slice(0, given) })
      }),
      forget: (page) =>
        Effect.sync(() => {
          if (given === 0 || page.source !== source || page.number !== forgotten + given) return
          events.splice(0, given)
          forgotten += given
          given = 0
        })
    }
  })
})

/** Give it to the registry, so that both share it. */
export const layer: Layer.Layer<MemoryOutbox> = Layer.effect(MemoryOutbox, make)

export const port: Layer.Layer<WorkerOutbox, never, MemoryOutbox> = Layer.effect(
  WorkerOutbox,
  Effect.map(MemoryOutbox, ({ outbox }) => outbox)
)
