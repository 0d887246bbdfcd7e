/**
 * The service mapping: which job types a worker type accepts, and which service, by which connector, runs each. This
 * file is the shape of `service-mapping.json`; whether its parts fit together is `MappingCheck`'s to say. Sources:
 * documents 000, 001 and 003.
 */
import { Schema } from "effect"
import { Name } from "../Identifier.ts"

/** A text that may hold variables: `${NAME}` is required, `${NAME:-default}` is not. */
const Template = Schema.String.check(Schema.isMaxLength(4_096))

const variableName = Schema.String.check(
  Schema.isPattern(/^[A-Za-z_][A-Za-z0-9_]*$/, { expected: "the name of an environment variable" })
)

/** What a job asks for in `service_required`, and the service that runs it. */
const JobTypeRoute = Schema.Struct({ job_service_required: Name, worker_service: Name })

/** The shapes of document 001, read for those who still have them. */
const OlderRoute = Schema.Union([Name, Schema.Struct({ job_type: Name, service: Name })])

export const WorkerTypeEntry = Schema.Struct({
  services: Schema.Array(Name),
  is_gpu_bound: Schema.optionalKey(Schema.Boolean),
  required_env: Schema.optionalKey(Schema.Array(variableName)),
  job_service_required_map: Schema.optionalKey(Schema.Array(JobTypeRoute)),
  job_types_accepted: Schema.optionalKey(Schema.Array(OlderRoute)),
  description: Schema.optionalKey(Schema.String)
})
export type WorkerTypeEntry = typeof WorkerTypeEntry.Type

export const ConnectorEntry = Schema.Struct({
  description: Schema.optionalKey(Schema.String),
  /** A module that is imported for a connector of one's own. */
  path: Schema.optionalKey(Schema.NonEmptyString)
})
export type ConnectorEntry = typeof ConnectorEntry.Type

/** The build stages of the images in `docker/`. */
export const buildStages = ["base", "api", "gpu", "comfyui", "a1111", "simulation"] as const

const Setting = Schema.Union([Template, Schema.Finite, Schema.Boolean])

export const ServiceEntry = Schema.Struct({
  connector: Name,
  /** `internal`: started and supervised on the machine; `external`: somebody else's API. */
  /** The examples of document 001 leave it out. */
  type: Schema.optionalKey(Schema.Literals(["internal", "external"])),
  /** How an internal one is started: a program and its arguments, never a line for a shell. */
  command: Schema.optionalKey(Schema.Union([Template, Schema.Array(Template)])),
  installer: Schema.optionalKey(Schema.NullOr(Schema.String)),
  installer_filename: Schema.optionalKey(Schema.NullOr(Schema.String)),
  is_gpu_bound: Schema.optionalKey(Schema.Boolean),
  build_stage: Schema.optionalKey(Schema.String),
  ports: Schema.optionalKey(Schema.Array(Schema.Union([Template, Schema.Finite]))),
  required_env: Schema.optionalKey(Schema.Array(variableName)),
  api_config: Schema.optionalKey(Schema.Record(Schema.String, Setting)),
  telemetry_logs: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        path: Template,
        name: Schema.optionalKey(Schema.String),
        description: Schema.optionalKey(Schema.String)
      })
    )
  ),
  job_types_accepted: Schema.optionalKey(Schema.Array(Name)),
  description: Schema.optionalKey(Schema.String)
})
export type ServiceEntry = typeof ServiceEntry.Type

export const ServiceMapping = Schema.Struct({
  workers: Schema.Record(Name, WorkerTypeEntry),
  connectors: Schema.optionalKey(Schema.Record(Name, ConnectorEntry)),
  services: Schema.Record(Name, ServiceEntry)
})
export type ServiceMapping = typeof ServiceMapping.Type
