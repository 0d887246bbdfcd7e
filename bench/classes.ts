/**
 * Claims and submits with more and more requirement classes and capability signatures, where every signature matches
 * every class: once with jobs waiting in all classes, and once near-empty, where each job is claimed before the next
 * comes. All queues stand filled in one Redis and are measured in turns.
 */
import type { JobId } from "@muster/core/job/Job"
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
  kind,
  newNonce,
  type Opened,
  openQueue,
  workerId
} from "./broker/QueueUnderTest.ts"
import { type Figure, median, type Report } from "./Report.ts"

export const flags = { classes: 10_000, signatures: 300, deep: 20_000, steps: 400, rounds: 3 }
type Flags = typeof flags

interface Cell {
  readonly classes: number
  readonly signatures: number
  readonly deep: boolean
  readonly opened: Opened
  readonly claims: Array<number>
  readonly submits: Array<number>
  /** The 99th percentile of the function calls, in µs, of each round. */
  readonly calls: Array<number>
  added: number
}

/** A class of its own for each n, and a condition that every worker meets. */
const classJob = (n: number) => job({ requirements: { exclude: { kind: `class-${n}` } } })

/** Even steps through all of them, in an order that is no order. */
const pick = (n: number, of: number): number => (n * 7_919) % of

const openCell = async (url: string, classes: number, signatures: number, deep: boolean, jobs: number) => {
  const name = `classes-${classes}-${signatures}-${deep ? "deep" : "near-empty"}`
  const opened = await openQueue(url, name)
  const kinds = Array.from({ length: signatures }, (_, n) => kind(n))
  await introduce(opened, kinds)
  const cell: Cell = { classes, signatures, deep, opened, claims: [], submits: [], calls: [], added: 0 }
  await fill(opened, Math.max(classes, deep ? jobs : 0), (n) => ({
    id: `${name}-${cell.added++}`,
    request: classJob(n % classes)
  }))
  if (!deep) await drain(cell)
  return cell
}

/** Claims and completes all that waits. */
const drain = async ({ classes, opened: { queue, run } }: Cell): Promise<void> => {
  let left = classes
  await run(
    Effect.gen(function* () {
      while (left > 0) {
        const nonce = newNonce()
        const worker_id = workerId("drain")
        const jobs = yield* queue.claim({ worker_id, capabilities: kind(0), capacity: 200, limit: 100, nonce })
        left -= jobs.length
        yield* inLanes(jobs.length, 100, (n) => queue.complete(fenceOf(jobs[n]!, nonce), null))
      }
    })
  )
}

/** Submits one job and claims one, one after the other; the queue stays as full as it is. */
const steps = (cell: Cell, count: number) =>
  Effect.gen(function* () {
    const { classes, opened, signatures } = cell
    const { queue } = opened
    const submits: Array<number> = []
    const claims: Array<number> = []
    for (let n = 0; n < count; n++) {
      const at = cell.added++
      const id: JobId = jobId(`step-${classes}-${signatures}-${at}`)
      const request = classJob(pick(at, classes))
      const signature = pick(at, signatures)
      const nonce = newNonce()
      const from = performance.now()
      yield* queue.submit(id, request)
      const between = performance.now()
      const worker_id = workerId(`w-${signature}`)
      const jobs = yield* queue.claim({ worker_id, capabilities: kind(signature), capacity: 10, limit: 1, nonce })
      const to = performance.now()
      submits.push(between - from)
      claims.push(to - between)
      if (jobs[0] === undefined) throw new Error("a waiting job was not found")
      yield* queue.complete(fenceOf(jobs[0], nonce), null)
    }
    return { submits, claims }
  })

const measure = async (meter: Meter, cell: Cell, count: number): Promise<void> => {
  await meter.settled()
  await meter.reset()
  const { claims, submits } = await cell.opened.run(steps(cell, count))
  cell.submits.push(median(submits))
  cell.claims.push(median(claims))
  cell.calls.push(await meter.functionQuantile(99))
}

const title = ({ classes, deep, signatures }: Cell) =>
  `${deep ? "deep" : "near-empty"}, ${classes.toLocaleString("en")} classes, ${signatures} signatures`

const figuresOf = (cell: Cell): ReadonlyArray<Figure> => [
  { name: `${title(cell)}: submit p50`, value: median(cell.submits) * 1_000, unit: "µs" },
  { name: `${title(cell)}: claim p50`, value: median(cell.claims) * 1_000, unit: "µs" },
  { name: `${title(cell)}: function p99`, value: median(cell.calls), unit: "µs" }
]

/** How many times the smallest queue's figure the worst one is, round by round. */
const growth = (cells: ReadonlyArray<Cell>, of: (cell: Cell) => ReadonlyArray<number>): number => {
  const [smallest, ...others] = cells
  const ratios = others.map((cell) => median(of(cell).map((value, round) => value / of(smallest!)[round]!)))
  return Math.max(1, ...ratios)
}

export const run = async (asked: Flags): Promise<Report> => {
  const { url } = await startRedis()
  const meter = new Meter(url)
  const classes = [10, 100, 1_000, 10_000].filter((count) => count <= asked.classes)
  const signatures = [1, 10, 50, 300].filter((count) => count <= asked.signatures)
  const cells: Array<Cell> = []
  for (const deep of [true, false]) {
    for (const m of signatures) {
      for (const n of classes) cells.push(await openCell(url, n, m, deep, asked.deep))
    }
  }
  for (let round = 0; round <= asked.rounds; round++) {
    for (const cell of cells) {
      await measure(meter, cell, asked.steps)
      // The first round warms up.
      if (round === 0) for (const samples of [cell.submits, cell.claims, cell.calls]) samples.length = 0
    }
  }
  for (const { opened } of cells) await opened.close()
  meter.close()
  const flat = [true, false].flatMap((deep): ReadonlyArray<Figure> => {
    const those = cells.filter((cell) => cell.deep === deep)
    const where = deep ? "deep" : "near-empty"
    const aim = { atMost: 1.2 }
    return [
      {
        name: `${where}: submit p50, worst : smallest`,
        value: growth(those, (one) => one.submits),
        unit: "ratio",
        aim
      },
      { name: `${where}: claim p50, worst : smallest`, value: growth(those, (one) => one.claims), unit: "ratio", aim }
    ]
  })
  const slowest = Math.max(...cells.map(({ calls }) => median(calls)))
  return {
    bench: "classes",
    setting: {
      ...asked,
      redis: durability,
      matching: "every signature matches every class",
      "function p99": "of all calls of submit, claim and complete, by the histogram of Redis",
      figures: "medians of the rounds, the queues in turns"
    },
    figures: [
      ...flat,
      { name: "function p99, worst", value: slowest, unit: "µs", aim: { atMost: 1_000 } },
      ...cells.flatMap(figuresOf)
    ]
  }
}
