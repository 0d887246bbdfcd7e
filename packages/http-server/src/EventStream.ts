/**
 * An answer of server-sent events that stays open: it says something now and then, is never further ahead of its
 * reader than the connection, and ends with the server.
 */
import { Array, type Cause, Clock, Duration, Effect, Queue, Stream } from "effect"
import { Headers, HttpServerResponse } from "effect/http"
import { retryMillis } from "./contract/EventFrames.ts"
import { type OpenRequest, OpenRequests } from "./OpenRequests.ts"
import * as ProblemAnswer from "./ProblemAnswer.ts"
import { StreamSettings } from "./StreamSettings.ts"

/** Characters that are handed to the connection at once: what a reader that never reads costs, about twice. */
const pieceLength = 16 * 1024

const encoder = new TextEncoder()

const opening = encoder.encode(`retry: ${retryMillis}\n\n`)
const comment = encoder.encode(":\n\n")

/** A frame as it is sent. `data` is one line: JSON is. */
export const frame = (id: string | undefined, name: string, data: string): string =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${name}\ndata: ${data}\n\n`

const headers = Headers.fromInput({
  "cache-control": "no-store",
  // Proxies that collect an answer before they pass it on would hold all of this back.
  "x-accel-buffering": "no"
})

/** Frames put together to what is handed to a connection at once; one that is longer is a piece of its own. */
export const pieces = (frames: Array.NonEmptyReadonlyArray<string>): Array.NonEmptyReadonlyArray<Uint8Array> => {
  const [first, ...others] = frames
  const texts: Array.NonEmptyArray<string> = [first]
  for (const frame of others) {
    const last = texts.length - 1
    const text = texts[last] ?? ""
    if (text.length + frame.length > pieceLength) texts.push(frame)
    else texts[last] = text + frame
  }
  return Array.map(texts, (text) => encoder.encode(text))
}

const streaming = Effect.fnUntraced(function* <E>(pieces: Stream.Stream<Uint8Array, E>) {
  const { patience, pulse } = yield* StreamSettings
  const open = yield* OpenRequests
  const fiber = yield* Effect.fiber
  const scope = yield* Effect.scope
  const queue = yield* Queue.bounded<Uint8Array, Cause.Done>(1)
  const [pulseMillis, patienceMillis] = [Duration.toMillis(pulse), Duration.toMillis(patience)]
  let isReading = false
  let since = yield* Clock.currentTimeMillis

  const request: OpenRequest = {
    look: (now) => {
      // A reader that waits has an empty queue.
      if (isReading && now - since >= pulseMillis) Queue.offerUnsafe(queue, comment)
      if (!isReading && now - since >= patienceMillis) fiber.interruptUnsafe()
    },
    end: () => Queue.endUnsafe(queue)
  }
  yield* open.admit(request)

  const feed = pieces.pipe(
    Stream.runForEach((piece) => Queue.offer(queue, piece)),
    Effect.catchCause((cause) => Effect.logDebug("an event stream ended early", cause)),
    Effect.andThen(Queue.end(queue)),
    Effect.forkIn(scope)
  )

  const body = Stream.fromPull(
    Effect.gen(function* () {
      yield* Queue.offer(queue, opening)
      yield* feed
      return Effect.suspend(() => {
        isReading = true
        return Queue.take(queue)
      }).pipe(
        Effect.tap(
          Effect.map(Clock.currentTimeMillis, (now) => {
            isReading = false
            since = now
          })
        ),
        Effect.map((piece): [Uint8Array] => [piece])
      )
    })
  )
  return HttpServerResponse.stream(body, { contentType: "text/event-stream", headers })
})

/**
 * Answers with pieces for as long as there are any. An error of theirs ends the answer, for it has begun: the reader
 * comes back with the id of the last frame. A server that keeps as many requests open as it takes says so instead.
 */
export const answer = <E>(pieces: Stream.Stream<Uint8Array, E>) =>
  Effect.catchTag(streaming(pieces), "TooManyStreams", ProblemAnswer.answer)
