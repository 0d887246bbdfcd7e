import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"

const docs = new URL("../../../docs/", import.meta.url)
const pages = ["library.md", "connectors/writing.md"].map((page) => readFileSync(new URL(page, docs), "utf8"))
const blocks = [...pages.join("\n").matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code)

describe("the documentation", () => {
  const examples = readdirSync(new URL("examples/", docs))

  it("shows every example", () => assert.isAbove(examples.length, 0))

  for (const example of examples) {
    // The examples are tests themselves, so what stands in the page compiles and runs.
    it(`shows ${example} as it is run`, () => {
      assert.include(blocks, readFileSync(new URL(`examples/${example}`, docs), "utf8"))
    })
  }
})
