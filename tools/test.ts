/**
 * `npm test [-- arguments of vitest]`: builds, runs every test, and says the outcome alone on the last line.
 *
 * Vitest runs inside this process, so that killing it kills the run (and with it, through the keeper, the servers).
 */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { parseCLI, startVitest, type Vitest } from "vitest/node"
import { ensureTools, root } from "./ensure.ts"

interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** A file or a hook that failed outside of any test, and an error nobody caught, count as one failure each. */
const outcomeOf = (vitest: Vitest): Outcome => {
  const modules = vitest.state.getTestModules()
  const tests = modules.flatMap((module) => [...module.children.allTests()])
  const count = (state: string) => tests.filter((test) => test.result().state === state).length
  const brokenModules = modules.filter(
    (module) => module.state() === "failed" && [...module.children.allTests("failed")].length === 0
  )
  return {
    passed: count("passed"),
    failed: count("failed") + brokenModules.length + vitest.state.getUnhandledErrors().length,
    skipped: tests.length - count("passed") - count("failed")
  }
}

const finish = ({ failed, passed, skipped }: Outcome): never => {
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`)
  process.exit(failed === 0 && passed > 0 ? 0 : 1)
}

const refuse = (reason: string): never => {
  console.error(reason)
  return finish({ passed: 0, failed: 1, skipped: 0 })
}

const build = () => {
  const { status } = spawnSync(join(root, "node_modules", ".bin", "tsc"), ["-b"], { cwd: root, stdio: "inherit" })
  if (status !== 0) refuse("the build failed, so no test was run")
}

process.chdir(root)
ensureTools()
build()
const { filter, options } = parseCLI(["vitest", "run", ...process.argv.slice(2)])
const vitest = await startVitest(filter, { ...options, run: true, watch: false }).catch((error: unknown) =>
  refuse(`vitest could not run: ${error instanceof Error ? error.stack : String(error)}`)
)
await vitest.close()
const outcome = outcomeOf(vitest)
if (outcome.passed + outcome.failed === 0) console.error("no test was run, which counts as a failure")
// Vitest may have failed with no test to blame: no file found, or servers that could not be started.
finish(process.exitCode ? { ...outcome, failed: Math.max(outcome.failed, 1) } : outcome)
