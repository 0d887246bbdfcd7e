/** `npm run bench -- NAME [--json]`: runs one benchmark and prints its figures. */
import { closeServers } from "../tools/servers/ServerProcess.ts"
import { print, type Report } from "./Report.ts"

const benches: Readonly<Record<string, () => Promise<{ readonly run: () => Promise<Report> }>>> = {
  heartbeats: () => import("./heartbeats.ts"),
  scheduler: () => import("./scheduler.ts"),
  start: () => import("./start.ts")
}

const args = process.argv.slice(2)
const json = args.includes("--json")
const names = args.filter((arg) => arg !== "--json")
const load = benches[names[0] ?? ""]

if (names.length !== 1 || load === undefined) {
  process.stderr.write(`usage: npm run bench -- NAME [--json]\nbenches: ${Object.keys(benches).join(", ")}\n`)
  process.exitCode = 2
} else {
  try {
    const bench = await load()
    print(await bench.run(), json)
  } finally {
    await closeServers()
  }
}
