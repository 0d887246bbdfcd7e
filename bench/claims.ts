/**
 * Claims while 99 % of the waiting jobs are foreign to the claimer and ahead in rank, with more and more jobs waiting;
 * beside them a broker that scans the top of one list. All queues stand filled in one Redis and are measured in turns.
 */
import { Effect } from "effect"
import { startRedis } from "../tools/servers/Redis.ts"
import { Meter } from "./broker/Meter.ts"
import {
  durability,
  fenceOf,
  fill,
  inLanes,
  introduce,
  job,
  jobId,
  jobType,
  newNonce,
  type Opened,
  openQueue,
  workerId
} from "./broker/QueueUnderTest.ts"
import { ScanPeer } from "./broker/ScanPeer.ts"
import { type Figure, median, quantile, type Report } from "./Report.ts"

export const flags = { jobs: 1_000_000, rounds: 5, claims: 400, lanes: 64, rateclaims: 4_000 }
type Flags = typeof flags

/** Kinds of foreign jobs, and of the workers that are there for them. */
const pools = 99
const foreignKinds = 9
const windows = [100, 1_000]

const own = { job_types: [jobType], labels: { pool: "own" } }
const foreign = (n: number) => ({
  job_types: [jobType],
  labels: { pool: Array.from({ length: pools / foreignKinds }, (_, at) => `p${n + at * foreignKinds}`) }
})

/** A queue with so many jobs waiting. */
interface Filled {
  readonly jobs: number
  readonly opened: Opened
  readonly peer: ScanPeer
  readonly latencies: Array<number>
  readonly p50s: Array<number>
  readonly rates: Array<number>
  readonly inside: Array<number>
  readonly scans: ReadonlyArray<{ readonly window: number; readonly inside: Array<number>; found: boolean }>
  added: number
}

/** An own job; those of a higher number come later, behind everything foreign. */
const ownJob = (filled: { readonly jobs: number; added: number }) => {
  const id = `own-${filled.jobs}-${filled.added++}`
  return { id, request: job({ requirements: { labels: { pool: "own" } }, priority: 40 }) }
}

const fillQueue = async (url: string, meter: Meter, jobs: number): Promise<Filled> => {
  const name = `claims-${jobs}`
  const foreignJobs = Math.round(jobs * 0.99)
  const opened = await openQueue(url, name)
  const filled: Filled = {
    jobs,
    opened,
    peer: new ScanPeer(meter.redis, `scan-${jobs}`),
    latencies: [],
    p50s: [],
    rates: [],
    inside: [],
    scans: windows.map((window) => ({ window, inside: [], found: false })),
    added: 0
  }
  await introduce(opened, [own, ...Array.from({ length: foreignKinds }, (_, n) => foreign(n))])
  await fill(opened, foreignJobs, (n) => ({
    id: `foreign-${jobs}-${n}`,
    request: job({ requirements: { labels: { pool: `p${n % pools}` } } })
  }))
  await fill(opened, jobs - foreignJobs, () => ownJob(filled))
  await filled.peer.fill(jobs, foreignJobs, pools)
  return filled
}

/** One job for the own kind; fails when none is found, for there is one. */
const claimOne = ({ queue }: Opened, lane: number) =>
  Effect.gen(function* () {
    const nonce = newNonce()
    const worker_id = workerId(`own-${lane}`)
    const jobs = yield* queue.claim({ worker_id, capabilities: own, capacity: 10_000, limit: 1, nonce })
    if (jobs[0] === undefined) throw new Error("a waiting job was not found")
    return fenceOf(jobs[0], nonce)
  })

/** Claims one after another; a new job takes the place of each, so that the mix stays. */
const measureLatency = async (filled: Filled, claims: number): Promise<void> => {
  const { opened } = filled
  const { queue, run } = opened
  const took: Array<number> = []
  await run(
    Effect.gen(function* () {
      for (let n = 0; n < claims; n++) {
        const from = performance.now()
        const fence = yield* claimOne(opened, 0)
        took.push(performance.now() - from)
        yield* queue.complete(fence, null)
        const { id, request } = ownJob(filled)
        yield* queue.submit(jobId(id), request)
      }
    })
  )
  filled.latencies.push(...took)
  filled.p50s.push(median(took))
}

/** Claims of one job each, many at once, with as many own jobs added before, behind the foreign ones. */
const measureRate = async (meter: Meter, filled: Filled, { lanes, rateclaims }: Flags): Promise<void> => {
  const { opened } = filled
  await fill(opened, rateclaims, () => ownJob(filled))
  const fences: Array<Parameters<Opened["queue"]["complete"]>[0]> = []
  const claims = inLanes(rateclaims, lanes, (n) =>
    Effect.map(claimOne(opened, 1 + (n % lanes)), (fence) => void fences.push(fence))
  )
  const from = performance.now()
  const [, { inside }] = await meter.during(() => opened.run(claims))
  filled.rates.push((rateclaims / (performance.now() - from)) * 1_000)
  filled.inside.push(inside / rateclaims)
  await opened.run(inLanes(fences.length, lanes, (n) => opened.queue.complete(fences[n]!, null)))
}

const measureScans = async (meter: Meter, { peer, scans }: Filled): Promise<void> => {
  for (const scan of scans) {
    const looks = 5_000 / scan.window
    const [found, { inside }] = await meter.during(async () => {
      let any = false
      for (let n = 0; n < looks; n++) any = (await peer.claim(scan.window)) || any
      return any
    })
    scan.found ||= found
    scan.inside.push(inside / looks)
  }
}

const figuresOf = (filled: Filled): ReadonlyArray<Figure> => {
  const name = `${filled.jobs.toLocaleString("en")} waiting`
  return [
    { name: `${name}: claims, 64 at once`, value: median(filled.rates), unit: "per s", aim: { atLeast: 15_000 } },
    { name: `${name}: one claim, p50`, value: median(filled.p50s), unit: "ms" },
    { name: `${name}: one claim, p99`, value: quantile(filled.latencies, 0.99), unit: "ms" },
    { name: `${name}: in the function, a claim`, value: median(filled.inside), unit: "µs" },
    ...filled.scans.map(({ found, inside, window }): Figure => ({
      name: `${name}: scan of ${window.toLocaleString("en")}, ${found ? "found" : "found nothing"}`,
      value: median(inside),
      unit: "µs"
    }))
  ]
}

export const run = async (asked: Flags): Promise<Report> => {
  const { url } = await startRedis()
  const meter = new Meter(url)
  const sizes = [1_000, 10_000, 100_000, 1_000_000].map((size) => Math.max(100, (size * asked.jobs) / 1_000_000))
  const queues: Array<Filled> = []
  const filling = performance.now()
  for (const size of sizes) queues.push(await fillQueue(url, meter, size))
  const filledIn = (performance.now() - filling) / 1_000
  for (let round = 0; round <= asked.rounds; round++) {
    for (const filled of queues) {
      await meter.settled()
      await measureLatency(filled, asked.claims)
      await measureRate(meter, filled, asked)
      await measureScans(meter, filled)
      // The first round warms up.
      if (round === 0) for (const samples of [filled.latencies, filled.p50s, filled.rates]) samples.length = 0
    }
  }
  const [smallest, largest] = [queues[0]!, queues.at(-1)!]
  const growth = largest.p50s.map((p50, round) => p50 / smallest.p50s[round]!)
  for (const { opened } of queues) await opened.close()
  meter.close()
  return {
    bench: "claims",
    setting: {
      ...asked,
      redis: durability,
      foreign: `99 %, ahead in rank, of ${pools} classes with workers of ${foreignKinds} kinds`,
      "64 at once": `${asked.rateclaims} more own jobs are added for it, behind the foreign ones`,
      figures: "medians of the rounds, the sizes in turns"
    },
    figures: [
      {
        name: `p50 at ${largest.jobs.toLocaleString("en")} : at ${smallest.jobs.toLocaleString("en")}`,
        value: median(growth),
        unit: "ratio",
        aim: { atMost: 1.2 }
      },
      ...queues.flatMap(figuresOf),
      { name: "filling all queues", value: filledIn, unit: "s" }
    ]
  }
}
