/**
 * Events from a server, for as long as one likes: whatever disconnects when, the reader comes back where it was, to
 * this server or to another one behind the same address. No event is told twice, and none is left out without a
 * `Reset` saying so.
 */
import { type Event, type EventFilter, EventType } from "@muster/core/event/Event"
import type { EventCursor } from "@muster/core/event/EventCursor"
import type { Job, JobId } from "@muster/core/job/Job"
import { Clock, Duration, Effect, Random, Schema, Stream } from "effect"
import * as Sse from "effect/encoding/Sse"
import { HttpClientError } from "effect/http"
import * as EventFrames from "../contract/EventFrames.ts"
import { type MusterClient, ServerUnreachable } from "./MusterClient.ts"

/** What the server sent, beside what it means: JSON. */
interface Sent {
  readonly data: string
}

/** An event; or that some were missed, so that state has to be read again. */
export type Told =
  | (Sent & { readonly _tag: "Event"; readonly event: Event })
  | (Sent & { readonly _tag: "Reset" } & EventFrames.Reset)

/** The same of one job, which is told first as it is, after each reset too, and last as it ended. */
export type ToldOfJob =
  | Told
  | (Sent & { readonly _tag: "Snapshot"; readonly job: Job })
  | (Sent & { readonly _tag: "End"; readonly job: Job })

export interface Options<E = unknown> {
  /** Give up, with the last error, when no server could be reached for so long. By default never. */
  readonly outage?: Duration.Duration | undefined
  /** Called at the first try of each outage that fails. */
  readonly onOutage?: ((error: E) => Effect.Effect<void>) | undefined
}

/** Three comments of the server are missing: the connection is dead, although nobody said so. */
const silence = Duration.millis(3 * EventFrames.pulseMillis)

/** A job is told whole, with what it was given and what came of it. */
const maxEventSize = 512 * 1024 * 1024

const firstPause = 100
const longestPause = 5_000

/** What passes: the server is away, or has a store that is. Everything else is for the caller to change. */
const passes = (error: unknown): boolean => {
  if (error instanceof ServerUnreachable) return true
  if (HttpClientError.isHttpClientError(error)) {
    return !("response" in error.reason) || error.reason.response.status >= 500
  }
  return typeof error === "object" && error !== null && "status" in error && Number(error.status) >= 500
}

const decode = {
  reset: Schema.decodeEffect(EventFrames.data.reset),
  state: Schema.decodeEffect(EventFrames.data.snapshot),
  event: Schema.decodeEffect(EventFrames.data.event)
}

const types = new Set<string>(EventType.literals)

const read = ({ data, event: name }: Sse.Event): Effect.Effect<ToldOfJob | undefined, Schema.SchemaError> => {
  switch (name) {
    case "reset":
      return Effect.map(decode.reset(data), (reset) => ({ _tag: "Reset", data, ...reset }))
    case "snapshot":
      return Effect.map(decode.state(data), ({ job }) => ({ _tag: "Snapshot", data, job }))
    case "end":
      return Effect.map(decode.state(data), ({ job }) => ({ _tag: "End", data, job }))
    default:
      return types.has(name)
        ? Effect.map(decode.event(data), (event) => ({ _tag: "Event", data, event }))
        : Effect.succeed(undefined)
  }
}

/** The frames of one connection; that it breaks is its end. */
const frames = <E>(bytes: Stream.Stream<Uint8Array, E>) =>
  Stream.suspend(() => {
    const parsed: Array<Sse.Event> = []
    const parser = Sse.makeParser((frame) => (frame._tag === "Event" ? parsed.push(frame) : undefined), {
      maxEventSize
    })
    return bytes.pipe(
      Stream.timeout(silence),
      Stream.decodeText,
      Stream.catchCause(() => Stream.empty),
      Stream.mapEffect((text) =>
        Effect.suspend(() => {
          const error = parser.feed(text)
          return error === undefined ? Effect.succeed(parsed.splice(0)) : Effect.fail(error)
        })
      ),
      Stream.flattenIterable
    )
  })

/** Opens connections, one after the other, each with the id of the last frame that came. */
const reconnecting = <E>(
  open: (last: EventCursor | undefined) => Effect.Effect<Stream.Stream<Uint8Array, unknown>, E>,
  after: EventCursor | undefined,
  { onOutage, outage = Duration.infinity }: Options<E>
) =>
  Stream.suspend(() => {
    let last = after
    let attempts = 0
    /** When the outage began: not before a try to connect fails. */
    let awaySince: number | undefined

    const connection = Effect.gen(function* () {
      for (;;) {
        if (attempts > 0) {
          const pause = Math.min(longestPause, firstPause * 2 ** (attempts - 1))
          yield* Effect.sleep(Duration.millis(pause * (0.5 + (yield* Random.next) / 2)))
        }
        attempts++
        const opened = yield* Effect.result(open(last))
        if (opened._tag === "Success") {
          awaySince = undefined
          return frames(opened.success)
        }
        const now = yield* Clock.currentTimeMillis
        const isNews = awaySince === undefined
        awaySince ??= now
        if (!passes(opened.failure) || now - awaySince >= Duration.toMillis(outage)) {
          return yield* Effect.fail(opened.failure)
        }
        if (isNews && onOutage !== undefined) yield* onOutage(opened.failure)
      }
    })

    return Stream.fromEffectRepeat(connection).pipe(
      Stream.flatMap((frames) => frames),
      Stream.mapEffect((frame) =>
        Effect.suspend(() => {
          // From here on a connection that breaks is a new trouble.
          attempts = 1
          if (frame.id !== undefined) last = frame.id as EventCursor
          return read(frame)
        })
      ),
      Stream.filter((told) => told !== undefined)
    )
  })

/** Everything a client does that asks for headers with what may be missing. */
const lastEventId = (last: EventCursor | undefined) => (last === undefined ? {} : { "last-event-id": last })

/**
 * What happens from now on, or after a cursor. Ends with an error only that coming back does not heal: a refusal such
 * as a wrong token, or an outage that is longer than the options allow.
 */
export const follow = (
  client: MusterClient,
  filter: EventFilter = {},
  options: Options & { readonly after?: EventCursor | undefined } = {}
) => {
  const { types: type, ...rest } = filter
  const query = type === undefined ? rest : { ...rest, type }
  return reconnecting(
    (last) => client.events.follow({ query, headers: lastEventId(last) }),
    options.after,
    options
  ).pipe(Stream.filter((told): told is Told => told._tag === "Event" || told._tag === "Reset"))
}

/** A job as it is, what happens to it, and how it ended; then the stream ends. For errors see {@link follow}. */
export const watch = (client: MusterClient, id: JobId, options: Options = {}) =>
  reconnecting((last) => client.events.ofJob({ params: { id }, headers: lastEventId(last) }), undefined, options).pipe(
    Stream.takeUntil((told) => told._tag === "End")
  )

/**
 * Waits until a job has ended, and answers with it. Ends when the job has, whatever disconnects in between; a job that
 * no store knows any more fails with `JobNotFound`.
 */
export const awaitJob = (client: MusterClient, id: JobId, options: Options = {}) =>
  watch(client, id, options).pipe(
    Stream.filter((told) => told._tag === "End"),
    Stream.runHead,
    // The stream ends with it.
    Effect.flatMap(Effect.fromOption),
    Effect.catchTag("NoSuchElementError", Effect.die),
    Effect.map(({ job }) => job)
  )
