/**
 * What archiving costs: jobs run from submit to complete with an archiver beside them, and without one, in turns on the
 * same Redis and PostgreSQL; and how fast an archiver catches up that was away.
 */
import { join } from "node:path"
import { startPostgres } from "../tools/servers/Postgres.ts"
import { startRedis } from "../tools/servers/Redis.ts"
import type { Archived, ArchiverPart } from "./broker/archiverPart.ts"
import { Meter, type Usage } from "./broker/Meter.ts"
import type { AlonePart } from "./broker/musterPart.ts"
import { now, startPart } from "./broker/Part.ts"
import { durability } from "./broker/QueueUnderTest.ts"
import { type Figure, median, type Report } from "./Report.ts"

export const flags = { jobs: 20_000, rounds: 3, concurrency: 64 }
type Flags = typeof flags

/** How a run went; the archiver's part of it, where there was one. */
interface Run {
  readonly rate: number
  readonly redis: Usage
  readonly archived?: { readonly rate: number; readonly behind: number; readonly cpu: number }
  readonly caughtUp: number
}

export const run = async ({ concurrency, jobs, rounds }: Flags): Promise<Report> => {
  const [{ url }, { url: databaseUrl }] = await Promise.all([startRedis(), startPostgres({ durable: true })])
  const meter = new Meter(url)
  const part = (file: string) => join(import.meta.dirname, "broker", file)
  const producer = startPart<AlonePart>(part("musterPart.ts"))
  const worker = startPart<AlonePart>(part("musterPart.ts"))
  const archiver = startPart<ArchiverPart>(part("archiverPart.ts"))
  let queues = 0

  /** One run; without an archiver beside it, what it left is archived afterwards. */
  const measure = async (beside: boolean, count: number): Promise<Run> => {
    const queue = `bench-archive-${++queues}`
    const where = { url, databaseUrl, queue }
    await meter.settled()
    for (const one of [producer, worker]) await one.ask("open", { url, queue })
    try {
      await worker.ask("introduce", { signatures: 1 })
      if (beside) await archiver.ask("begin", where)
      const [{ consumed, produced }, redis] = await meter.during(async () => {
        await worker.ask("consume", { concurrency, workers: 1, signatures: 1 })
        const all = await producer.ask("produce", { count, inFlight: concurrency, batch: 1, mixedPriorities: false })
        return { produced: all, consumed: await worker.ask("finished", { count }) }
      })
      const rate = (count / (consumed.last - produced.first)) * 1_000
      const began = now()
      if (!beside) await archiver.ask("begin", where)
      const done: Archived = await archiver.ask("done", null)
      if (done.jobs !== count) throw new Error(`${done.jobs} of ${count} jobs were archived`)
      const caughtUp = (count / (done.at - began)) * 1_000
      if (!beside) return { rate, redis, caughtUp }
      const archived = {
        rate: (count / (done.at - produced.first)) * 1_000,
        behind: Math.max(0, done.at - consumed.last),
        cpu: done.cpu / count
      }
      return { rate, redis, archived, caughtUp }
    } finally {
      await archiver.ask("end", null)
      for (const one of [producer, worker]) await one.ask("close", null)
      await meter.redis.flushall()
    }
  }

  try {
    await archiver.ask("migrate", { url, databaseUrl, queue: "" })
    await measure(true, Math.min(jobs, 5_000))
    const beside: Array<Run> = []
    const alone: Array<Run> = []
    for (let round = 0; round < rounds; round++) {
      // In turns, and whoever goes first is not always the same.
      for (const one of round % 2 === 0 ? [false, true] : [true, false]) {
        const measured = await measure(one, jobs)
        ;(one ? beside : alone).push(measured)
      }
    }
    const of = (runs: ReadonlyArray<Run>, value: (run: Run) => number) => median(runs.map(value))
    const lost = beside.map(({ rate }, round) => 1 - rate / alone[round]!.rate)
    const figures: ReadonlyArray<Figure> = [
      { name: "running, nobody archives: jobs", value: of(alone, ({ rate }) => rate), unit: "per s" },
      { name: "running, archived beside: jobs", value: of(beside, ({ rate }) => rate), unit: "per s" },
      { name: "throughput lost to it", value: median(lost), unit: "ratio" },
      { name: "archived beside: jobs", value: of(beside, ({ archived }) => archived?.rate ?? 0), unit: "per s" },
      {
        name: "archived beside: behind at the end",
        value: of(beside, ({ archived }) => archived?.behind ?? 0),
        unit: "ms"
      },
      {
        name: "archived beside: archiving process, a job",
        value: of(beside, ({ archived }) => archived?.cpu ?? 0),
        unit: "µs"
      },
      { name: "running, nobody archives: Redis, a job", value: of(alone, ({ redis }) => redis.cpu / jobs), unit: "µs" },
      {
        name: "running, archived beside: Redis, a job",
        value: of(beside, ({ redis }) => redis.cpu / jobs),
        unit: "µs"
      },
      { name: "catching up, nothing runs: jobs", value: of(alone, ({ caughtUp }) => caughtUp), unit: "per s" }
    ]
    return {
      bench: "archive",
      setting: {
        jobs,
        rounds,
        concurrency,
        redis: durability,
        postgres: "fsync on, same machine",
        figures: "medians of the rounds, in turns; a job is archived with its attempt and its four events"
      },
      figures
    }
  } finally {
    await Promise.all([producer.stop(), worker.stop(), archiver.stop()])
    meter.close()
  }
}
