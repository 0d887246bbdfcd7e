/**
 * The keeper: a small process that owns the servers of one test run, and everything they write.
 *
 * It reads requests from its standard input. When that pipe closes, because its parent asked for it or is gone for
 * whatever reason (SIGKILL included), it stops its servers by pid, removes its folder and exits. It never touches a
 * process that it did not start.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"

export interface Command {
  readonly file: string
  readonly args: ReadonlyArray<string>
  readonly env?: Record<string, string>
  readonly argv0?: string
  readonly uid?: number
  readonly gid?: number
}

export interface ServerCommand extends Command {
  /** Text of the output line that says the server is ready. */
  readonly ready: string
  /** What makes it end in good order. */
  readonly stopSignal: "SIGINT" | "SIGTERM"
  /** Where PostgreSQL notes its shared memory segment, which outlives a SIGKILL. */
  readonly sharedMemoryNote?: string
}

export type Request = { readonly id: number } & (
  | { readonly op: "run"; readonly command: Command }
  | { readonly op: "start"; readonly name: string; readonly command: ServerCommand }
  | { readonly op: "stop" | "kill" | "pause" | "resume" | "restart"; readonly name: string }
)

/** The first line says where the keeper's folder is; every other line answers a request. */
export type Reply =
  | { readonly folder: string }
  | { readonly id: number; readonly error: string }
  | { readonly id: number; readonly error?: undefined; readonly pid?: number }

/** How long a server may take to end in good order before it is killed. */
const stopDeadlineMs = 30_000
/** How much of a server's last output an error shows. */
const outputTail = 4_000

interface Running {
  readonly child: ChildProcess
  readonly pid: number
  readonly exited: Promise<void>
  /** The last of its output, once all of it has been read. */
  readonly lastWords: Promise<string>
}

interface Kept {
  readonly command: ServerCommand
  readonly process: Running
}

const folder = mkdtempSync(join(tmpdir(), "muster-servers-"))
const servers = new Map<string, Kept>()
/** Everything started and not yet seen to end. */
const alive = new Set<Running>()
let closing = false

/** Registers the process in the same turn as it is born, so that closing never misses one. */
const launch = (command: Command, onOutput?: (tail: string) => void): Running => {
  const child = spawn(command.file, command.args, {
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", ...command.env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(command.argv0 === undefined ? {} : { argv0: command.argv0 }),
    ...(command.uid === undefined ? {} : { uid: command.uid }),
    ...(command.gid === undefined ? {} : { gid: command.gid })
  })
  let output = ""
  child.once("error", (error) => (output += String(error)))
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-outputTail)
      onOutput?.(output)
    })
  }
  const lastWords = new Promise<string>((done) => child.once("close", () => done(output.trim())))
  if (child.pid === undefined) return { child, pid: 0, exited: lastWords.then(() => undefined), lastWords }
  const exited = new Promise<void>((done) => child.once("exit", () => done()))
  const running: Running = { child, pid: child.pid, exited, lastWords }
  alive.add(running)
  child.once("exit", () => alive.delete(running))
  return running
}

const hasExited = ({ child, pid }: Running) => pid === 0 || child.exitCode !== null || child.signalCode !== null

const signal = (pid: number, name: NodeJS.Signals) => {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
  }
}

/** Pairs of pid and parent, from `/proc` where there is one (a bare Debian has no `ps`). */
const processTable = (): ReadonlyArray<readonly [pid: number, parent: number]> => {
  if (process.platform !== "linux") {
    const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n")
    return lines.map((line) => line.trim().split(/\s+/).map(Number) as [number, number])
  }
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8")
      const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      return [[Number(entry), Number(afterName[1])] as const]
    } catch {
      return []
    }
  })
}

/** PostgreSQL has one child per connection, each in a session of its own: no group signal reaches them. */
const childrenOf = (pid: number) => processTable().flatMap(([child, parent]) => (parent === pid ? [child] : []))

/** The parent first, so that it neither adds a child nor lets the pid of a dead one be used again. */
const signalAll = (running: Running, name: "SIGSTOP" | "SIGKILL") => {
  if (hasExited(running)) return
  signal(running.pid, "SIGSTOP")
  for (const pid of [...childrenOf(running.pid), running.pid]) signal(pid, name)
}

const thaw = (running: Running) => {
  if (hasExited(running)) return
  for (const pid of [...childrenOf(running.pid), running.pid]) signal(pid, "SIGCONT")
}

const kill = (running: Running) => {
  signalAll(running, "SIGKILL")
  return running.exited
}

const stop = async ({ command, process: running }: Kept) => {
  if (!hasExited(running)) {
    thaw(running)
    signal(running.pid, command.stopSignal)
    await Promise.race([running.exited, sleep(stopDeadlineMs, undefined, { ref: false })])
    await kill(running)
  }
  const note = command.sharedMemoryNote
  if (note !== undefined && existsSync(note)) {
    const segment = readFileSync(note, "utf8").split("\n")[6]?.trim().split(/\s+/)[1]
    if (segment !== undefined) spawnSync("ipcrm", ["-m", segment], { stdio: "ignore" })
  }
}

/** Resolves when the server has said that it is ready. */
const serve = async (name: string, command: ServerCommand): Promise<number> => {
  const { promise: ready, resolve: onReady } = Promise.withResolvers<true>()
  const running = launch(command, (tail) => {
    if (tail.includes(command.ready)) onReady(true)
  })
  servers.set(name, { command, process: running })
  const isReady = await Promise.race([ready, running.exited.then(() => false)])
  if (!isReady) throw new Error(`${command.file} ended before it was ready:\n${await running.lastWords}`)
  return running.pid
}

const run = async (command: Command) => {
  const running = launch(command)
  const output = await running.lastWords
  if (running.child.exitCode !== 0) throw new Error(`${command.file} failed:\n${output}`)
}

const find = (name: string): Kept => {
  const kept = servers.get(name)
  if (kept === undefined) throw new Error(`no server is named ${name}`)
  return kept
}

const handle = async (request: Request): Promise<number | undefined> => {
  switch (request.op) {
    case "run":
      await run(request.command)
      return undefined
    case "start":
      return serve(request.name, request.command)
    case "stop":
      await stop(find(request.name))
      return undefined
    case "kill":
      await kill(find(request.name).process)
      return undefined
    case "pause":
      signalAll(find(request.name).process, "SIGSTOP")
      return undefined
    case "resume":
      thaw(find(request.name).process)
      return undefined
    case "restart": {
      const kept = find(request.name)
      if (!hasExited(kept.process)) await stop(kept)
      if (closing) throw new Error("the keeper is closing")
      return serve(request.name, kept.command)
    }
  }
}

const reply = (message: Reply) => process.stdout.write(`${JSON.stringify(message)}\n`)

const close = async () => {
  if (closing) return
  closing = true
  await Promise.all([...servers.values()].map(stop))
  await Promise.all([...alive].map(kill))
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  process.exit(0)
}

// The parent may be gone already: nobody then reads the answers.
process.stdout.on("error", () => undefined)
process.on("SIGTERM", close)
process.on("SIGINT", close)

// Servers that run under another user must be able to reach their own folder inside this one.
chmodSync(folder, 0o711)
reply({ folder })

const requests = createInterface({ input: process.stdin })
requests.on("line", (line) => {
  const request = JSON.parse(line) as Request
  handle(request).then(
    (pid) => reply(pid === undefined ? { id: request.id } : { id: request.id, pid }),
    (error: unknown) => reply({ id: request.id, error: error instanceof Error ? error.message : String(error) })
  )
})
requests.on("close", close)
