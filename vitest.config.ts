import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const packages = fileURLToPath(new URL("./packages/", import.meta.url))

/** Tests run the sources, so that a failing line is the line one edits. */
const alias = [{ find: /^@muster\/([^/]+)\/(.+)$/, replacement: `${packages}$1/src/$2.ts` }]

/** For what hangs, and for nothing else: a machine may be slow, and busy with other things. */
const deadlines = { testTimeout: 120_000, hookTimeout: 120_000 }

export default defineConfig({
  test: {
    // Most of them wait for servers and processes most of the time.
    maxWorkers: Math.max(3, availableParallelism() - 1),
    teardownTimeout: 60_000,
    projects: [
      {
        resolve: { alias },
        test: {
          name: "unit",
          // Loading the modules anew for each file would take longer than running the tests.
          isolate: false,
          ...deadlines,
          include: ["{packages/*/test,docs/examples}/**/*.test.ts"],
          exclude: ["**/*.integration.test.ts"]
        }
      },
      {
        resolve: { alias },
        test: {
          name: "integration",
          include: ["{packages/*/test,tools/servers}/**/*.integration.test.ts"],
          globalSetup: ["tools/servers/globalSetup.ts"],
          ...deadlines
        }
      }
    ]
  }
})
