/**
 * A worker: a process that claims jobs. This file is its record in the registry and the rules that need nothing
 * but that record. Fields are spelled as on the wire, in SQL and in the documents: one name for one thing.
 */
import { Schema } from "effect"
import { ConnectorReport, takesJobs } from "../connector/ConnectorReport.ts"
import { identifier, Name } from "../Identifier.ts"

export const WorkerId = identifier(200).pipe(Schema.brand("WorkerId"))
export type WorkerId = typeof WorkerId.Type

export const WorkerStatus = Schema.Literals(["pending", "active", "offline"])
export type WorkerStatus = typeof WorkerStatus.Type

/** What a worker is doing; separate from its status, which only says whether it lives. */
export const Occupancy = Schema.Literals(["idle", "busy", "paused", "draining"])
export type Occupancy = typeof Occupancy.Type

/** What an operator wants of a worker: a paused or draining one is given no more jobs until it is open again. */
export const WorkerStanding = Schema.Literals(["open", "paused", "draining"])
export type WorkerStanding = typeof WorkerStanding.Type

/** How many jobs a worker may hold at once. */
export const Capacity = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))

const amount = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))
/** One value of a label. */
export const label = Schema.Union([Schema.String.check(Schema.isMaxLength(256)), Schema.Finite, Schema.Boolean])
export const modelName = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(256))
export const atMost = (maximum: number, what: string) =>
  Schema.isMaxLength(maximum, { expected: `at most ${maximum} ${what}` })

/** What the machine of a worker has; `gpu_memory_gb` is of the smallest GPU the worker may use. */
export const Hardware = Schema.Struct({
  gpu_count: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_024 }))),
  gpu_memory_gb: Schema.optionalKey(amount),
  cpu_cores: Schema.optionalKey(amount),
  ram_gb: Schema.optionalKey(amount)
})
export type Hardware = typeof Hardware.Type

/**
 * The same in whole numbers, rounded down: measured figures differ by a few bytes from machine to machine, and each
 * would be a kind of its own. Source: broker rule 13.
 */
export const inWholeNumbers = (hardware: Hardware): Hardware =>
  Object.fromEntries(Object.entries(hardware).map(([name, amount]) => [name, Math.floor(amount)]))

/** What a worker offers. Job types are what jobs ask for in `service_required`, never names of internal services. */
export const Capabilities = Schema.Struct({
  job_types: Schema.Array(Name).check(atMost(1_000, "job types")),
  hardware: Schema.optionalKey(Hardware),
  models: Schema.optionalKey(Schema.Array(modelName).check(atMost(10_000, "models"))),
  labels: Schema.optionalKey(
    Schema.Record(Name, Schema.Union([label, Schema.Array(label).check(atMost(100, "values"))])).check(
      Schema.isMaxProperties(200, { expected: "at most 200 labels" })
    )
  ),
  /** Whose jobs it takes. A denied customer's never; with an `allow` list, only those of its members. */
  customers: Schema.optionalKey(
    Schema.Struct({
      isolation: Schema.optionalKey(Schema.Literals(["strict", "loose", "none"])),
      allow: Schema.optionalKey(Schema.Array(Name).check(atMost(1_000, "customers"))),
      deny: Schema.optionalKey(Schema.Array(Name).check(atMost(1_000, "customers")))
    })
  ),
  /** The only workflow it takes jobs of. */
  workflow_id: Schema.optionalKey(Name)
})
export type Capabilities = typeof Capabilities.Type

/** What a worker says about the process it is; the documents call it metadata. */
export const WorkerMetadata = Schema.Struct({
  machine_id: Schema.optionalKey(Name),
  worker_type: Schema.optionalKey(Name),
  process_name: Schema.optionalKey(Name)
})
export type WorkerMetadata = typeof WorkerMetadata.Type

/** One run of a worker process: two processes under one worker id differ in it. */
export const InstanceId = identifier(200)

const offer = {
  region: Name,
  capacity: Capacity,
  capabilities: Capabilities
}

/** How the connectors of a worker are, as it says itself. */
const connectors = Schema.Array(ConnectorReport).check(atMost(100, "connectors"))

/** What a worker sends to be registered. Without capabilities it accepts no job type until it says so. */
export const WorkerRegistration = Schema.Struct({
  id: WorkerId,
  region: Name,
  capacity: Capacity,
  capabilities: Schema.optionalKey(Capabilities),
  connectors: Schema.optionalKey(connectors),
  metadata: Schema.optionalKey(WorkerMetadata),
  instance_id: Schema.optionalKey(InstanceId)
})
export type WorkerRegistration = typeof WorkerRegistration.Type

/** What a worker sends when it comes back under its id, or when its offer changes. */
export const WorkerUpdate = Schema.Struct({
  ...offer,
  instance_id: InstanceId,
  /** Without it nothing is known of them, whatever was said before. */
  connectors: Schema.optionalKey(connectors),
  /** Takes the place of all that was said before; without it that stays. */
  metadata: Schema.optionalKey(WorkerMetadata),
  /** The instance this one knows to be gone, as a process on the same host can: it is replaced however lately it beat. */
  replaces: Schema.optionalKey(InstanceId)
})
export type WorkerUpdate = typeof WorkerUpdate.Type

const record = {
  id: WorkerId,
  ...offer,
  machine_id: Schema.NullOr(Name),
  worker_type: Schema.NullOr(Name),
  process_name: Schema.NullOr(Name),
  instance_id: Schema.NullOr(InstanceId),
  /** Job types the worker accepts but cannot run now, because their connector is unhealthy. */
  unhealthy_job_types: Schema.Array(Name),
  /** How its connectors are; none while it has not said. */
  connectors
}

/**
 * A worker about to be stored. The store adds the status and, by its own clock, the times; a new worker stands open, and
 * one that is stored again stands as before.
 */
export const NewWorker = Schema.Struct(record)
export type NewWorker = typeof NewWorker.Type

const successors: Record<WorkerStatus, ReadonlyArray<WorkerStatus>> = {
  pending: ["active", "offline"],
  active: ["offline"],
  offline: ["active"]
}

/** The statuses from which `to` can be reached. */
export const predecessors = (to: WorkerStatus): ReadonlyArray<WorkerStatus> =>
  WorkerStatus.literals.filter((from) => successors[from].includes(to))

export class Worker extends Schema.Class<Worker>("@muster/core/worker/Worker")({
  ...record,
  standing: WorkerStanding,
  status: WorkerStatus,
  registered_at: Schema.DateTimeUtc,
  status_changed_at: Schema.DateTimeUtc
}) {
  /** Whether the table of transitions has an arrow from this worker's status to `status`. */
  canBecome(status: WorkerStatus): boolean {
    return successors[this.status].includes(status)
  }
}

/** A worker with what the registry record alone does not know. What the queue knows is null while that is away. */
export const WorkerWithMetadata = Schema.Struct({
  ...Worker.fields,
  last_heartbeat_at: Schema.NullOr(Schema.DateTimeUtc),
  occupancy: Schema.NullOr(Occupancy),
  current_jobs: Schema.NullOr(Schema.Array(Schema.String))
})
export type WorkerWithMetadata = typeof WorkerWithMetadata.Type

/** Who says how much memory its GPUs have, and not how many there are, has one. */
const hasGpu = ({ hardware = {} }: Capabilities): boolean =>
  (hardware.gpu_count ?? Math.ceil(hardware.gpu_memory_gb ?? 0)) > 0

/**
 * What a worker offers as the registry keeps it: hardware in whole numbers, and the labels that every worker has without
 * being asked for them; what the worker says itself goes first.
 */
const asKept = (capabilities: Capabilities, about: { readonly region: string } & WorkerMetadata): Capabilities => ({
  ...capabilities,
  ...(capabilities.hardware === undefined ? {} : { hardware: inWholeNumbers(capabilities.hardware) }),
  labels: {
    machine_type: hasGpu(capabilities) ? "gpu" : "api",
    ...(about.worker_type === undefined ? {} : { worker_type: about.worker_type }),
    ...(about.machine_id === undefined ? {} : { machine_id: about.machine_id }),
    ...capabilities.labels,
    region: about.region
  }
})

/** The record of a registration. */
export const fromRegistration = (registration: WorkerRegistration): NewWorker => {
  const { capabilities = { job_types: [] }, connectors = [], id, instance_id = null, metadata = {} } = registration
  const { capacity, region } = registration
  return {
    id,
    region,
    capacity,
    capabilities: asKept(capabilities, { region, ...metadata }),
    machine_id: metadata.machine_id ?? null,
    worker_type: metadata.worker_type ?? null,
    process_name: metadata.process_name ?? null,
    instance_id,
    unhealthy_job_types: [
      ...new Set(connectors.flatMap((connector) => (takesJobs(connector) ? [] : connector.job_types)))
    ],
    connectors
  }
}

const metadataOf = ({ machine_id, process_name, worker_type }: Worker): WorkerMetadata => ({
  ...(machine_id === null ? {} : { machine_id }),
  ...(worker_type === null ? {} : { worker_type }),
  ...(process_name === null ? {} : { process_name })
})

/** The record of `worker` after an update. */
export const afterUpdate = (worker: Worker, update: WorkerUpdate): NewWorker =>
  fromRegistration({ metadata: metadataOf(worker), ...update, id: worker.id })
