/** The jobs of docs/connectors/openai.md can be pasted, and its variables are those that the connectors read. */
import { connectors } from "@muster/connectors/Registry"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { services } from "./ConnectorSuite.ts"
import { run } from "./openaiService.ts"

const page = readFileSync(join(import.meta.dirname, "../../../docs/connectors/openai.md"), "utf8")

interface PastedJob {
  readonly service_required: string
  readonly payload: unknown
}

const jobs = [...page.matchAll(/(?:```json\n|-d ')(\{\s*"service_required"[\s\S]*?)(?:\n```|')/g)].map(
  ([, text = ""]) => JSON.parse(text) as PastedJob
)

/** Job type → connector, as the table of the page says. */
const connectorFor = new Map(
  [...page.matchAll(/^\| `(openai_\w+)` \| `(\w+)`/gm)].map(([, type = "", name]) => [
    type,
    connectors.find(({ connector }) => connector.name === name)!.connector
  ])
)

describe("docs/connectors/openai.md", () => {
  it("has a job for each job type", () => {
    assert.isAbove(connectorFor.size, 0)
    assert.sameMembers(
      jobs.map(({ service_required }) => service_required),
      [...connectorFor.keys()]
    )
  })

  for (const { payload, service_required } of jobs) {
    it.live(`the job of ${service_required} runs`, () =>
      Effect.gen(function* () {
        // The model that the page tells to set.
        const environment = { OPENAI_IMAGE_MODEL: "gpt-image-2.5-flare" }
        const { result } = yield* run(connectorFor.get(service_required)!, payload, { environment })
        yield* Effect.fromResult(result)
      }).pipe(Effect.scoped, Effect.provide(services))
    )
  }

  it("names every variable, with its default", () => {
    for (const { connector } of connectors.filter(({ connector }) => connector.name.startsWith("OpenAI"))) {
      for (const [name, template] of Object.entries(connector.variables)) {
        assert.include(page, `\`${name}\``)
        const preset = /:-(.+)\}$/.exec(template)?.[1]
        if (preset !== undefined) assert.include(page, `\`${preset}\``, name)
      }
    }
  })
})
