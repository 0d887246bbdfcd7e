/**
 * What a waiting job weighs in Redis, by kinds of keys; and what is left after a million jobs and ten thousand
 * requirement classes have come and gone.
 */
import { Duration, Effect } from "effect"
import { startRedis } from "../tools/servers/Redis.ts"
import { Meter } from "./broker/Meter.ts"
import {
  durability,
  fenceOf,
  fill,
  inLanes,
  introduce,
  job,
  kind,
  newNonce,
  type Opened,
  openQueue,
  workerId
} from "./broker/QueueUnderTest.ts"
import type { Figure, Report } from "./Report.ts"

export const flags = { jobs: 1_000_000, waiting: 50_000, classes: 10_000 }
type Flags = typeof flags

/** As JSON: 1,000 characters. */
const payload = "x".repeat(998)

/** Bytes by kind of key, where what tells the keys of single jobs apart is left out. */
const byKind = async ({ redis }: Meter, id: RegExp): Promise<ReadonlyMap<string, number>> => {
  const bytes = new Map<string, number>()
  let cursor = "0"
  do {
    const [next, keys] = await redis.scan(cursor, "COUNT", 1_000)
    cursor = next
    const sizes = await Promise.all(keys.map((key) => redis.memory("USAGE", key, "SAMPLES", 0)))
    for (const [at, key] of keys.entries()) {
      const name = key.replace(/^\{[^}]*\}:?/, "").replace(id, "*")
      bytes.set(name, (bytes.get(name) ?? 0) + Number(sizes[at]))
    }
  } while (cursor !== "0")
  return bytes
}

const waitingJobs = async (url: string, meter: Meter, count: number): Promise<ReadonlyArray<Figure>> => {
  const opened = await openQueue(url, "memory-waiting")
  await introduce(opened, [kind(0)])
  const [before, kindsBefore] = [await meter.memory(), await byKind(meter, /waiting-\d+/)]
  await fill(opened, count, (n) => ({ id: `waiting-${n}`, request: job({ payload }) }))
  await meter.settled()
  const [after, kinds] = [await meter.memory(), await byKind(meter, /waiting-\d+/)]
  await opened.close()
  await meter.redis.flushall()
  const parts = [...kinds]
    .map(([name, bytes]) => ({ name, bytes: (bytes - (kindsBefore.get(name) ?? 0)) / count }))
    .filter(({ bytes }) => bytes >= 1)
    .toSorted((a, b) => b.bytes - a.bytes)
  const whole = (after - before) / count
  const rest = whole - parts.reduce((sum, { bytes }) => sum + bytes, 0)
  return [
    { name: "a waiting job with a payload of 1,000 characters", value: whole, unit: "bytes" },
    { name: "of that, beyond the payload", value: whole - 1_000, unit: "bytes" },
    ...parts.map(({ bytes, name }): Figure => ({ name: `of that, key ${name}`, value: bytes, unit: "bytes" })),
    { name: "of that, the table of keys and the rest", value: rest, unit: "bytes" }
  ]
}

/** Claims and completes until so many jobs are done. */
const work = ({ queue }: Opened, lane: number, state: { left: number }) =>
  Effect.gen(function* () {
    const worker_id = workerId(`gone-${lane}`)
    const capabilities = kind(lane)
    while (state.left > 0) {
      const nonce = newNonce()
      const jobs = yield* queue.claim({ worker_id, capabilities, capacity: 128, limit: 64, nonce })
      state.left -= jobs.length
      if (jobs.length === 0) yield* Effect.sleep(1)
      yield* inLanes(jobs.length, 64, (n) => queue.complete(fenceOf(jobs[n]!, nonce), null))
    }
  })

/** Ticks until nothing is left to forget. */
const forget = ({ queue }: Opened, state: { over: boolean }) =>
  Effect.gen(function* () {
    for (;;) {
      const { forgotten, more } = yield* queue.tick
      if (state.over && forgotten === 0 && !more) return
      if (!more) yield* Effect.sleep(20)
    }
  })

/** Empty classes go after some minutes; here the times at which they are looked at move, in place of the clock. */
const letClassesAge = async ({ redis }: Meter): Promise<void> => {
  const key = "{muster:memory-gone}:class_check"
  await redis.zunionstore(key, 1, key, "WEIGHTS", 0)
}

/** Submits jobs of so many classes in turn, has them done and forgotten, and tells how long that took. */
const comeAndGo = async (meter: Meter, opened: Opened, run: string, jobs: number, classes: number): Promise<number> => {
  const from = performance.now()
  const state = { left: jobs, over: false }
  const lanes = [0, 1].map((lane) => opened.run(work(opened, lane, state)))
  const forgetting = opened.run(forget(opened, state))
  await fill(opened, jobs, (n) => ({
    id: `${run}-${n}`,
    request: job(classes === 1 ? {} : { requirements: { exclude: { kind: `class-${n % classes}` } } })
  }))
  await Promise.all(lanes)
  // Jobs that have just ended are kept for a moment.
  await new Promise((resolve) => setTimeout(resolve, 200))
  await letClassesAge(meter)
  state.over = true
  await forgetting
  return (performance.now() - from) / 1_000
}

const gone = async (url: string, meter: Meter, { classes, jobs }: Flags): Promise<ReadonlyArray<Figure>> => {
  const opened = await openQueue(url, "memory-gone", { retention: Duration.millis(50) })
  await introduce(opened, [kind(0), kind(1)])
  // What the first jobs leave for good is not what a million leave.
  await comeAndGo(meter, opened, "first", 1_000, 1)
  const start = { bytes: await meter.memory(), keys: await meter.redis.dbsize() }
  const left = async (what: string, seconds: number): Promise<ReadonlyArray<Figure>> => {
    await meter.settled()
    const [bytes, keys] = [await meter.memory(), await meter.redis.dbsize()]
    return [
      {
        name: `after ${what}: memory left over`,
        value: (bytes - start.bytes) / 2 ** 20,
        unit: "MiB",
        aim: { atMost: 1 }
      },
      { name: `after ${what}: keys left over`, value: keys - start.keys, unit: "keys", aim: { atMost: 0 } },
      { name: `${what}: time`, value: seconds, unit: "s" }
    ]
  }
  const ofJobs = `${jobs.toLocaleString("en")} jobs came and went`
  const first = await left(ofJobs, await comeAndGo(meter, opened, "jobs", jobs, 1))
  const ofClasses = `${classes.toLocaleString("en")} classes came and went`
  const second = await left(ofClasses, await comeAndGo(meter, opened, "classes", classes, classes))
  const remains = await byKind(meter, /(?:first|jobs|classes)-\d+/)
  await opened.close()
  return [
    { name: "at the start: memory", value: start.bytes / 2 ** 20, unit: "MiB" },
    { name: "at the start: keys", value: start.keys, unit: "keys" },
    ...first,
    ...second,
    ...[...remains]
      .filter(([, bytes]) => bytes >= 4_096)
      .map(([name, bytes]): Figure => ({ name: `at the end: key ${name}`, value: bytes, unit: "bytes" }))
  ]
}

export const run = async (asked: Flags): Promise<Report> => {
  const { url } = await startRedis()
  const meter = new Meter(url)
  const figures = [...(await waitingJobs(url, meter, asked.waiting)), ...(await gone(url, meter, asked))]
  meter.close()
  return { bench: "memory", setting: { ...asked, redis: durability }, figures }
}
