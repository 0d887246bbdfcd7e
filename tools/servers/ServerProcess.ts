/**
 * Starts servers under a keeper process (`keeper.ts`): whatever happens to this process, they are stopped and their
 * files removed. One keeper serves all servers of a process; it starts with the first.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process"
import { randomInt } from "node:crypto"
import { once } from "node:events"
import { mkdir } from "node:fs/promises"
import { createServer } from "node:net"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { Readable, Writable } from "node:stream"
import type { Command, Reply, Request, ServerCommand } from "./keeper.ts"

/** A server to be used; `stop` leaves alone one that was named by the environment. */
export interface Server {
  readonly url: string
  readonly stop: () => Promise<void>
}

/** A server of our own, that a test may hurt. It keeps its port and its data through every outage. */
export interface OwnServer extends Server {
  /** Of the main process; changes with `restart`. */
  readonly pid: () => number
  /** SIGKILL, for it and its children: nothing is flushed, no connection is closed in order. */
  readonly kill: () => Promise<void>
  /** SIGSTOP: connections stay open and nothing answers. */
  readonly pause: () => Promise<void>
  readonly resume: () => Promise<void>
  /** Starts it again, after `stop` in good order when it still runs; resolves when it is ready. */
  readonly restart: () => Promise<void>
}

/** There is no program to start; the message says what to do, and a stack would only hide it. */
export class ServerMissing extends Error {
  constructor(message: string) {
    super(message)
    this.stack = message
  }
}

type Ask = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never
type Answer = Extract<Reply, { readonly id: number }>

interface Keeper {
  readonly folder: string
  readonly ask: (ask: Ask) => Promise<number | undefined>
  readonly close: () => Promise<void>
}

/** The pipes must not keep this process alive, except while an answer is awaited. */
const refPipes = (keeper: ChildProcessByStdio<Writable, Readable, null>, wanted: boolean) => {
  for (const handle of [keeper, keeper.stdin, keeper.stdout]) {
    const method = (handle as Partial<NodeJS.RefCounted>)[wanted ? "ref" : "unref"]
    method?.call(handle)
  }
}

const openKeeper = async (): Promise<Keeper> => {
  // A session of its own: Ctrl-C and the kill of a process group reach the tests and leave the keeper to clean up.
  const child = spawn(process.execPath, [join(import.meta.dirname, "keeper.ts")], {
    detached: true,
    stdio: ["pipe", "pipe", "ignore"]
  })
  const pending = new Map<number, (answer: Answer) => void>()
  const { promise: folder, reject, resolve: onFolder } = Promise.withResolvers<string>()
  const gone = () => {
    const error = "the keeper of the test servers ended"
    reject(new Error(error))
    for (const [id, answer] of pending) answer({ id, error })
    pending.clear()
  }
  child.once("error", reject)
  child.once("exit", gone)
  child.stdin.on("error", gone)
  createInterface({ input: child.stdout }).on("line", (line) => {
    const reply = JSON.parse(line) as Reply
    if ("folder" in reply) return onFolder(reply.folder)
    pending.get(reply.id)?.(reply)
    pending.delete(reply.id)
    if (pending.size === 0) refPipes(child, false)
  })
  let lastId = 0
  const ask = async (request: Ask) => {
    const id = ++lastId
    refPipes(child, true)
    const answer = await new Promise<Answer>((resolve) => {
      pending.set(id, resolve)
      child.stdin.write(`${JSON.stringify({ ...request, id })}\n`)
    })
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer.pid
  }
  const close = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    refPipes(child, true)
    child.stdin.end()
    await once(child, "exit")
  }
  const keeper = { folder: await folder, ask, close }
  refPipes(child, false)
  return keeper
}

let current: Promise<Keeper> | undefined
const keeper = () => (current ??= openKeeper())

/** Stops every server that this process started, and waits until their files are gone. */
export const closeServers = async (): Promise<void> => {
  const open = current
  current = undefined
  await (await open)?.close()
}

/**
 * A port that nobody listens on now. The system gives none of this range to those who ask for any, nor to connections:
 * a server that is away for a while finds its port free when it comes back.
 */
export const freePort = async (): Promise<number> => {
  const port = randomInt(10_000, 30_000)
  const probe = createServer()
  try {
    await once(probe.listen(port, "127.0.0.1"), "listening")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error
    return freePort()
  }
  probe.close()
  await once(probe, "close")
  return port
}

let count = 0

/** An empty folder that goes with the keeper. */
export const freshFolder = async (name: string): Promise<string> => {
  const path = join((await keeper()).folder, `${name}-${++count}`)
  await mkdir(path)
  return path
}

/** Runs a command to its end, under the keeper; fails with its last output. */
export const run = async (command: Command): Promise<void> => {
  await (await keeper()).ask({ op: "run", command })
}

/** Starts a server on a free loopback port, with another port when that one was taken meanwhile. */
export const start = async (options: {
  readonly folder: string
  readonly command: (port: number) => ServerCommand
  readonly url: (port: number) => string
}): Promise<OwnServer> => {
  const { ask } = await keeper()
  const name = options.folder
  const attempt = async (triesLeft: number): Promise<{ readonly port: number; readonly pid: number | undefined }> => {
    const port = await freePort()
    try {
      return { port, pid: await ask({ op: "start", name, command: options.command(port) }) }
    } catch (error) {
      if (triesLeft > 0 && /address already in use/i.test(String(error))) return attempt(triesLeft - 1)
      throw error
    }
  }
  const started = await attempt(4)
  let pid = started.pid!
  const act = (op: "stop" | "kill" | "pause" | "resume") => async () => {
    await ask({ op, name })
  }
  return {
    url: options.url(started.port),
    pid: () => pid,
    stop: act("stop"),
    kill: act("kill"),
    pause: act("pause"),
    resume: act("resume"),
    restart: async () => {
      pid = (await ask({ op: "restart", name }))!
    }
  }
}
