/** `npm run bench -- NAME [--json] [--FLAG NUMBER ...]`: runs one benchmark and prints its figures. */
import { parseArgs } from "node:util"
import { closeServers } from "../tools/servers/ServerProcess.ts"
import { print, type Report } from "./Report.ts"

/** The sizes that a bench can be given, with their defaults. */
type Flags = Readonly<Record<string, number>>

interface Bench {
  readonly flags?: Flags
  // Each bench names its own flags; they are filled in below.
  readonly run: (flags: never) => Promise<Report>
}

const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  archive: () => import("./archive.ts"),
  claims: () => import("./claims.ts"),
  classes: () => import("./classes.ts"),
  comfyui: () => import("./comfyui.ts"),
  dispatch: () => import("./dispatch.ts"),
  explain: () => import("./explain.ts"),
  events: () => import("./events.ts"),
  heartbeats: () => import("./heartbeats.ts"),
  memory: () => import("./memory.ts"),
  openai: () => import("./openai.ts"),
  scheduler: () => import("./scheduler.ts"),
  start: () => import("./start.ts"),
  throughput: () => import("./throughput.ts")
}

const refuse = (detail: string) => {
  process.stderr.write(`${detail}\n`)
  process.exitCode = 2
}

/** The flags of a bench, as far as they were given; undefined when they are wrong, which has been said then. */
const flagsFor = (name: string, { flags = {} }: Bench, args: ReadonlyArray<string>) => {
  const known = Object.keys(flags)
  const usage = `usage: npm run bench -- ${[name, "[--json]", ...known.map((flag) => `[--${flag} ${flags[flag]}]`)].join(" ")}`
  try {
    const options = Object.fromEntries(known.map((flag) => [flag, { type: "string" as const }]))
    const { values } = parseArgs({ args: [...args], options: { ...options, json: { type: "boolean" } } })
    const said = Object.entries(values).flatMap(([flag, value]) =>
      typeof value === "string" ? [[flag, Number(value)] as const] : []
    )
    if (said.every(([, number]) => Number.isInteger(number) && number > 0)) {
      return { flags: { ...flags, ...Object.fromEntries(said) }, json: values["json"] === true }
    }
    return refuse(usage)
  } catch {
    return refuse(usage)
  }
}

const [name = "", ...args] = process.argv.slice(2)
const load = benches[name]

if (load === undefined) {
  refuse(`usage: npm run bench -- NAME [--json]\nbenches: ${Object.keys(benches).join(", ")}`)
} else {
  const bench = await load()
  const asked = flagsFor(name, bench, args)
  try {
    if (asked !== undefined) print(await bench.run(asked.flags as never), asked.json)
  } finally {
    await closeServers()
  }
}
