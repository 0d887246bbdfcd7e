/** The pages of docs/connectors tell every connector, the job types that lead to it, its variables and their defaults. */
import { connectors } from "@muster/connectors/Registry"
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(import.meta.dirname, "../../..")
const folder = join(root, "docs/connectors")
const pages = readdirSync(folder).map((name) => ({ name, text: readFileSync(join(folder, name), "utf8") }))

interface Shipped {
  readonly workers: Readonly<
    Record<
      string,
      {
        readonly job_service_required_map: ReadonlyArray<{
          readonly job_service_required: string
          readonly worker_service: string
        }>
      }
    >
  >
  readonly services: Readonly<Record<string, { readonly connector: string }>>
}

const { services, workers } = JSON.parse(readFileSync(join(root, "service-mapping.json"), "utf8")) as Shipped

const jobTypesOf = (connector: string): ReadonlyArray<string> =>
  Object.values(workers)
    .flatMap(({ job_service_required_map }) => job_service_required_map)
    .flatMap(({ job_service_required, worker_service }) =>
      services[worker_service]?.connector === connector ? [job_service_required] : []
    )

describe("docs/connectors", () => {
  for (const { connector } of connectors) {
    it(`tells ${connector.name}`, () => {
      const page = pages.find(({ name, text }) => name !== "writing.md" && text.includes(connector.name))
      assert(page, connector.name)
      for (const [variable, template] of Object.entries(connector.variables)) {
        const rows = page.text.split("\n").filter((line) => line.startsWith("|") && line.includes(`\`${variable}\``))
        assert.isNotEmpty(rows, `${page.name} has no row for ${variable}`)
        const preset = /:-(.+)\}$/.exec(template)?.[1] ?? ""
        assert(
          rows.some((row) => row.includes(preset)),
          `${page.name}: ${variable} is ${preset} if nobody says it`
        )
      }
      for (const type of jobTypesOf(connector.name)) {
        assert.include(page.text, `"service_required": "${type}"`, page.name)
      }
    })
  }

  it("prints jobs that are JSON", () => {
    const jobs = pages.flatMap(({ text }) => [
      ...text.matchAll(/(?:```json\n|-d ')(\{\s*"service_required"[\s\S]*?)(?:\n```|')/g)
    ])
    assert.isAtLeast(jobs.length, 12)
    for (const [, text = ""] of jobs) assert.containsAllKeys(JSON.parse(text), ["service_required", "payload"])
  })
})
