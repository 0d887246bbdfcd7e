/**
 * How long a newcomer waits: from a clone to the first finished job, from `npm start` to the first answer, and for the
 * help text; and what the idle process weighs.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { median, type Report } from "./Report.ts"

const execute = promisify(execFile)
const repository = join(import.meta.dirname, "..")
const patience = 120_000

const freePort = async (): Promise<number> => {
  const probe = createServer().listen(0, "127.0.0.1")
  await once(probe, "listening")
  const address = probe.address()
  probe.close()
  if (address === null || typeof address === "string") throw new Error("no free port")
  return address.port
}

const until = async <A>(what: string, look: () => Promise<A | undefined>): Promise<A> => {
  const deadline = performance.now() + patience
  while (performance.now() < deadline) {
    const found = await look().catch(() => undefined)
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error(`${what} took longer than ${patience} ms`)
}

const startMuster = (folder: string, port: number): ChildProcess =>
  spawn("npm", ["start", "--", "--port", String(port)], { cwd: folder, stdio: "ignore", detached: true })

/** npm does not pass signals on reliably; its process group gets them. */
const stop = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.pid === undefined) return
  process.kill(-child.pid, "SIGINT")
  await once(child, "exit")
}

const accepted = (url: string) => async () => {
  const response = await fetch(`${url}/ready`)
  return response.ok ? true : undefined
}

const runJob = async (url: string): Promise<void> => {
  const response = await fetch(`${url}/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ service_required: "simulation", payload: { duration_ms: 0, steps: 1 } })
  })
  const { job } = (await response.json()) as { readonly job: { readonly id: string } }
  await until("the first job", async () => {
    const answer = (await (await fetch(`${url}/jobs/${job.id}`)).json()) as {
      readonly job: { readonly status: string }
    }
    return answer.job.status === "completed" ? true : undefined
  })
}

/** The resident memory of the process that listens, in MiB: a child of npm. */
const residentMemory = async (npm: number): Promise<number> => {
  const { stdout } = await execute("ps", ["-e", "-o", "pid=,ppid=,rss=,args="])
  const rows = stdout
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .filter((row) => row !== null)
  const descendants = new Set([npm])
  for (let grown = true; grown;) {
    const fresh = rows.filter((row) => descendants.has(Number(row[2])) && !descendants.has(Number(row[1])))
    for (const row of fresh) descendants.add(Number(row[1]))
    grown = fresh.length > 0
  }
  const muster = rows.filter(
    (row) => descendants.has(Number(row[1])) && row[4]?.includes("muster") && row[4].includes("node")
  )
  return Math.max(...muster.map((row) => Number(row[3]))) / 1_024
}

const timed = async (work: () => Promise<void>): Promise<number> => {
  const from = performance.now()
  await work()
  return performance.now() - from
}

const repeat = async (times: number, sample: () => Promise<number>): Promise<ReadonlyArray<number>> => {
  const samples: Array<number> = []
  for (let time = 0; time < times; time++) samples.push(await sample())
  return samples
}

export const run = async (): Promise<Report> => {
  const folder = await mkdtemp(join(tmpdir(), "muster-start-"))
  try {
    const from = performance.now()
    await execute("git", ["clone", "--quiet", repository, join(folder, "muster")])
    const clone = join(folder, "muster")
    await execute("npm", ["ci"], { cwd: clone, maxBuffer: 16 * 1_024 * 1_024 })
    const installed = performance.now()
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const first = startMuster(clone, port)
    await until("the first answer", accepted(url))
    await runJob(url)
    const finished = performance.now()
    await stop(first)

    let memory = Number.NaN
    const starts = await repeat(5, async () => {
      const begun = performance.now()
      const child = startMuster(clone, port)
      await until("an answer", accepted(url))
      const took = performance.now() - begun
      await new Promise((resolve) => setTimeout(resolve, 2_000))
      memory = await residentMemory(child.pid ?? -1)
      await stop(child)
      return took
    })
    const stops = await repeat(3, async () => {
      const child = startMuster(clone, port)
      await until("an answer", accepted(url))
      return timed(() => stop(child))
    })
    const muster = join(clone, "node_modules", ".bin", "muster")
    const path = `${join(clone, "node_modules", ".bin")}:${process.env["PATH"] ?? ""}`
    const helps = await repeat(7, () =>
      timed(async () => void (await execute(muster, ["--help"], { env: { ...process.env, PATH: path } })))
    )
    const { version } = JSON.parse(await readFile(join(clone, "package.json"), "utf8")) as { readonly version: string }
    return {
      bench: "start",
      setting: { version, starts: starts.length, helps: helps.length },
      figures: [
        {
          name: "clone → npm ci → first finished job",
          value: (finished - from) / 1_000,
          unit: "s",
          aim: { atMost: 60 }
        },
        { name: "of that, clone and npm ci", value: (installed - from) / 1_000, unit: "s" },
        {
          name: "npm start → first accepted request, median",
          value: median(starts),
          unit: "ms",
          aim: { atMost: 2_000 }
        },
        { name: "Ctrl-C → ended, median", value: median(stops), unit: "ms", aim: { atMost: 2_000 } },
        { name: "muster --help, median", value: median(helps), unit: "ms", aim: { atMost: 300 } },
        { name: "memory when idle", value: memory, unit: "MiB" }
      ]
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
