/**
 * Transitions through the event log of Redis to readers over HTTP: to 1, 10 and 100 of them on one server, beside a bare
 * `node:http` server that does nothing but pass a Redis stream on, in turns on the same Redis. To none, it is what the
 * writing alone can do.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Redis } from "ioredis"
import { startPostgres } from "../tools/servers/Postgres.ts"
import { startRedis } from "../tools/servers/Redis.ts"
import type { EventReaders } from "./broker/eventReaders.ts"
import { now, startPart } from "./broker/Part.ts"
import { durability, fill, job, openQueue, type Opened } from "./broker/QueueUnderTest.ts"
import { type Figure, median, quantile, type Report } from "./Report.ts"

export const flags = { events: 20_000, rounds: 3, singles: 300 }
type Flags = typeof flags

const crowds = [0, 1, 10, 100]

const repository = join(import.meta.dirname, "..")

interface Target {
  readonly name: string
  readonly port: number
  readonly path: string
  /** Makes so many events as fast as it can. */
  readonly produce: (count: number) => Promise<void>
  readonly stop: () => Promise<void>
}

/** Starts a server process and waits for the line that names its port. */
const startServer = async (args: ReadonlyArray<string>, env: Record<string, string>) => {
  const child: ChildProcess = spawn(process.execPath, args, {
    cwd: repository,
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "inherit"]
  })
  const stop = async () => {
    if (child.exitCode !== null) return
    child.kill("SIGTERM")
    child.stdin?.end()
    await once(child, "exit")
  }
  if (child.stdout === null) throw new Error("the server has no output")
  for await (const line of createInterface({ input: child.stdout })) {
    const port = /(?:^|:)(\d{4,5})$/.exec(line)?.[1]
    if (port !== undefined) return { port: Number(port), stop }
  }
  throw new Error("the server ended before it listened")
}

let jobs = 0

const startMuster = async (env: Record<string, string>, opened: Opened): Promise<Target> => {
  const { port, stop } = await startServer(["packages/app/bin/muster.js", "server", "--port", "0"], env)
  while (!(await fetch(`http://127.0.0.1:${port}/ready`)).ok) await new Promise((resolve) => setTimeout(resolve, 50))
  return {
    name: "muster",
    port,
    path: "/events",
    produce: (count) => fill(opened, count, () => ({ id: `bench-${jobs++}`, request: job() })),
    stop
  }
}

/** About what an event of a submit is. */
const bareEvent = () =>
  JSON.stringify({
    at: Date.now(),
    type: "job.submitted",
    job_id: `bench-${jobs++}`,
    status: "pending",
    service_required: "bench",
    requirement_class: "c1"
  })

const startBare = async (env: Record<string, string>, redis: Redis): Promise<Target> => {
  const server = await startServer(["bench/broker/bareEvents.ts"], env)
  return {
    ...server,
    name: "bare XREAD and node:http",
    path: "/",
    produce: async (count) => {
      for (let done = 0; done < count; done += 100) {
        const batch = redis.pipeline()
        for (let n = done; n < Math.min(count, done + 100); n++) batch.xadd("bare-events", "*", "e", bareEvent())
        await batch.exec()
      }
    }
  }
}

/** Events a second until the last reader has them all. */
const throughput = async (target: Target, readers: number, events: number): Promise<number> => {
  const part = startPart<EventReaders>(join(import.meta.dirname, "broker/eventReaders.ts"))
  try {
    await part.ask("open", { port: target.port, path: target.path, readers })
    // The first events find cold processes.
    await target.produce(1_000)
    await part.ask("received", { count: 1_000 })
    const begun = now()
    const received = part.ask("received", { count: 1_000 + events })
    await target.produce(events)
    const written = now()
    return (events / (Math.max(written, await received) - begun)) * 1_000
  } finally {
    await part.ask("close", null)
    await part.stop()
  }
}

/** How late the first of the readers has each of some events that come one at a time. */
const delays = async (target: Target, readers: number, events: number): Promise<ReadonlyArray<number>> => {
  const part = startPart<EventReaders>(join(import.meta.dirname, "broker/eventReaders.ts"))
  const warm = 50
  try {
    await part.ask("open", { port: target.port, path: target.path, readers })
    for (let n = 0; n < warm + events; n++) {
      await target.produce(1)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await part.ask("received", { count: warm + events })
    return (await part.ask("delays", null)).slice(warm)
  } finally {
    await part.ask("close", null)
    await part.stop()
  }
}

const measure = async (targets: ReadonlyArray<Target>, readers: number, { events, rounds, singles }: Flags) => {
  const rates = new Map(targets.map(({ name }) => [name, [] as Array<number>]))
  const late = new Map(targets.map(({ name }) => [name, [] as Array<number>]))
  for (let round = 0; round < rounds; round++) {
    for (const target of targets) {
      rates.get(target.name)?.push(await throughput(target, readers, events))
      if (readers > 0) late.get(target.name)?.push(...(await delays(target, readers, singles)))
    }
  }
  const to = `to ${readers} ${readers === 1 ? "reader" : "readers"}`
  const figures = targets.flatMap(({ name }): ReadonlyArray<Figure> => {
    const [rate, delay] = [rates.get(name) ?? [], late.get(name) ?? []]
    const transitions = { name: `${name}, ${to}: transitions`, value: median(rate), unit: "per s" } as const
    if (readers === 0) return [transitions]
    return [
      transitions,
      { name: `${name}, ${to}: delay, p50`, value: quantile(delay, 0.5), unit: "ms" },
      { name: `${name}, ${to}: delay, p99`, value: quantile(delay, 0.99), unit: "ms" }
    ]
  })
  const [bare = [], muster = []] = targets.map(({ name }) => rates.get(name) ?? [])
  return [...figures, { name: `muster : bare, ${to}`, value: median(muster) / median(bare), unit: "ratio" } as const]
}

export const run = async (asked: Flags): Promise<Report> => {
  const [database, store] = await Promise.all([startPostgres(), startRedis()])
  const queue = "bench-events"
  const env = { DATABASE_URL: database.url, REDIS_URL: store.url, MUSTER_QUEUE: queue }
  const redis = new Redis(store.url)
  const opened = await openQueue(store.url, queue)
  const targets = [await startBare(env, redis), await startMuster(env, opened)]
  try {
    const figures: Array<Figure> = []
    for (const readers of crowds) figures.push(...(await measure(targets, readers, asked)))
    return { bench: "events", setting: { ...asked, redis: durability, clock: "whole ms" }, figures }
  } finally {
    for (const { stop } of targets) await stop()
    await opened.close()
    redis.disconnect()
  }
}
