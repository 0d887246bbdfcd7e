/**
 * No-op jobs from submit through claim to complete, beside BullMQ doing the same without matching: one process that
 * submits and one that works on each side, in turns on the same Redis.
 */
import { join } from "node:path"
import { startRedis } from "../tools/servers/Redis.ts"
import { Meter, type Usage } from "./broker/Meter.ts"
import type { AlonePart } from "./broker/musterPart.ts"
import { type Part, startPart } from "./broker/Part.ts"
import type { Consume, Consumed, Produce, QueuePart, Span } from "./broker/QueuePart.ts"
import { durability } from "./broker/QueueUnderTest.ts"
import { type Figure, median, type Report } from "./Report.ts"

export const flags = { jobs: 20_000, rounds: 3, concurrency: 64 }
type Flags = typeof flags

interface Variant {
  readonly name: string
  /** The variant of BullMQ to compare with. */
  readonly against: string
  readonly produce?: Partial<Produce>
  readonly consume?: Partial<Consume>
  /** All jobs are submitted before the first is claimed. */
  readonly backlog?: boolean
  /** Kinds of workers that the queue knows and that take no job. */
  readonly idle?: number
  readonly aim?: number
}

const muster: ReadonlyArray<Variant> = [
  { name: "singles", against: "singles", aim: 2 },
  { name: "singles, 64 workers of capacity 1", against: "singles", consume: { workers: 64 }, aim: 2 },
  { name: "singles, 50 signatures", against: "singles", consume: { workers: 50, signatures: 50 }, aim: 2 },
  { name: "singles, backlog first", against: "backlog first", backlog: true, aim: 2 },
  {
    name: "singles, backlog first, 50 signatures",
    against: "backlog first",
    consume: { workers: 50, signatures: 50 },
    backlog: true,
    aim: 2
  },
  { name: "singles, one of two signatures idle", against: "backlog first", backlog: true, idle: 2, aim: 2 },
  { name: "singles, mixed priorities", against: "mixed priorities", produce: { mixedPriorities: true }, aim: 2 },
  { name: "batches", against: "batches", produce: { batch: 50, inFlight: 4 }, aim: 3 },
  {
    name: "batches, 50 signatures",
    against: "batches",
    produce: { batch: 50, inFlight: 4 },
    consume: { workers: 50, signatures: 50 },
    aim: 3
  }
]

const bullmq: ReadonlyArray<Omit<Variant, "against">> = [
  { name: "singles" },
  { name: "backlog first", backlog: true },
  { name: "mixed priorities", produce: { mixedPriorities: true } },
  { name: "batches", produce: { batch: 50, inFlight: 4 } }
]

interface Side<Answers extends QueuePart> {
  readonly producer: Part<Answers>
  readonly worker: Part<Answers>
}

const startSide = <Answers extends QueuePart>(file: string): Side<Answers> => {
  const path = join(import.meta.dirname, "broker", file)
  return { producer: startPart<Answers>(path), worker: startPart<Answers>(path) }
}

const stopSide = ({ producer, worker }: Side<never>) => Promise.all([producer.stop(), worker.stop()])

interface Measured {
  readonly rate: number
  readonly redis: Usage
  readonly produced: Span
  readonly consumed: Consumed
}

let queues = 0

/** A fresh queue for each measurement, and an empty Redis after it. */
const onFreshQueue = async <Answers extends QueuePart, A>(
  meter: Meter,
  url: string,
  { producer, worker }: Side<Answers>,
  work: () => Promise<A>
): Promise<A> => {
  const queue = `bench-${++queues}`
  // Typed by the questions that every side answers.
  const parts: ReadonlyArray<Part<QueuePart>> = [producer as never, worker as never]
  await meter.settled()
  for (const part of parts) await part.ask("open", { url, queue })
  try {
    return await work()
  } finally {
    for (const part of parts) await part.ask("close", null)
    await meter.redis.flushall()
  }
}

const measure = async (
  meter: Meter,
  url: string,
  side: Side<QueuePart>,
  { backlog = false, consume = {}, idle = 0, produce = {} }: Omit<Variant, "against">,
  { concurrency, jobs }: Flags
): Promise<Measured> =>
  onFreshQueue(meter, url, side, async () => {
    const { producer, worker } = side
    const submits = { count: jobs, inFlight: concurrency, batch: 1, mixedPriorities: false, ...produce }
    const workers = { concurrency, workers: 1, signatures: 1, ...consume }
    await worker.ask("introduce", { signatures: Math.max(idle, workers.signatures) })
    const [{ consumed, produced }, redis] = await meter.during(async () => {
      if (!backlog) await worker.ask("consume", workers)
      const all = await producer.ask("produce", submits)
      if (backlog) await worker.ask("consume", workers)
      return { produced: all, consumed: await worker.ask("finished", { count: jobs }) }
    })
    const took = backlog
      ? produced.last - produced.first + (consumed.last - consumed.first)
      : consumed.last - produced.first
    return { rate: (jobs / took) * 1_000, redis, produced, consumed }
  })

/** What each function costs Redis for one job when it runs alone, calls being joined as they are in use. */
const measureAlone = (meter: Meter, url: string, side: Side<AlonePart>, { concurrency, jobs }: Flags) =>
  onFreshQueue(meter, url, side, async () => {
    const { producer, worker } = side
    await worker.ask("introduce", { signatures: 1 })
    const inFlight = concurrency
    const steps = {
      submit: () => producer.ask("produce", { count: jobs, inFlight, batch: 1, mixedPriorities: false }),
      claim: () => worker.ask("claimAll", { count: jobs }),
      start: () => worker.ask("startAll", { inFlight }),
      complete: () => worker.ask("completeAll", { inFlight })
    }
    const figures: Array<Figure> = []
    for (const [name, step] of Object.entries<() => Promise<unknown>>(steps)) {
      const [, usage] = await meter.during(step)
      figures.push(
        { name: `${name} alone: inside the function, a job`, value: usage.inside / jobs, unit: "µs" },
        { name: `${name} alone: all of Redis, a job`, value: usage.cpu / jobs, unit: "µs" },
        { name: `${name} alone: jobs a call`, value: jobs / usage.calls, unit: "jobs" }
      )
    }
    return figures
  })

const figuresOf = (name: string, rounds: ReadonlyArray<Measured>, jobs: number): ReadonlyArray<Figure> => {
  const of = (value: (round: Measured) => number) => median(rounds.map(value))
  return [
    { name: `${name}: jobs`, value: of(({ rate }) => rate), unit: "per s" },
    { name: `${name}: Redis, a job`, value: of(({ redis }) => redis.cpu / jobs), unit: "µs" },
    { name: `${name}: of that in functions`, value: of(({ redis }) => redis.inside / jobs), unit: "µs" },
    { name: `${name}: calls for 100 jobs`, value: of(({ redis }) => (redis.calls / jobs) * 100), unit: "calls" },
    { name: `${name}: submitting process, a job`, value: of(({ produced }) => produced.cpu / jobs), unit: "µs" },
    { name: `${name}: working process, a job`, value: of(({ consumed }) => consumed.cpu / jobs), unit: "µs" }
  ]
}

export const run = async (asked: Flags): Promise<Report> => {
  const { url } = await startRedis()
  const meter = new Meter(url)
  const ours = startSide<AlonePart>("musterPart.ts")
  const theirs = startSide<QueuePart>("bullmqPart.ts")
  try {
    const measured = new Map<string, Array<Measured>>()
    const once = async (side: Side<QueuePart>, label: string, variant: Omit<Variant, "against">) => {
      const one = await measure(meter, url, side, variant, asked)
      measured.set(label, [...(measured.get(label) ?? []), one])
    }
    const warm = { ...asked, jobs: Math.min(asked.jobs, 5_000) }
    await measure(meter, url, ours as never, { name: "warm" }, warm)
    await measure(meter, url, theirs, { name: "warm" }, warm)
    for (let round = 0; round < asked.rounds; round++) {
      for (const peer of bullmq) {
        await once(theirs, `BullMQ ${peer.name}`, peer)
        for (const variant of muster.filter(({ against }) => against === peer.name)) {
          await once(ours as never, `muster ${variant.name}`, variant)
        }
      }
    }
    const of = (label: string) => measured.get(label) ?? []
    const ratio = (variant: Variant): Figure => {
      const peers = of(`BullMQ ${variant.against}`)
      const ratios = of(`muster ${variant.name}`).map(({ rate }, round) => rate / peers[round]!.rate)
      return {
        name: `${variant.name}: muster : BullMQ`,
        value: median(ratios),
        unit: "ratio",
        ...(variant.aim !== undefined && { aim: { atLeast: variant.aim } })
      }
    }
    return {
      bench: "throughput",
      setting: {
        ...asked,
        redis: durability,
        "batches of": 50,
        figures: "medians of the rounds, the sides in turns"
      },
      figures: [
        ...muster.map(ratio),
        ...[...measured].flatMap(([label, rounds]) => figuresOf(label, rounds, asked.jobs)),
        ...(await measureAlone(meter, url, ours, asked))
      ]
    }
  } finally {
    await Promise.all([stopSide(ours as never), stopSide(theirs as never)])
    meter.close()
  }
}
