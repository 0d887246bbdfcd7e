/**
 * A real PostgreSQL for tests and benches: the binaries that npm brought, run on a free loopback port with a random
 * password, in a folder of its own.
 *
 * PostgreSQL refuses to run as root. Started by root it runs as `nobody`, from a copy of the binaries when that user
 * cannot reach them (a checkout below /root).
 */
import { execFileSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chown, cp, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { ensureTools, postgresHome } from "../ensure.ts"
import { type OwnServer, type Server, ServerMissing, freshFolder, run, start } from "./ServerProcess.ts"

export interface PostgresOptions {
  /** Default `false`: no fsync, which is quick and loses data with the machine, though not with a killed process. */
  readonly durable?: boolean
  /** Further settings, by their names in postgresql.conf. */
  readonly settings?: Record<string, string>
}

interface User {
  readonly uid: number
  readonly gid: number
}

const unprivileged = (): User | undefined => {
  if (process.getuid?.() !== 0) return undefined
  const id = (flag: string) => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" }))
  return { uid: id("-u"), gid: id("-g") }
}

/** Where the binaries are, for the user who will run them. */
const findBinaries = async (folder: string, user: User | undefined): Promise<string> => {
  ensureTools()
  const home = postgresHome()
  if (home === undefined) {
    throw new ServerMissing(
      `npm has no PostgreSQL build for ${process.platform} ${process.arch}: set DATABASE_URL to a server whose user may create databases`
    )
  }
  const native = join(home, "native")
  if (user === undefined) return join(native, "bin")
  try {
    await run({ file: join(native, "bin", "postgres"), args: ["--version"], ...user })
    return join(native, "bin")
  } catch {
    const copy = join(folder, "native")
    await cp(native, copy, { recursive: true, verbatimSymlinks: true })
    return join(copy, "bin")
  }
}

/** A private server of its own; DATABASE_URL plays no part. */
export const startPostgres = async (options: PostgresOptions = {}): Promise<OwnServer> => {
  const folder = await freshFolder("postgres")
  const user = unprivileged()
  const binaries = await findBinaries(folder, user)
  const data = join(folder, "data")
  const passwordFile = join(folder, "password")
  const password = randomBytes(16).toString("hex")
  await mkdir(data, { mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600 })
  if (user !== undefined) await Promise.all([data, passwordFile].map((path) => chown(path, user.uid, user.gid)))
  const asUser = { env: { LC_ALL: "C" }, ...user }
  const cluster = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
  const superuser = ["--username=muster", `--pwfile=${passwordFile}`]
  await run({ ...asUser, file: join(binaries, "initdb"), args: ["-D", data, ...cluster, ...superuser] })
  const settings = (port: number) => ({
    port: String(port),
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    dynamic_shared_memory_type: "mmap",
    max_connections: "200",
    ...(options.durable === true ? {} : { fsync: "off", full_page_writes: "off" }),
    ...options.settings
  })
  return start({
    folder,
    url: (port) => `postgres://muster:${password}@127.0.0.1:${port}/postgres`,
    command: (port) => ({
      ...asUser,
      file: join(binaries, "postgres"),
      args: ["-D", data, ...Object.entries(settings(port)).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      ready: "database system is ready to accept connections",
      stopSignal: "SIGINT",
      sharedMemoryNote: join(data, "postmaster.pid")
    })
  })
}

/** The server named by DATABASE_URL, which is used and never stopped, or a private one. */
export const postgres = async (options?: PostgresOptions): Promise<Server> => {
  const url = process.env["DATABASE_URL"]
  return url ? { url, stop: async () => undefined } : startPostgres(options)
}
