/** A real aimock for tests: a double of OpenAI that others made, on a free loopback port, with fixtures of a test. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { root } from "../ensure.ts"
import { freshFolder, type OwnServer, start } from "./ServerProcess.ts"

const program = join(root, "tools", "node_modules", "@copilotkit", "aimock", "dist", "cli.js")

/** What it answers to what; see the type FixtureFileEntry of the package. */
export interface Fixture {
  readonly match: Readonly<Record<string, unknown>>
  readonly response: Readonly<Record<string, unknown>>
  /** Between two parts of a stream, in ms. */
  readonly latency?: number
  /** Of a part, in characters. */
  readonly chunkSize?: number
}

export const startAimock = async (fixtures: ReadonlyArray<Fixture>): Promise<OwnServer> => {
  const folder = await freshFolder("aimock")
  const file = join(folder, "fixtures.json")
  await writeFile(file, JSON.stringify({ fixtures }))
  return start({
    folder,
    url: (port) => `http://127.0.0.1:${port}`,
    command: (port) => ({
      file: process.execPath,
      args: [program, "--host", "127.0.0.1", "--port", String(port), "--fixtures", file],
      ready: "aimock server listening",
      stopSignal: "SIGTERM"
    })
  })
}
