/** A process that produces or works on a queue of BullMQ. */
import { Queue, Worker } from "bullmq"
import { now, serve } from "./Part.ts"
import { type QueuePart, Tally } from "./QueuePart.ts"

interface Data {
  readonly at: number
}

let connection = { host: "127.0.0.1", port: 0 }
let queue: Queue<Data> | undefined
let workers: ReadonlyArray<Worker<Data>> = []
let tally = new Tally()
let name = ""
let produced = 0

const current = (): Queue<Data> => {
  if (queue === undefined) throw new Error("no queue is open")
  return queue
}

const submission = (mixedPriorities: boolean) => {
  const n = produced++
  const opts = mixedPriorities ? { priority: 1 + ((n * 37) % 101) } : {}
  return { name: "bench", data: { at: now() }, opts }
}

const handlers: QueuePart = {
  open: async ({ queue: asked, url }) => {
    const { hostname, port } = new URL(url)
    connection = { host: hostname, port: Number(port) }
    name = asked
    produced = 0
    queue = new Queue<Data>(name, { connection })
    await queue.waitUntilReady()
  },
  // It knows no kinds of workers.
  introduce: async () => undefined,
  produce: async ({ batch, count, inFlight, mixedPriorities }) => {
    const to = current()
    const before = process.cpuUsage()
    const first = now()
    let left = count / batch
    const lane = async () => {
      while (left > 0) {
        left--
        if (batch === 1) {
          const { data, name: title, opts } = submission(mixedPriorities)
          await to.add(title, data, opts)
        } else {
          await to.addBulk(Array.from({ length: batch }, () => submission(mixedPriorities)))
        }
      }
    }
    await Promise.all(Array.from({ length: inFlight }, lane))
    const { system, user } = process.cpuUsage(before)
    return { first, last: now(), cpu: system + user }
  },
  consume: async ({ concurrency, workers: count }) => {
    const counting = new Tally()
    tally = counting
    workers = Array.from({ length: count }, () => {
      const worker = new Worker<Data>(
        name,
        async ({ data }) => {
          counting.started(data.at, now())
          return null
        },
        { connection, concurrency: concurrency / count }
      )
      worker.on("completed", () => counting.completed(now()))
      return worker
    })
    await Promise.all(workers.map((worker) => worker.waitUntilReady()))
  },
  finished: ({ count }) => tally.until(count),
  close: async () => {
    await Promise.all(workers.map((worker) => worker.close(true)))
    workers = []
    await queue?.close()
    queue = undefined
  }
}

serve(handlers)
