/**
 * 20,000 registered workers that beat through HTTP to PostgreSQL, beside a bare `node:http` server that does the same
 * batched write to the same database, in turns and with the same load.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { startPostgres } from "../tools/servers/Postgres.ts"
import { startRedis } from "../tools/servers/Redis.ts"
import { generate, type Load, type Measured } from "./load.ts"
import { quantile, type Report } from "./Report.ts"

const workers = 20_000
const connections = 256
const seconds = 8
const rounds = 3

const repository = join(import.meta.dirname, "..")

interface Target {
  readonly port: number
  readonly stop: () => Promise<void>
}

/** Starts a server process and waits for the line that names its port. */
const startServer = async (args: ReadonlyArray<string>, env: Record<string, string>): Promise<Target> => {
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

const ready = async (port: number): Promise<void> => {
  while (!(await fetch(`http://127.0.0.1:${port}/ready`)).ok) await new Promise((resolve) => setTimeout(resolve, 50))
}

const prefix = "/workers/bench-"
const beats = (port: number, over: Partial<Load> = {}): Promise<Measured> =>
  generate({ port, connections, seconds, prefix, suffix: "/heartbeat", targets: workers, ...over })

/** Registers every worker through the API, many at once. */
const registerAll = async (port: number): Promise<void> => {
  const register = async (n: number) => {
    const response = await fetch(`http://127.0.0.1:${port}/workers`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        id: `bench-${n}`,
        region: "bench",
        capacity: 1,
        capabilities: { job_types: ["simulation"] }
      })
    })
    await response.arrayBuffer()
    if (!response.ok && response.status !== 409) throw new Error(`registering answered ${response.status}`)
  }
  let next = 0
  const lane = async () => {
    while (next < workers) await register(next++)
  }
  await Promise.all(Array.from({ length: 64 }, lane))
}

const summary = (name: string, measured: ReadonlyArray<Measured>) => {
  const latencies = measured.flatMap((round) => round.latencies)
  const answered = measured.reduce((sum, round) => sum + round.answered, 0)
  const took = measured.reduce((sum, round) => sum + round.seconds, 0)
  return {
    rate: answered / took,
    figures: [
      { name: `${name}: beats`, value: answered / took, unit: "per s" as const },
      { name: `${name}: p50`, value: quantile(latencies, 0.5), unit: "ms" as const },
      { name: `${name}: p99`, value: quantile(latencies, 0.99), unit: "ms" as const }
    ]
  }
}

export const run = async (): Promise<Report> => {
  const [database, queue] = await Promise.all([startPostgres({ durable: true }), startRedis()])
  const env = { DATABASE_URL: database.url, REDIS_URL: queue.url, MUSTER_QUEUE: "bench-heartbeats" }
  const muster = await startServer(["packages/app/bin/muster.js", "server", "--port", "0"], env)
  try {
    await ready(muster.port)
    await registerAll(muster.port)
    const bare = await startServer(["bench/bareHeartbeats.ts"], env)
    try {
      for (const { port } of [bare, muster]) await beats(port, { seconds: 2 })
      const measured = { muster: [] as Array<Measured>, bare: [] as Array<Measured> }
      for (let round = 0; round < rounds; round++) {
        measured.bare.push(await beats(bare.port))
        measured.muster.push(await beats(muster.port))
      }
      const refused = [...measured.muster, ...measured.bare].reduce((sum, round) => sum + round.refused, 0)
      if (refused > 0) throw new Error(`${refused} beats were refused`)
      const ours = summary("muster", measured.muster)
      const theirs = summary("bare node:http", measured.bare)
      return {
        bench: "heartbeats",
        setting: { workers, connections, rounds, "seconds per round": seconds, postgres: "fsync on, same machine" },
        figures: [
          ...ours.figures,
          ...theirs.figures,
          { name: "muster : bare", value: ours.rate / theirs.rate, unit: "ratio", aim: { atLeast: 0.5 } }
        ]
      }
    } finally {
      await bare.stop()
    }
  } finally {
    await muster.stop()
  }
}
