/**
 * `node tools/completeLockfile.ts [--check]`: gives every optional package its entry in the lockfiles.
 *
 * npm leaves out the builds for other platforms that its registry did not offer while the lockfile was written, and
 * `npm ci` (11 and newer) then refuses the lockfile on every platform. An entry without a hash is enough: npm skips it
 * where it does not fit, and resolves it where it does.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { root } from "./ensure.ts"

interface Entry {
  readonly version?: string
  readonly dev?: true
  readonly optional?: true
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
  readonly libc?: ReadonlyArray<string>
  readonly optionalDependencies?: Record<string, string>
}

interface Lockfile {
  readonly packages: Record<string, Entry>
}

export const lockfiles = [join(root, "package-lock.json"), join(import.meta.dirname, "package-lock.json")]

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"]
const processors = ["arm", "arm64", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64"]

/** Packages of this kind are named after their platform, such as `@oxlint/binding-linux-x64-musl`. */
const entryFor = (name: string, version: string, needsDev: boolean): Entry => {
  const words = name.slice(name.indexOf("/") + 1).split("-")
  const pick = (known: ReadonlyArray<string>) => words.filter((word) => known.includes(word))
  const os = pick(systems)
  const cpu = pick(processors)
  const musl = words.some((word) => word.startsWith("musl"))
  const glibc = words.some((word) => word.startsWith("gnu"))
  return {
    version,
    ...(cpu.length > 0 && { cpu }),
    ...(needsDev && { dev: true }),
    ...(os.includes("linux") && (musl || glibc) && { libc: [musl ? "musl" : "glibc"] }),
    optional: true,
    ...(os.length > 0 && { os })
  }
}

/** The optional packages that have no entry, with the entry they need. Only exact versions can be completed. */
export const missingEntries = (lockfile: Lockfile): ReadonlyArray<readonly [path: string, entry: Entry]> =>
  Object.entries(lockfile.packages).flatMap(([, { dev, optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies).flatMap(([name, version]) => {
      const path = `node_modules/${name}`
      if (path in lockfile.packages || !/^\d/.test(version)) return []
      return [[path, entryFor(name, version, dev === true)] as const]
    })
  )

if (import.meta.main) {
  const isCheck = process.argv.includes("--check")
  for (const file of lockfiles) {
    const lockfile = JSON.parse(readFileSync(file, "utf8")) as Lockfile
    const missing = missingEntries(lockfile)
    if (missing.length === 0) continue
    console.log(`${relative(root, file)}: ${missing.length} optional packages ${isCheck ? "have no entry" : "added"}`)
    if (isCheck) {
      console.log("run: node tools/completeLockfile.ts")
      process.exitCode = 1
      continue
    }
    const entries = [...Object.entries(lockfile.packages), ...missing].toSorted(([a], [b]) => a.localeCompare(b, "en"))
    writeFileSync(file, `${JSON.stringify({ ...lockfile, packages: Object.fromEntries(entries) }, null, 2)}\n`)
  }
}
