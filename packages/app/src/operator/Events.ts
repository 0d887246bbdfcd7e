/** What `muster events` does: prints what happens, until it is stopped. */
import { EventType } from "@muster/core/event/Event"
import { EventCursor } from "@muster/core/event/EventCursor"
import { Name } from "@muster/core/Identifier"
import { JobId } from "@muster/core/job/Job"
import { WorkerId } from "@muster/core/worker/Worker"
import * as EventStreams from "@muster/http-server/client/EventStreams"
import { Effect, Stream } from "effect"
import * as Output from "../terminal/Output.ts"
import * as Text from "../terminal/Text.ts"
import * as EventView from "./EventView.ts"
import * as Server from "./Server.ts"

export interface Flags {
  /** Each may hold several, with commas between. */
  readonly types: ReadonlyArray<string>
  readonly job: string | undefined
  readonly worker: string | undefined
  readonly machine: string | undefined
  readonly service: string | undefined
  readonly customerId: string | undefined
  readonly workflowId: string | undefined
  readonly after: string | undefined
  readonly json: boolean
}

const optional = <A>(schema: Parameters<typeof Server.decodeArgument<A>>[0], name: string, text: string | undefined) =>
  text === undefined ? Effect.succeed(undefined) : Server.decodeArgument(schema, name, text)

/** The filter that flags name. */
export const readFilter = Effect.fnUntraced(function* (flags: Omit<Flags, "after" | "json">) {
  const texts = flags.types.flatMap((text) => text.split(","))
  const said = {
    types:
      texts.length === 0
        ? undefined
        : yield* Effect.forEach(texts, (text) => Server.decodeArgument(EventType, "--type", text.trim())),
    job_id: yield* optional(JobId, "--job", flags.job),
    worker_id: yield* optional(WorkerId, "--worker", flags.worker),
    machine_id: yield* optional(Name, "--machine", flags.machine),
    service_required: yield* optional(Name, "--service", flags.service),
    customer_id: yield* optional(Name, "--customer-id", flags.customerId),
    workflow_id: yield* optional(Name, "--workflow-id", flags.workflowId)
  }
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined))
})

const lost = {
  trimmed: "some events are not kept any more; these are the ones after them",
  foreign:
    "the log is not the one of that event: Redis, or a server in memory, has begun a new one; these are all it keeps"
}

/** Runs until it is interrupted. */
export const follow = Effect.fn("Events.follow")(function* (flags: Flags) {
  const filter = yield* readFilter(flags)
  const after = yield* optional(EventCursor, "--after", flags.after)
  const client = yield* Server.connect
  // A server that is not there is said at once: only one that goes away is waited for.
  yield* Server.ask(client.system.health({ responseMode: "decoded-and-response" }))
  const print = Effect.fnUntraced(function* (told: EventStreams.Told) {
    if (flags.json) {
      const body = JSON.parse(told.data) as object
      return yield* Output.print(Text.jsonLine(told._tag === "Event" ? body : { type: "reset", ...body }))
    }
    if (told._tag === "Reset") return yield* Output.note(lost[told.why])
    yield* Output.print(EventView.line(told.event, yield* Output.canvas))
  })
  const onOutage = () => (flags.json ? Effect.void : Output.note("the server does not answer; trying on"))
  yield* EventStreams.follow(client, filter, { after, onOutage }).pipe(
    Stream.mapError(Server.tell),
    Stream.runForEach(print)
  )
})
