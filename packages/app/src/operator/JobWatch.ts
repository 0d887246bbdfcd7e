/** What `muster job watch` and `muster job submit --wait` do: follow a job to its end, and show how far it is. */
import type { Event } from "@muster/core/event/Event"
import { type Job, JobId, JobStatus } from "@muster/core/job/Job"
import * as EventStreams from "@muster/http-server/client/EventStreams"
import type { MusterClient } from "@muster/http-server/client/MusterClient"
import { DateTime, Duration, Effect, Fiber, Schedule, Schema, Stream } from "effect"
import * as Output from "../terminal/Output.ts"
import * as Text from "../terminal/Text.ts"
import * as EventView from "./EventView.ts"
import * as JobView from "./JobView.ts"
import * as Server from "./Server.ts"

/** A job that was waited for has ended otherwise than hoped. */
export class JobNotCompleted extends Schema.TaggedError<JobNotCompleted>(
  "@muster/app/operator/JobWatch/JobNotCompleted"
)("JobNotCompleted", { id: JobId, status: JobStatus, reason: Schema.NullOr(Schema.String) }) {
  override get message() {
    const why = this.reason === null ? "" : `: ${this.reason}`
    return `job ${this.id} ${this.status === "failed" ? "failed" : `is ${this.status}`}${why}`
  }
}

/** The job goes on, and nobody wanted to wait longer. */
export class JobNotEnded extends Schema.TaggedError<JobNotEnded>("@muster/app/operator/JobWatch/JobNotEnded")(
  "JobNotEnded",
  { id: JobId, status: Schema.NullOr(JobStatus), waited_ms: Schema.Int }
) {
  override get message() {
    const waited = Duration.format(Duration.millis(this.waited_ms))
    const waits = this.status === "pending" || this.status === "scheduled"
    const now = `${this.status === null ? "" : ` (${this.status})`}; it goes on`
    return `job ${this.id} has not ended within ${waited}${now}${waits ? `; why it waits: muster job explain ${this.id}` : ""}`
  }
}

/** So long a server may be away, or its store, while somebody waits. */
const outage = Duration.minutes(5)

/** A job after an event; what the event does not say of it stays. */
const after = (job: Job, { attempt = job.attempt, progress, status = job.status, worker_id }: Event): Job => {
  const isHeld = status === "assigned" || status === "processing"
  return {
    ...job,
    status,
    attempt,
    worker_id: isHeld ? (worker_id ?? job.worker_id) : null,
    progress: isHeld ? (progress ?? (attempt === job.attempt ? job.progress : null)) : null
  }
}

/** Where nobody watches, one line for each tenth of the way is enough. */
const tenth = ({ progress }: Event): number => Math.floor((progress?.percent ?? 0) / 10)

interface Waiting {
  /** `lines`: everything the server says, as JSON; `none`: nothing. */
  readonly show: "people" | "lines" | "none"
  readonly within: Duration.Duration | undefined
}

/** Waits for the end of a job; answers with the job, and with what the server wrote. */
export const untilEnd = Effect.fnUntraced(function* (client: MusterClient, id: JobId, { show, within }: Waiting) {
  const hasLine = show === "people" && (yield* Output.somebodyWatches)
  let job: Job | undefined
  let shown = 0

  const draw = Effect.flatMap(DateTime.now, (now) => {
    const current = job
    return current === undefined
      ? Effect.void
      : Output.statusLine((canvas) => JobView.progressLine(current, now, canvas))
  })

  const printLine = (event: Event) =>
    Effect.suspend(() => {
      if (event.type !== "job.progress") shown = 0
      else if (tenth(event) <= shown) return Effect.void
      else shown = tenth(event)
      return Effect.flatMap(Output.notesCanvas, (canvas) => Output.note(EventView.line(event, canvas)))
    })

  const take = Effect.fnUntraced(function* (told: EventStreams.ToldOfJob) {
    if (told._tag === "Event") job = job === undefined ? undefined : after(job, told.event)
    if (told._tag === "Snapshot" || told._tag === "End") job = told.job
    if (show === "lines") return yield* Output.print(Text.jsonLine(wireLine(told)))
    if (hasLine) return yield* draw
    if (show !== "people") return
    if (told._tag === "Event") return yield* printLine(told.event)
    if (told._tag === "Snapshot") yield* Output.note(`job ${id} is ${told.job.status}`)
  })

  const onOutage = () =>
    show === "people"
      ? Effect.andThen(
          hasLine ? Output.statusLine(() => "") : Effect.void,
          Output.note("the server does not answer; trying on")
        )
      : Effect.void

  const followed = EventStreams.watch(client, id, { outage, onOutage }).pipe(
    Stream.mapError(Server.tell),
    Stream.tap(take),
    Stream.runLast,
    Effect.flatMap(Effect.fromOption),
    // The stream ends with the end of the job.
    Effect.catchTag("NoSuchElementError", Effect.die)
  )
  const inTime =
    within === undefined
      ? followed
      : Effect.timeoutOrElse(followed, {
          duration: within,
          orElse: () =>
            Effect.fail(new JobNotEnded({ id, status: job?.status ?? null, waited_ms: Duration.toMillis(within) }))
        })
  const redraw = hasLine ? yield* Effect.forkChild(Effect.repeat(draw, Schedule.spaced("1 second"))) : undefined
  const last = yield* inTime.pipe(
    Effect.ensuring(redraw === undefined ? Effect.void : Fiber.interrupt(redraw)),
    Effect.ensuring(hasLine ? Output.statusLine(() => "") : Effect.void),
    Effect.onInterrupt(() =>
      Output.hint(`job ${id} goes on; muster job watch ${id} watches it, muster job cancel ${id} ends it`)
    )
  )
  if (last._tag !== "End") return yield* Effect.die(new Error("a job's stream ended before the job"))
  return { job: last.job, body: JSON.parse(last.data) as unknown }
})

/** What the server said, as one object: an event as it is, everything else under the name of its frame. */
const wireLine = ({ _tag, data }: EventStreams.ToldOfJob): unknown => {
  const body = JSON.parse(data) as object
  return _tag === "Event" ? body : { type: _tag.toLowerCase(), ...body }
}

/** Fails unless the job completed. */
export const requireCompleted = ({ error, id, status }: Job): Effect.Effect<void, JobNotCompleted> =>
  status === "completed"
    ? Effect.void
    : Effect.fail(
        new JobNotCompleted({ id, status, reason: error === null ? null : `${error.kind}: ${error.message}` })
      )

/** `muster job watch` */
export const watch = Effect.fn("JobWatch.watch")(function* (flags: {
  readonly id: string
  readonly timeout: number | undefined
  readonly json: boolean
}) {
  const id = yield* Server.decodeArgument(JobId, "ID", flags.id)
  const client = yield* Server.connect
  // A server that is not there is said at once: only one that goes away is waited for.
  yield* Server.ask(client.system.health({ responseMode: "decoded-and-response" }))
  const within = flags.timeout === undefined ? undefined : Duration.millis(flags.timeout)
  const { job } = yield* untilEnd(client, id, { show: flags.json ? "lines" : "people", within })
  if (!flags.json) yield* Output.print(JobView.block(job, yield* DateTime.now, yield* Output.canvas))
  yield* requireCompleted(job)
})
