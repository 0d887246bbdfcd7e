/**
 * Submits and claims with more and more requirement classes and capability signatures: near-empty, where each job is
 * claimed before the next comes, and then deep, with jobs waiting in all classes. Once every class is matched by a few
 * signatures, as in a fleet of many kinds, and once by all of them. The queues stand side by side in one Redis and are
 * measured in turns.
 */
import type { Capabilities } from "@muster/core/worker/Worker"
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
import { type Figure, median, type Report } from "./Report.ts"

export const flags = { classes: 10_000, signatures: 300, deep: 10_000, steps: 100, rounds: 3, pairs: 100_000 }
type Flags = typeof flags

/** Signatures that match one class, when only a few do. */
const few = 5

interface Samples {
  readonly submits: Array<number>
  readonly claims: Array<number>
  /** The 99th percentile of the function calls, in µs, of each round. */
  readonly calls: Array<number>
}

interface Cell {
  readonly classes: number
  readonly signatures: number
  readonly matching: "few" | "all"
  readonly opened: Opened
  readonly nearEmpty: Samples
  readonly deep: Samples
  submitted: number
}

type Shape = Pick<Cell, "classes" | "signatures" | "matching">

const noSamples = (): Samples => ({ submits: [], claims: [], calls: [] })
const forgetSamples = (samples: Samples) => {
  for (const list of [samples.submits, samples.claims, samples.calls]) list.length = 0
}

/** Signatures and classes of one group match. */
const groupsOf = ({ matching, signatures }: Shape) => (matching === "all" ? 1 : Math.ceil(signatures / few))

const signature = (shape: Shape, n: number): Capabilities => ({
  job_types: [jobType],
  labels: { kind: `k${n}`, group: `g${n % groupsOf(shape)}` }
})

const requestOf = (shape: Shape, n: number) => {
  const group = `g${(n % shape.classes) % groupsOf(shape)}`
  return job({ requirements: { labels: { group }, exclude: { kind: `class-${n % shape.classes}` } } })
}

/** Even steps through all of them, in an order that is no order. */
const scattered = (n: number) => n * 7_919

/** One of the signatures that match the class of job n. */
const takerOf = (shape: Shape, n: number): number => {
  const groups = groupsOf(shape)
  const inGroup = ((n % shape.classes) % groups) + groups * (scattered(n) % few)
  return groups === 1 ? scattered(n) % shape.signatures : inGroup % shape.signatures
}

const nextJob = (cell: Cell, n: number) => {
  const id = `${cell.classes}-${cell.signatures}-${cell.submitted++}`
  return { id, request: requestOf(cell, n) }
}

/** Claims and completes all that waits. */
const drain = async ({ opened: { queue, run }, ...cell }: Cell, waiting: number): Promise<void> => {
  let left = waiting
  await run(
    Effect.gen(function* () {
      for (let n = 0; left > 0; n = (n + 1) % groupsOf(cell)) {
        const nonce = newNonce()
        const worker_id = workerId(`drain-${n}`)
        const capabilities = signature(cell, n)
        const jobs = yield* queue.claim({ worker_id, capabilities, capacity: 200, limit: 100, nonce })
        left -= jobs.length
        yield* inLanes(jobs.length, 100, (at) => queue.complete(fenceOf(jobs[at]!, nonce), null))
      }
    })
  )
}

/** A queue that has seen one job of each class, and is empty. */
const openCell = async (url: string, shape: Shape): Promise<Cell> => {
  const opened = await openQueue(url, `classes-${shape.classes}-${shape.signatures}-${shape.matching}`)
  const cell: Cell = { ...shape, opened, nearEmpty: noSamples(), deep: noSamples(), submitted: 0 }
  await introduce(
    opened,
    Array.from({ length: shape.signatures }, (_, n) => signature(shape, n))
  )
  await fill(opened, shape.classes, (n) => nextJob(cell, n))
  await drain(cell, shape.classes)
  return cell
}

/** Submits one job and claims one, one after the other; the queue stays as full as it is. */
const steps = (cell: Cell, count: number) =>
  Effect.gen(function* () {
    const { queue } = cell.opened
    const submits: Array<number> = []
    const claims: Array<number> = []
    for (let n = 0; n < count; n++) {
      const at = scattered(cell.submitted)
      const { id, request } = nextJob(cell, at)
      const taker = takerOf(cell, at)
      const nonce = newNonce()
      const capabilities = signature(cell, taker)
      const worker_id = workerId(`w-${taker}`)
      const from = performance.now()
      yield* queue.submit(jobId(id), request)
      const between = performance.now()
      const jobs = yield* queue.claim({ worker_id, capabilities, capacity: 10, limit: 1, nonce })
      const to = performance.now()
      submits.push(between - from)
      claims.push(to - between)
      if (jobs[0] === undefined) throw new Error("a waiting job was not found")
      yield* queue.complete(fenceOf(jobs[0], nonce), null)
    }
    return { submits, claims }
  })

const measure = async (meter: Meter, cell: Cell, samples: Samples, count: number): Promise<void> => {
  await meter.settled()
  await meter.reset()
  const { claims, submits } = await cell.opened.run(steps(cell, count))
  samples.submits.push(median(submits) * 1_000)
  samples.claims.push(median(claims) * 1_000)
  samples.calls.push(await meter.functionQuantile(99))
}

const rounds = async (
  meter: Meter,
  cells: ReadonlyArray<Cell>,
  of: (cell: Cell) => Samples,
  asked: Flags
): Promise<void> => {
  for (let round = 0; round <= asked.rounds; round++) {
    for (const cell of cells) {
      // The first round warms up, and lets every signature claim.
      await measure(meter, cell, of(cell), round === 0 ? Math.max(asked.steps, 2 * cell.signatures) : asked.steps)
      if (round === 0) forgetSamples(of(cell))
    }
  }
}

const title = ({ classes, matching, signatures }: Shape) =>
  `${classes.toLocaleString("en")} classes, ${signatures} signatures${signatures > few ? `, ${matching} match` : ""}`

/** How many times the smallest queue's figure the worst one is, compared round by round. */
const growth = (all: ReadonlyArray<ReadonlyArray<number>>): number => {
  const [smallest = [], ...others] = all
  return Math.max(1, ...others.map((values) => median(values.map((value, round) => value / smallest[round]!))))
}

const summary = (cells: ReadonlyArray<Cell>, where: string, of: (cell: Cell) => Samples): ReadonlyArray<Figure> => {
  const bySize = (matching: Cell["matching"]) =>
    cells.filter((cell) => cell.signatures <= few || cell.matching === matching)
  const flat = (["few", "all"] as const).flatMap((matching): ReadonlyArray<Figure> => {
    const those = bySize(matching).map(of)
    const aim = { atMost: 1.2 }
    const name = `${where}, ${matching} match`
    return [
      {
        name: `${name}: submit p50, worst : smallest`,
        value: growth(those.map(({ submits }) => submits)),
        unit: "ratio",
        aim
      },
      {
        name: `${name}: claim p50, worst : smallest`,
        value: growth(those.map(({ claims }) => claims)),
        unit: "ratio",
        aim
      }
    ]
  })
  const slowest = Math.max(...cells.map((cell) => median(of(cell).calls)))
  return [...flat, { name: `${where}: function p99, worst`, value: slowest, unit: "µs", aim: { atMost: 1_000 } }]
}

const details = (cells: ReadonlyArray<Cell>, where: string, of: (cell: Cell) => Samples): ReadonlyArray<Figure> =>
  cells.flatMap((cell): ReadonlyArray<Figure> => {
    const name = `${where}, ${title(cell)}`
    return [
      { name: `${name}: submit p50`, value: median(of(cell).submits), unit: "µs" },
      { name: `${name}: claim p50`, value: median(of(cell).claims), unit: "µs" },
      { name: `${name}: function p99`, value: median(of(cell).calls), unit: "µs" }
    ]
  })

export const run = async (asked: Flags): Promise<Report> => {
  const { url } = await startRedis()
  const meter = new Meter(url)
  const classes = [10, 100, 1_000, 10_000].filter((count) => count <= asked.classes)
  const signatures = [1, 10, 50, 300].filter((count) => count <= asked.signatures)
  const shapes = signatures.flatMap((count) =>
    (count <= few ? (["all"] as const) : (["few", "all"] as const)).flatMap((matching) =>
      classes
        .filter((of) => matching === "few" || of * count <= asked.pairs)
        .map((of): Shape => ({ classes: of, signatures: count, matching }))
    )
  )
  const opening = performance.now()
  const cells: Array<Cell> = []
  let next = 0
  const lane = async () => {
    while (next < shapes.length) {
      const at = next++
      cells[at] = await openCell(url, shapes[at]!)
    }
  }
  await Promise.all([lane(), lane(), lane()])
  const opened = (performance.now() - opening) / 1_000
  const nearEmpty = (cell: Cell) => cell.nearEmpty
  const deep = (cell: Cell) => cell.deep
  await rounds(meter, cells, nearEmpty, asked)
  for (const cell of cells) await fill(cell.opened, Math.max(cell.classes, asked.deep), (n) => nextJob(cell, n))
  await rounds(meter, cells, deep, asked)
  for (const cell of cells) await cell.opened.close()
  meter.close()
  return {
    bench: "classes",
    setting: {
      ...asked,
      redis: durability,
      "few match": `${few} signatures match a class`,
      "all match": `every signature matches every class, up to ${asked.pairs} pairs`,
      "function p99": "of all calls of submit, claim and complete, by the histogram of Redis",
      figures: "medians of the rounds, the queues in turns"
    },
    figures: [
      ...summary(cells, "near-empty", nearEmpty),
      ...summary(cells, "deep", deep),
      ...details(cells, "near-empty", nearEmpty),
      ...details(cells, "deep", deep),
      { name: "all classes and signatures of all queues settled", value: opened, unit: "s" }
    ]
  }
}
