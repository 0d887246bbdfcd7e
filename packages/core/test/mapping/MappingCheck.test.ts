/** What is found wrong with a mapping: the defects of document 001 among others, each with its path. */
import { readFileSync } from "node:fs"
import * as MappingCheck from "@muster/core/mapping/MappingCheck"
import * as MappingFile from "@muster/core/mapping/MappingFile"
import { sentence } from "@muster/core/mapping/Finding"
import { describe, expect, it } from "vitest"

const builtIn = new Set(["SimulationConnector", "SimulationHttpConnector", "OpenAITextConnector"])

const findings = (document: unknown) => MappingCheck.check(MappingFile.decode(document), builtIn)
const errors = (document: unknown) =>
  findings(document)
    .filter(({ severity }) => severity === "error")
    .map(sentence)
const warnings = (document: unknown) =>
  findings(document)
    .filter(({ severity }) => severity === "warning")
    .map(sentence)

const worker = (services: ReadonlyArray<string>, map: ReadonlyArray<readonly [string, string]>) => ({
  services,
  job_service_required_map: map.map(([job_service_required, worker_service]) => ({
    job_service_required,
    worker_service
  }))
})
const service = { connector: "SimulationConnector", type: "internal" }
const sound = {
  workers: { simulation: worker(["simulation"], [["simulation", "simulation"]]) },
  services: { simulation: service }
}

describe("a mapping", () => {
  it("that fits has nothing wrong", () => {
    expect(findings(sound)).toEqual([])
  })

  it("of the product has nothing wrong, and reaches every connector", () => {
    const path = new URL("../../../../service-mapping.json", import.meta.url)
    const read = MappingFile.decode(JSON.parse(readFileSync(path, "utf8")))
    const connectors = new Set(Object.keys(read.mapping?.connectors ?? {}))
    expect(MappingCheck.check(read, connectors)).toEqual([])
    const reached = new Set(Object.values(read.mapping?.services ?? {}).map(({ connector }) => connector))
    expect(connectors).toEqual(reached)
  })
})

describe("the defects of document 001", () => {
  const asWritten = {
    workers: {
      simulation: {
        services: ["simulationx"],
        job_types_accepted: [
          { job_type: "simulation123", service: "simulationx" },
          { job_type: "simulationxyz", service: "simulationx" }
        ]
      }
    },
    services: {
      simulationx: { connector: "SimulationHttpConnector", job_types_accepted: ["simulation"] }
    }
  }

  it("jobs ask for what the service accepts, and no worker type accepts it", () => {
    expect(errors(asWritten)).toEqual([
      "services.simulationx.job_types_accepted[0]: no worker type that has simulationx accepts simulation: " +
        "simulation accepts simulation123, simulationxyz; did you mean simulation123?; " +
        "a job that asks for it waits for ever"
    ])
  })

  it("the older shapes are read, and said to be older", () => {
    expect(warnings(asWritten)).toEqual([
      "workers.simulation: an older shape: write its job types as job_service_required_map",
      "services.simulationx.job_types_accepted: an older shape: the job types of workers decide, in job_service_required_map",
      "services.simulationx: says no type: internal, or external"
    ])
  })

  it("the repair it recommends has no errors", () => {
    const repaired = {
      workers: { simulation: { services: ["simulation"] } },
      services: { simulation: { connector: "SimulationHttpConnector", job_types_accepted: ["simulation"] } }
    }
    expect(errors(repaired)).toEqual([])
  })

  it("the name of a service stands where a job type belongs, and the service asks for another", () => {
    const document = {
      workers: { simulation: worker(["simulationx"], [["simulationx", "simulationx"]]) },
      services: { simulationx: { ...service, job_types_accepted: ["simulation"] } }
    }
    expect(errors(document)[0]).toBe(
      "workers.simulation.job_service_required_map[0]: simulationx is the name of a service, and jobs ask for " +
        "simulation: a job type belongs here, or they wait for ever"
    )
  })

  it("the same, and another worker type asks for the type", () => {
    const document = {
      workers: {
        one: worker(["openai-text"], [["openai-text", "openai-text"]]),
        two: worker(["openai-text"], [["openai_text", "openai-text"]])
      },
      services: { "openai-text": { connector: "OpenAITextConnector", type: "external" } }
    }
    expect(errors(document)).toEqual([
      "workers.one.job_service_required_map[0]: openai-text is the name of a service, and jobs ask for openai_text: " +
        "a job type belongs here, or they wait for ever"
    ])
  })

  it("a worker type that only names services accepts nothing", () => {
    const document = { ...sound, workers: { simulation: { services: ["simulation"] } } }
    expect(errors(document)).toEqual([
      "workers.simulation: accepts no job type (the names of its services, simulation, are none): " +
        "say which in job_service_required_map"
    ])
  })

  it("option A of the document, equal names everywhere, works and is older", () => {
    const document = {
      workers: { simulation: { services: ["simulation"] } },
      services: {
        simulation: {
          ...service,
          connector: "SimulationHttpConnector",
          job_types_accepted: ["simulation", "sim", "test"]
        }
      }
    }
    expect(errors(document)).toEqual([])
    expect(warnings(document)).toHaveLength(2)
  })
})

describe("what does not fit together", () => {
  it("services that are not there, with what was meant", () => {
    const document = {
      workers: { w: worker(["simulatoin"], [["simulation", "simulation_1"]]) },
      services: { simulation: service }
    }
    expect(errors(document)).toEqual([
      "workers.w.services[0]: there is no service simulatoin; did you mean simulation?",
      "workers.w.job_service_required_map[0]: there is no service simulation_1; did you mean simulation?"
    ])
  })

  it("a service that is there and not the worker's", () => {
    const document = {
      workers: { w: worker(["a"], [["type", "b"]]) },
      services: { a: service, b: service }
    }
    expect(errors(document)).toEqual(["workers.w.job_service_required_map[0]: b is not among the services of w"])
  })

  it("connectors that are not there, and own ones without a path", () => {
    const document = {
      workers: {
        w: worker(
          ["a", "b"],
          [
            ["x", "a"],
            ["y", "b"]
          ]
        )
      },
      connectors: { OwnConnector: {} },
      services: { a: { ...service, connector: "SimulationConector" }, b: { ...service, connector: "OwnConnector" } }
    }
    expect(errors(document)).toEqual([
      "services.a.connector: there is no connector SimulationConector; did you mean SimulationConnector?",
      "connectors.OwnConnector: is not built in, so it needs the path of its module"
    ])
  })

  it("a job type mapped twice within one worker type; another one may map it too", () => {
    const twice = worker(
      ["simulation"],
      [
        ["s", "simulation"],
        ["s", "simulation"]
      ]
    )
    expect(errors({ ...sound, workers: { w: twice } })).toEqual([
      "workers.w.job_service_required_map[1]: s is mapped twice within w, " +
        "the first time at workers.w.job_service_required_map[0]"
    ])
    const once = worker(["simulation"], [["s", "simulation"]])
    expect(errors({ ...sound, workers: { w: once, v: once } })).toEqual([])
  })

  it("variables that are none: open ones, and those inside others, which could go round in a circle", () => {
    const wrong = "a variable is ${NAME} or ${NAME:-default}, with no other one inside it"
    const api_config = { A: "${B:-${A}}", B: "x${", C: "${a b}", D: "${D}/${E:-f}", F: "$X {}" }
    const document = {
      ...sound,
      services: { simulation: { ...service, api_config, command: ["run", "--port=${PORT"] } }
    }
    const places = ["api_config.A", "api_config.B", "api_config.C", "command[1]"]
    expect(errors(document).toSorted()).toEqual(places.map((place) => `services.simulation.${place}: ${wrong}`))
  })

  it("ports that are none, and ports that clash", () => {
    const ported = (...ports: ReadonlyArray<unknown>) => ({ ...service, ports })
    const document = {
      workers: {
        w: worker(
          ["a", "b"],
          [
            ["x", "a"],
            ["y", "b"]
          ]
        )
      },
      services: { a: ported("${PORT:-8188}", "70000", "http"), b: ported(8188, "${OTHER}") }
    }
    expect(errors(document)).toEqual([
      'services.a.ports[1]: "70000" is no port: a whole number from 1 to 65535',
      'services.a.ports[2]: "http" is no port: a whole number from 1 to 65535',
      "services.b.ports[0]: port 8188 is taken by services.a.ports[0]"
    ])
  })

  it("an unknown build stage, an unused service, a path that is not read", () => {
    const document = {
      ...sound,
      connectors: { SimulationConnector: { path: "./redis-direct-worker.js" } },
      services: { ...sound.services, spare: { ...service, build_stage: "bas" } }
    }
    expect(errors(document)).toEqual([
      "services.spare.build_stage: there is no build stage bas; did you mean base?; " +
        "known: base, api, gpu, comfyui, a1111, simulation"
    ])
    expect(warnings(document)).toEqual([
      "connectors.SimulationConnector.path: not read: SimulationConnector is built in",
      "services.spare: no worker type uses it"
    ])
  })
})

describe("the form of a file", () => {
  const of = (text: string) => MappingCheck.check(MappingFile.decode(JSON.parse(text)), builtIn).map(sentence)

  it.each(["[]", "1", "null", '"x"'])("%s is no mapping", (text) => {
    expect(of(text)).toEqual(["the mapping must be an object with workers and services"])
  })

  it("says everything at once, and does not call missing what is only wrong", () => {
    const text = JSON.stringify({
      worker: {},
      workers: { w: { ...worker(["a"], [["x", "a"]]), service: [] }, "no name!": { services: [] } },
      services: { a: { connector: "SimulationConnector", type: "intern", port: [] } }
    })
    expect(of(text)).toEqual([
      "worker: unknown section; did you mean workers?",
      "workers.w.service: Unknown field; did you mean services?",
      expect.stringMatching(/^workers\["no name!"\]: the name: Expected letters, digits/),
      "services.a.port: Unknown field; did you mean ports?",
      'services.a.type: Expected "internal" | "external"'
    ])
  })

  it("finds sections that are missing or no objects", () => {
    expect(of('{"services": []}')).toEqual([
      "workers: missing",
      "services: must be an object, one member for each name"
    ])
  })

  it("keys that every object has are names like others", () => {
    expect(of('{"workers": {"constructor": {"services": ["toString"]}}, "services": {}}')).toEqual([
      expect.stringContaining("workers.constructor: accepts no job type"),
      "workers.constructor.services[0]: there is no service toString"
    ])
  })
})
