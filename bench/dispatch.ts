/**
 * How soon an idle worker begins a job: one job at a time, from before its submit in one process to its start in
 * another, beside an idle worker of BullMQ, in turns on the same Redis.
 */
import { join } from "node:path"
import { startRedis } from "../tools/servers/Redis.ts"
import { Meter } from "./broker/Meter.ts"
import { startPart } from "./broker/Part.ts"
import type { Consume, QueuePart } from "./broker/QueuePart.ts"
import { durability } from "./broker/QueueUnderTest.ts"
import { type Figure, median, quantile, type Report } from "./Report.ts"

export const flags = { jobs: 1_200, rounds: 6, crowd: 1_000 }
type Flags = typeof flags

interface Setup extends Consume {
  readonly name: string
  readonly file: string
}

const setups = (crowd: number): ReadonlyArray<Setup> => {
  const muster = { file: "musterPart.ts", concurrency: crowd, workers: crowd }
  return [
    { name: "BullMQ, 1 idle worker", file: "bullmqPart.ts", concurrency: 1, workers: 1, signatures: 1 },
    { name: "muster, 1 idle worker", file: "musterPart.ts", concurrency: 1, workers: 1, signatures: 1 },
    { ...muster, name: `muster, ${crowd} idle workers of one signature`, signatures: 1 },
    { ...muster, name: `muster, ${crowd} idle workers of 50 signatures`, signatures: 50 }
  ]
}

/** Long enough for the worker to be idle again after its last job. */
const pause = () => new Promise((resolve) => setTimeout(resolve, 3))

let queues = 0

/** The first jobs find cold processes. */
const warm = 100

/** The waits of one round. */
const round = async (url: string, setup: Setup, jobs: number): Promise<ReadonlyArray<number>> => {
  const path = join(import.meta.dirname, "broker", setup.file)
  const parts = { producer: startPart<QueuePart>(path), worker: startPart<QueuePart>(path) }
  const queue = `bench-${++queues}`
  try {
    for (const part of Object.values(parts)) await part.ask("open", { url, queue })
    await parts.worker.ask("consume", setup)
    let waits: ReadonlyArray<number> = []
    for (let done = 1; done <= warm + jobs; done++) {
      await pause()
      await parts.producer.ask("produce", { count: 1, inFlight: 1, batch: 1, mixedPriorities: false })
      const consumed = await parts.worker.ask("finished", { count: done })
      waits = consumed.waits
    }
    return waits.slice(warm)
  } finally {
    for (const part of Object.values(parts)) await part.ask("close", null)
    await Promise.all(Object.values(parts).map((part) => part.stop()))
  }
}

export const run = async ({ crowd, jobs, rounds }: Flags): Promise<Report> => {
  const { url } = await startRedis()
  const meter = new Meter(url)
  const waits = new Map<string, Array<ReadonlyArray<number>>>()
  const each = Math.ceil(jobs / rounds)
  for (let n = 0; n < rounds; n++) {
    for (const setup of setups(crowd)) {
      await meter.settled()
      waits.set(setup.name, [...(waits.get(setup.name) ?? []), await round(url, setup, each)])
      await meter.redis.flushall()
    }
  }
  meter.close()
  const [peer, ...ours] = [...waits]
  const perRound = (share: number, [, samples]: NonNullable<typeof peer>) => samples.map((one) => quantile(one, share))
  const figures = [...waits].flatMap(([name, samples]): ReadonlyArray<Figure> => [
    { name: `${name}: submit to start, p50`, value: quantile(samples.flat(), 0.5), unit: "ms" },
    { name: `${name}: submit to start, p99`, value: quantile(samples.flat(), 0.99), unit: "ms" }
  ])
  const ratios = ours.flatMap((entry): ReadonlyArray<Figure> =>
    ([0.5, 0.99] as const).map((share) => {
      const theirs = perRound(share, peer!)
      return {
        name: `${entry[0]} : BullMQ, p${share * 100}`,
        value: median(perRound(share, entry).map((value, at) => value / theirs[at]!)),
        unit: "ratio",
        aim: { atMost: 1 }
      }
    })
  )
  return {
    bench: "dispatch",
    setting: { jobs, rounds, redis: durability, figures: "ratios are medians of the rounds, the sides in turns" },
    figures: [...ratios, ...figures]
  }
}
