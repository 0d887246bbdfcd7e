/** `npm run lint`: format, oxlint (the layers too), types, the Effect rules, lockfiles, and Lua where luacheck is there. */
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { ensureTools, root } from "./ensure.ts"

const project = join(root, "tsconfig.check.json")

/** Rules of `effect-tsgo` that must hold in the product; style/naming rules do not bind tests and scripts. */
const effectRules = {
  diagnosticSeverity: {
    deterministicKeys: "error",
    duplicatePackage: "error",
    floatingEffect: "error",
    globalDateInEffect: "error",
    leakingRequirements: "error",
    missingReturnYieldStar: "error",
    outdatedApi: "error",
    processEnv: "error",
    processEnvInEffect: "error"
  },
  overrides: [
    {
      include: ["bench/**/*.ts", "lua/**/*.ts", "tools/**/*.ts", "packages/*/test/**/*.ts"],
      options: {
        diagnosticSeverity: {
          deterministicKeys: "off",
          globalDateInEffect: "off",
          processEnv: "off",
          processEnvInEffect: "off"
        }
      }
    }
  ]
}

const bin = (name: string) => join(root, "node_modules", ".bin", name)
const tool = (name: string) => join(root, "tools", "node_modules", ".bin", name)

/** Whether the command ran and had nothing to say against the sources. */
const passes = (title: string, file: string, args: ReadonlyArray<string>): boolean => {
  const { error, status } = spawnSync(file, args, { cwd: root, stdio: "inherit" })
  if (error !== undefined) console.error(String(error))
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${title}`)
  return status === 0
}

const lua = (): boolean => {
  if (!existsSync(join(root, "lua"))) return true
  if (spawnSync("luacheck", ["--version"]).status !== 0) {
    console.log("not run: luacheck is not on the PATH (Debian: apt-get install lua-check)")
    return true
  }
  const globals = ["--globals", "redis", "cjson", "cmsgpack", "bit"]
  return passes("luacheck", "luacheck", [
    "--std",
    "lua51",
    "--quiet",
    "--max-line-length",
    "120",
    ...globals,
    "--",
    "lua"
  ])
}

ensureTools()
const results = [
  passes("format (oxfmt; `npm run format` repairs it)", bin("oxfmt"), ["--check"]),
  passes("oxlint", bin("oxlint"), ["--deny-warnings"]),
  passes("types", bin("tsc"), ["-p", project]),
  passes("effect-tsgo", tool("effect-tsgo"), [
    "diagnostics",
    ...["--project", project, "--format", "text", "--severity", "error", "--strict"],
    ...["--lspconfig", JSON.stringify(effectRules)]
  ]),
  passes("lockfiles", process.execPath, [join(root, "tools", "completeLockfile.ts"), "--check"]),
  passes("generated function library (`node lua/build.ts` repairs it)", process.execPath, [
    join(root, "lua", "build.ts"),
    "--check"
  ]),
  lua()
]
process.exitCode = results.every(Boolean) ? 0 : 1
