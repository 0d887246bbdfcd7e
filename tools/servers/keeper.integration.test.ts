/** Whoever started servers may be killed at any moment: nothing of theirs stays behind. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { dirname } from "node:path"
import { createInterface } from "node:readline"
import { afterEach, assert, expect, it } from "vitest"

const redis = new URL("./Redis.ts", import.meta.url).href
const postgres = new URL("./Postgres.ts", import.meta.url).href
const servers = new URL("./ServerProcess.ts", import.meta.url).href

/** Starts one server of each kind, says where, and waits to be killed; it ends by itself when these tests are gone. */
const runner = `
import { startPostgres } from "${postgres}"
import { startRedis } from "${redis}"
import { freshFolder } from "${servers}"
const own = await Promise.all([startRedis(), startPostgres()])
if (process.argv[1] === "hurt") await Promise.all([own[0].pause(), own[1].kill()])
const folder = await freshFolder("probe")
console.log(JSON.stringify({ pids: own.map((server) => server.pid()), folder }))
process.stdin.resume().on("end", () => process.exit())
`

interface Started {
  readonly pids: ReadonlyArray<number>
  readonly folder: string
}

let child: ChildProcess | undefined
afterEach(() => child?.kill("SIGKILL"))

const start = async (mode: "well" | "hurt"): Promise<Started> => {
  const process_ = spawn(process.execPath, ["--input-type=module", "-e", runner, mode], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  child = process_
  const [line] = await once(createInterface({ input: process_.stdout }), "line")
  return JSON.parse(String(line)) as Started
}

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const nothingLeft = ({ folder, pids }: Started) =>
  expect.poll(() => [...pids.filter(isAlive), existsSync(dirname(folder))], { timeout: 60_000 }).toEqual([false])

it("a runner that is killed leaves no server and no file", async () => {
  const started = await start("well")
  assert.deepStrictEqual(started.pids.map(isAlive), [true, true])
  child?.kill("SIGKILL")
  await nothingLeft(started)
})

it("servers that were paused or killed by a test leave nothing either", async () => {
  const started = await start("hurt")
  assert.deepStrictEqual(started.pids.map(isAlive), [true, false])
  child?.kill("SIGKILL")
  await nothingLeft(started)
})

it("Ctrl-C in the runner's process group leaves nothing either", async () => {
  const started = await start("well")
  child?.kill("SIGINT")
  await nothingLeft(started)
})
