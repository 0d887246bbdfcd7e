/** A process that produces or works on Muster's queue. */
import { Effect } from "effect"
import { claimLoop } from "./ClaimLoop.ts"
import { now, serve } from "./Part.ts"
import { type QueuePart, Tally } from "./QueuePart.ts"
import * as Under from "./QueueUnderTest.ts"

let opened: Under.Opened | undefined
let tally = new Tally()
let held: ReadonlyArray<Parameters<Under.Opened["queue"]["complete"]>[0]> = []

const current = (): Under.Opened => {
  if (opened === undefined) throw new Error("no queue is open")
  return opened
}

let name = ""
let produced = 0

const submission = (mixedPriorities: boolean) => {
  const n = produced++
  const priority = mixedPriorities ? (n * 37) % 101 : 50
  return { id: Under.jobId(`${name}-${n}`), request: Under.job({ priority, payload: { at: now() } }) }
}

/** The functions one by one, to see what each of them costs. */
const alone = {
  claimAll: async ({ count }: { readonly count: number }) => {
    const { queue, run } = current()
    const fences: Array<(typeof held)[number]> = []
    await run(
      Effect.gen(function* () {
        while (fences.length < count) {
          const nonce = Under.newNonce()
          const worker_id = Under.workerId("bench-0")
          const request = { worker_id, capabilities: Under.kind(0), capacity: count + 64, limit: 64, nonce }
          const jobs = yield* queue.claim(request)
          if (jobs.length === 0) throw new Error(`only ${fences.length} of ${count} jobs could be claimed`)
          fences.push(...jobs.map((job) => Under.fenceOf(job, nonce)))
        }
      })
    )
    held = fences
  },
  startAll: async ({ inFlight }: { readonly inFlight: number }) => {
    const { queue, run } = current()
    await run(Under.inLanes(held.length, inFlight, (n) => queue.start(held[n]!)))
  },
  completeAll: async ({ inFlight }: { readonly inFlight: number }) => {
    const { queue, run } = current()
    await run(Under.inLanes(held.length, inFlight, (n) => queue.complete(held[n]!, null)))
    held = []
  }
}
export type AlonePart = typeof alone & QueuePart

const handlers: AlonePart = {
  open: async ({ queue, url }) => {
    opened = await Under.openQueue(url, queue)
    name = queue
    produced = 0
  },
  introduce: ({ signatures }) =>
    Under.introduce(
      current(),
      Array.from({ length: signatures }, (_, n) => Under.kind(n))
    ),
  produce: async ({ batch, count, inFlight, mixedPriorities }) => {
    const { queue, run } = current()
    const before = process.cpuUsage()
    const first = now()
    await run(
      batch === 1
        ? Under.inLanes(count, inFlight, () => {
            const { id, request } = submission(mixedPriorities)
            return queue.submit(id, request)
          })
        : Under.inLanes(count / batch, inFlight, () =>
            queue.submitMany(Array.from({ length: batch }, () => submission(mixedPriorities)))
          )
    )
    const { system, user } = process.cpuUsage(before)
    return { first, last: now(), cpu: system + user }
  },
  consume: async ({ concurrency, signatures, workers }) => {
    const queue = current()
    const counting = new Tally()
    tally = counting
    const each = Math.floor(concurrency / workers)
    const started = Array.from(
      { length: workers },
      (_, n) =>
        new Promise<void>((resolve) => {
          const loop = claimLoop(queue, {
            id: `bench-${n}`,
            capabilities: Under.kind(n % signatures),
            capacity: each + (n < concurrency % workers ? 1 : 0),
            onStart: ({ payload }) => {
              resolve()
              counting.started((payload as { readonly at: number }).at, now())
            },
            onCompleted: () => counting.completed(now()),
            onIdle: resolve
          })
          queue.keep(Effect.tapCause(loop, (cause) => Effect.logError("a worker ended", cause)))
        })
    )
    await Promise.all(started)
  },
  finished: ({ count }) => tally.until(count),
  close: async () => {
    const closing = opened
    opened = undefined
    await closing?.close()
  },
  ...alone
}

serve(handlers)
