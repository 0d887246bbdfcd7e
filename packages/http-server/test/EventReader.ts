/** A reader of an event stream over a socket of its own, which a test can hold back and cut off. */
import { request, type IncomingMessage } from "node:http"
import { Effect, Schedule, type Scope } from "effect"
import * as Sse from "effect/encoding/Sse"

export interface Frame {
  readonly id: string | undefined
  readonly name: string
  readonly data: any
}

export interface EventReader {
  readonly status: number
  readonly headers: IncomingMessage["headers"]
  /** All that came so far, comments included. */
  readonly text: () => string
  readonly frames: () => ReadonlyArray<Frame>
  readonly hasEnded: () => boolean
  /** Cuts the connection. */
  readonly cut: Effect.Effect<void>
  /** Waits until the frames are as they should be, and gives them. */
  readonly until: (holds: (frames: ReadonlyArray<Frame>) => boolean) => Effect.Effect<ReadonlyArray<Frame>>
  readonly ended: Effect.Effect<void>
}

/** Looks again until it holds: what crosses a socket takes real time. */
export const eventually = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOrElse({ duration: "60 seconds", orElse: () => Effect.die(new Error(`${what}: not within 60 s`)) }),
    Effect.asVoid
  )

/** A port of this host, or the path of a socket. */
type Address = number | string

const connect = (to: Address, path: string, headers: Record<string, string>) =>
  new Promise<{ readonly incoming: IncomingMessage; readonly cut: () => void }>((resolve, reject) => {
    const target = typeof to === "number" ? { host: "127.0.0.1", port: to } : { socketPath: to }
    const outgoing = request({ ...target, path, headers, agent: false }, (incoming) =>
      resolve({ incoming, cut: () => outgoing.destroy() })
    )
    outgoing.on("error", reject)
    outgoing.end()
  })

/** Opens a stream and reads it until the scope closes. */
export const open = (
  to: Address,
  path: string,
  headers: Record<string, string> = {}
): Effect.Effect<EventReader, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => connect(to, path, headers)),
    ({ cut }) => Effect.sync(cut)
  ).pipe(
    Effect.map(({ cut, incoming }) => {
      const frames: Array<Frame> = []
      let text = ""
      let ended = false
      const parser = Sse.makeParser((frame) => {
        if (frame._tag === "Event") frames.push({ id: frame.id, name: frame.event, data: JSON.parse(frame.data) })
      })
      incoming.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
        parser.feed(chunk)
      })
      incoming.on("error", () => (ended = true)).on("close", () => (ended = true))
      return {
        status: incoming.statusCode ?? 0,
        headers: incoming.headers,
        text: () => text,
        frames: () => frames,
        hasEnded: () => ended,
        cut: Effect.sync(cut),
        until: (holds) =>
          Effect.as(
            eventually(`frames (${path})`, () => holds(frames)),
            frames
          ),
        ended: eventually("the end of the stream", () => ended)
      }
    })
  )

export const named = (name: string) => (frames: ReadonlyArray<Frame>) => frames.some((frame) => frame.name === name)

export const names = (frames: ReadonlyArray<Frame>): ReadonlyArray<string> => frames.map(({ name }) => name)
