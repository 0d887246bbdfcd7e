/**
 * A load generator that costs little itself: one raw socket per connection, one request at a time on each, run in a
 * thread of its own. Answers are judged by their status line and read to their end by their length.
 */
import { connect } from "node:net"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"

export interface Load {
  readonly port: number
  readonly connections: number
  readonly seconds: number
  /** Requests are `POST {prefix}{n}{suffix}` with n from 0 to `targets` − 1, in turn. */
  readonly prefix: string
  readonly suffix: string
  readonly targets: number
  /** Stops after this many requests, if sooner. */
  readonly requests?: number
  /** The body for target n; `{n}` in it is replaced. Sent as JSON. */
  readonly body?: string
}

export interface Measured {
  readonly answered: number
  readonly refused: number
  readonly seconds: number
  readonly latencies: ReadonlyArray<number>
}

const drive = (load: Load): Promise<Measured> => {
  const latencies: Array<number> = []
  let sent = 0
  let refused = 0
  const begun = performance.now()
  const deadline = begun + load.seconds * 1_000
  const done = () => performance.now() >= deadline || (load.requests !== undefined && sent >= load.requests)

  const request = (n: number): string => {
    const body = load.body?.replaceAll("{n}", String(n)) ?? ""
    const type = body === "" ? "" : "content-type: application/json\r\n"
    return `POST ${load.prefix}${n}${load.suffix} HTTP/1.1\r\nhost: 127.0.0.1:${load.port}\r\n${type}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  }

  const connection = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect(load.port, "127.0.0.1")
      socket.setNoDelay(true)
      let answer = ""
      let sentAt = 0
      const next = () => {
        if (done()) {
          socket.destroy()
          resolve()
          return
        }
        sentAt = performance.now()
        socket.write(request(sent++ % load.targets))
      }
      socket.on("connect", next)
      socket.on("error", reject)
      socket.on("close", () => resolve())
      socket.on("data", (chunk) => {
        answer += chunk.toString("latin1")
        const head = answer.indexOf("\r\n\r\n")
        if (head < 0) return
        const length = Number(/content-length: (\d+)/i.exec(answer)?.[1] ?? 0)
        if (answer.length < head + 4 + length) return
        latencies.push(performance.now() - sentAt)
        if (answer[9] !== "2") refused++
        answer = ""
        next()
      })
    })

  return Promise.all(Array.from({ length: load.connections }, connection)).then(() => ({
    answered: latencies.length,
    refused,
    seconds: (performance.now() - begun) / 1_000,
    latencies
  }))
}

/** Runs a load in a thread and gives what was measured. */
export const generate = (load: Load): Promise<Measured> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: load })
    worker.once("message", resolve)
    worker.once("error", reject)
  })

if (!isMainThread) parentPort?.postMessage(await drive(workerData as Load))
