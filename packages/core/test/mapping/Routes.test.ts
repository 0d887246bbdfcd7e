/** Where job types lead, and which variables that needs. */
import * as MappingFile from "@muster/core/mapping/MappingFile"
import * as MappingVariables from "@muster/core/mapping/MappingVariables"
import * as RouteExplanation from "@muster/core/mapping/RouteExplanation"
import { sentence } from "@muster/core/mapping/Finding"
import type { ServiceMapping } from "@muster/core/mapping/ServiceMapping"
import { describe, expect, it } from "vitest"

const mappingOf = (document: unknown): ServiceMapping => {
  const { findings, mapping } = MappingFile.decode(document)
  expect(findings).toEqual([])
  return mapping!
}

const document = {
  workers: {
    simulation: {
      services: ["simulationx"],
      job_service_required_map: [{ job_service_required: "simulation", worker_service: "simulationx" }]
    },
    openai: {
      services: ["openai-text", "gone"],
      required_env: ["OPENAI_API_KEY", "MODEL", "WITH_DEFAULT"],
      job_service_required_map: [
        { job_service_required: "openai_text", worker_service: "openai-text" },
        { job_service_required: "openai_gone", worker_service: "gone" }
      ]
    }
  },
  services: {
    simulationx: { connector: "SimulationConnector", type: "internal" },
    "openai-text": {
      connector: "OpenAITextConnector",
      type: "external",
      required_env: ["MODEL"],
      api_config: { key: "${OPENAI_API_KEY}", other: "${OTHER}/${WITH_DEFAULT:-x}", tries: 3 }
    }
  }
}
const connectors = new Set(["SimulationConnector"])

describe("a job type", () => {
  const explain = (jobType: string) => RouteExplanation.explain(mappingOf(document), jobType, connectors)

  it("leads to a connector", () => {
    expect(explain("simulation")).toEqual({
      job_type: "simulation",
      routes: [
        {
          worker: "simulation",
          path: "workers.simulation.job_service_required_map[0]",
          service: "simulationx",
          connector: "SimulationConnector",
          broken: null
        }
      ],
      hints: []
    })
  })

  it("breaks where a layer is missing", () => {
    expect(explain("openai_text").routes[0]?.broken).toBe("there is no connector OpenAITextConnector")
    expect(explain("openai_gone").routes[0]?.broken).toBe("there is no service gone")
  })

  it("that nobody accepts is told what may have been meant", () => {
    expect(explain("simulationx").hints).toEqual([
      'no worker type accepts "simulationx"',
      '"simulationx" is the name of a service; jobs reach it by "simulation"'
    ])
    expect(explain("openai-txt").hints).toEqual([
      'no worker type accepts "openai-txt"',
      'did you mean "openai_text", accepted by worker type openai?'
    ])
    expect(explain("toString").routes).toEqual([])
  })
})

describe("variables", () => {
  const variables = (connector: string): Record<string, string> =>
    connector === "OpenAITextConnector" ? { MODEL: "${MODEL:-gpt}", SECRET: "${SECRET}" } : {}
  const missing = (worker: string, environment: Record<string, string>) =>
    MappingVariables.missing(mappingOf(document), worker, variables, environment).map(sentence)

  it("that are not set are found, each once; one with a default anywhere is not missing", () => {
    expect(missing("openai", {})).toEqual([
      "workers.openai.required_env[0]: OPENAI_API_KEY is not set",
      "services.openai-text.api_config.other: OTHER is not set",
      "services.openai-text.connector: OpenAITextConnector needs SECRET"
    ])
  })

  it("an empty one is not set", () => {
    expect(missing("openai", { OPENAI_API_KEY: "", OTHER: "o", SECRET: "s" })).toEqual([
      "workers.openai.required_env[0]: OPENAI_API_KEY is not set"
    ])
  })

  it("that a service fills in itself are not asked for", () => {
    const service = document.services["openai-text"]
    const own = {
      ...document,
      services: { "openai-text": { ...service, api_config: { SECRET: "${TEAM_SECRET}", MODEL: "fixed" } } }
    }
    const missing = (environment: Record<string, string>) =>
      MappingVariables.missing(mappingOf(own), "openai", variables, environment).map(sentence)
    expect(missing({ OPENAI_API_KEY: "k", WITH_DEFAULT: "w", MODEL: "m" })).toEqual([
      "services.openai-text.api_config.SECRET: TEAM_SECRET is not set"
    ])
    expect(missing({ OPENAI_API_KEY: "k", WITH_DEFAULT: "w", MODEL: "m", TEAM_SECRET: "t" })).toEqual([])
  })

  it("are asked of the worker types that run only", () => {
    expect(missing("simulation", {})).toEqual([])
    expect(missing("nobody", {})).toEqual([])
  })
})
