import { availableParallelism } from "node:os"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const packages = fileURLToPath(new URL("./packages/", import.meta.url))

/** Tests run the sources, so that a failing line is the line one edits. */
const alias = [{ find: /^@muster\/([^/]+)\/(.+)$/, replacement: `${packages}$1/src/$2.ts` }]

export default defineConfig({
  test: {
    // Most of them wait for servers and processes most of the time.
    maxWorkers: Math.max(3, availableParallelism() - 1),
    projects: [
      {
        resolve: { alias },
        test: {
          name: "unit",
          // Loading the modules anew for each file would take longer than running the tests.
          isolate: false,
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
          testTimeout: 30_000
        }
      }
    ]
  }
})
