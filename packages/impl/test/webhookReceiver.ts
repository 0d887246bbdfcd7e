/** Receivers of webhooks for tests: real servers on loopback that answer as they are told, and remember what came. */
import { assert } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { createHmac, timingSafeEqual } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

export interface Received {
  readonly path: string
  readonly headers: IncomingMessage["headers"]
  readonly body: string
  /** The body, when it is JSON. */
  readonly json: any
  /** When it was here whole, in ms of the receiver's own clock. */
  readonly at: number
}

/** What a receiver does with a request whose body it has read. */
export type Behaviour = (response: ServerResponse, nth: number) => void

export const ok: Behaviour = (response) => response.writeHead(204).end()
export const status =
  (code: number, headers: Record<string, string> = {}): Behaviour =>
  (response) =>
    response.writeHead(code, headers).end()
export const hangs: Behaviour = () => {}

/** A receiver that starts with this behaviour. */
export const receiver = (first: Behaviour) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const received: Array<Received> = []
      const state = { behaviour: first, received, url: "", close: () => {} }
      const server = createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => chunks.push(chunk))
        request.on("end", () => {
          const body = Buffer.concat(chunks).toString()
          const [path, at] = [request.url ?? "", performance.now()]
          received.push({ path, headers: request.headers, body, json: JSON.parse(body), at })
          state.behaviour(response, received.length)
        })
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
      state.close = () => {
        server.closeAllConnections()
        server.close()
      }
      return state
    }),
    ({ close }) => Effect.sync(close)
  )
export type Receiver = Effect.Success<ReturnType<typeof receiver>>

/** How docs/webhooks.md tells receivers to check a signature. */
export const isSigned = ({ body, headers }: Received, secret: string, now = Date.now()): boolean => {
  const [, t = "", v1 = ""] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers["muster-signature"])) ?? []
  const expected = createHmac("sha256", secret).update(`${t}.${body}`).digest("hex")
  return v1 !== "" && Math.abs(now / 1000 - Number(t)) < 300 && timingSafeEqual(Buffer.from(v1), Buffer.from(expected))
}

/** The events of all requests, in the order in which they came. */
export const eventsOf = ({ received }: Receiver): ReadonlyArray<any> => received.flatMap(({ json }) => json.events)

/** Looks again until it holds. */
export const until = (what: string, holds: () => boolean) =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOrElse({ duration: "60 seconds", orElse: () => Effect.die(new Error(`${what}: not within 60 s`)) })
  )

export const assertInOrder = (events: ReadonlyArray<any>, jobs: ReadonlyArray<string>) =>
  assert.deepStrictEqual(
    events.map(({ job_id }): string => job_id),
    [...jobs]
  )
