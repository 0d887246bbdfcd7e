/**
 * A real Redis for tests and benches: a private instance on a free loopback port, in a folder of its own.
 *
 * Debian keeps the server program in `redis-tools`, under the name `redis-check-rdb` (`redis-server` is a link to it; the
 * name it is called by decides). That package brings no service, so installing it starts nothing.
 */
import { spawnSync } from "node:child_process"
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import { type OwnServer, type Server, ServerMissing, freshFolder, start } from "./ServerProcess.ts"

/** Redis Functions came with 7. */
const oldestMajor = 7

const onPath = (name: string): string | undefined =>
  (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

const findProgram = () => onPath("redis-server") ?? onPath("valkey-server") ?? onPath("redis-check-rdb")

const aptInstall = () => {
  const apt = onPath("apt-get")
  if (apt === undefined || process.getuid?.() !== 0) return
  console.log("installing redis-tools with apt-get")
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", "redis-tools"]]) {
    const { status, stderr, stdout } = spawnSync(apt, args, {
      env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"]
    })
    if (status !== 0) throw new Error(`apt-get ${args[0]} failed\n${stdout}${stderr}`)
  }
}

const howToInstall = `Redis ${oldestMajor} or newer is needed, and neither redis-server nor valkey-server is on the PATH. Any of these will do:
  Debian, Ubuntu:  sudo apt-get install -y redis-tools   (the server program without the service)
  macOS:           brew install redis
  Docker:          docker run --rm -p 6379:6379 redis:7   and then   export REDIS_URL=redis://127.0.0.1:6379`

/** The path of a server program that is new enough; installs one on Debian when root. */
const ensureProgram = (): string => {
  if (findProgram() === undefined) aptInstall()
  const program = findProgram()
  if (program === undefined) throw new ServerMissing(howToInstall)
  const version = spawnSync(program, ["--version"], { argv0: "redis-server", encoding: "utf8" }).stdout.trim()
  const major = Number(/ v=(\d+)\./.exec(version)?.[1])
  if (!(major >= oldestMajor)) throw new ServerMissing(`${program} is too old (${version}).\n${howToInstall}`)
  return program
}

export interface RedisOptions {
  /** `false`: nothing survives a kill. Default `true`: an append-only file, so that a restart finds the data. */
  readonly appendOnly?: boolean
  /** Default `everysec`. All of them keep an answered write through a kill of the process. */
  readonly fsync?: "always" | "everysec" | "no"
  /** What is dropped when memory is short. Default `noeviction`: nothing. */
  readonly eviction?: "noeviction" | "allkeys-lru"
}

/** A private server of its own; REDIS_URL plays no part. */
export const startRedis = async (options: RedisOptions = {}): Promise<OwnServer> => {
  const program = ensureProgram()
  const folder = await freshFolder("redis")
  const settings = (port: number) => ({
    port: String(port),
    bind: "127.0.0.1",
    dir: folder,
    save: "",
    appendonly: options.appendOnly === false ? "no" : "yes",
    appendfsync: options.fsync ?? "everysec",
    "maxmemory-policy": options.eviction ?? "noeviction"
  })
  return start({
    folder,
    url: (port) => `redis://127.0.0.1:${port}`,
    command: (port) => ({
      file: program,
      argv0: "redis-server",
      args: Object.entries(settings(port)).flatMap(([name, value]) => [`--${name}`, value]),
      ready: "eady to accept connections",
      stopSignal: "SIGTERM"
    })
  })
}

/** The server named by REDIS_URL, which is used and never stopped, or a private one. */
export const redis = async (options?: RedisOptions): Promise<Server> => {
  const url = process.env["REDIS_URL"]
  return url ? { url, stop: async () => undefined } : startRedis(options)
}
