/**
 * An answer of server-sent events that stays open: it says something now and then, is never further ahead of its
 * reader than the connection, and ends with the server.
 */
import { type Cause, Clock, Duration, Effect, Queue, Stream } from "effect"
import { Headers, HttpServerResponse } from "effect/http"
import { retryMillis } from "./contract/EventFrames.ts"
import { type OpenRequest, OpenRequests } from "./OpenRequests.ts"
import * as ProblemAnswer from "./ProblemAnswer.ts"
import { StreamSettings } from "./StreamSettings.ts"

/** Characters that are handed to the connection at once: what a reader that never reads costs, about twice. */
const pieceLength = 16 * 1024

const comment = ":\n\n"

/** A frame as it is sent. `data` is one line: JSON is. */
export const frame = (id: string | undefined, name: string, data: string): string =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${name}\ndata: ${data}\n\n`

const headers = Headers.fromInput({
  "cache-control": "no-store",
  // Proxies that collect an answer before they pass it on would hold all of this back.
  "x-accel-buffering": "no"
})

/** Frames put together to pieces; a frame that is longer is a piece of its own. */
const pieces = function* (frames: ReadonlyArray<string>): Generator<string> {
  let piece = ""
  for (const frame of frames) {
    if (piece !== "" && piece.length + frame.length > pieceLength) {
      yield piece
      piece = ""
    }
    piece += frame
  }
  yield piece
}

const streaming = Effect.fnUntraced(function* <E>(frames: Stream.Stream<string, E>) {
  const { patience, pulse } = yield* StreamSettings
  const open = yield* OpenRequests
  const fiber = yield* Effect.fiber
  const scope = yield* Effect.scope
  const queue = yield* Queue.bounded<string, Cause.Done>(1)
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

  const feed = frames.pipe(
    Stream.runForEachArray(
      Effect.fnUntraced(function* (array) {
        for (const piece of pieces(array)) yield* Queue.offer(queue, piece)
      })
    ),
    Effect.catchCause((cause) => Effect.logDebug("an event stream ended early", cause)),
    Effect.andThen(Queue.end(queue)),
    Effect.forkIn(scope)
  )

  const body = Stream.fromPull(
    Effect.gen(function* () {
      yield* Queue.offer(queue, `retry: ${retryMillis}\n\n`)
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
        Effect.map((piece): [string] => [piece])
      )
    })
  )
  return HttpServerResponse.stream(Stream.encodeText(body), { contentType: "text/event-stream", headers })
})

/**
 * Answers with frames for as long as there are any. An error of `frames` ends the answer, for it has begun: the reader
 * comes back with the id of the last frame. A server that keeps as many requests open as it takes says so instead.
 */
export const answer = <E>(frames: Stream.Stream<string, E>) =>
  Effect.catchTag(streaming(frames), "TooManyStreams", ProblemAnswer.answer)
