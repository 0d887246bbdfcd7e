/** How workers look to people. */
import type { ConnectorReport } from "@muster/core/connector/ConnectorReport"
import type { Occupancy, WorkerStatus, WorkerWithMetadata } from "@muster/core/worker/Worker"
import type { DateTime } from "effect"
import type { Colour } from "../terminal/Style.ts"
import * as Table from "../terminal/Table.ts"
import * as Times from "../terminal/Times.ts"

const statusColours: Record<WorkerStatus, Colour> = { pending: "yellow", active: "green", offline: "red" }

const occupancyColours: Record<Occupancy, Colour | undefined> = {
  idle: undefined,
  busy: "cyan",
  paused: "yellow",
  draining: "yellow"
}

const occupancyCell = (occupancy: Occupancy | null): Table.Cell =>
  occupancy === null ? { text: "unknown", colour: "dim" } : { text: occupancy, colour: occupancyColours[occupancy] }

const jobTypesCell = ({ capabilities, unhealthy_job_types }: WorkerWithMetadata): Table.Cell | string => {
  const types = capabilities.job_types.map((type) =>
    unhealthy_job_types.includes(type) ? `${type} (unhealthy)` : type
  )
  const text = types.join(", ") || "-"
  return unhealthy_job_types.length === 0 ? text : { text, colour: "red" }
}

const columns = (now: DateTime.Utc): ReadonlyArray<Table.Column<WorkerWithMetadata>> => [
  { title: "ID", cut: "middle", cell: ({ id }) => id },
  { title: "STATUS", room: "fixed", cell: ({ status }) => ({ text: status, colour: statusColours[status] }) },
  { title: "REGION", room: "flexible", cell: ({ region }) => region },
  {
    title: "OCCUPANCY",
    room: "fixed",
    cell: ({ occupancy }) => occupancyCell(occupancy)
  },
  { title: "CAPACITY", align: "right", room: "fixed", cell: ({ capacity }) => String(capacity) },
  { title: "JOB TYPES", room: "flexible", cell: jobTypesCell },
  {
    title: "LAST BEAT",
    room: "fixed",
    cell: ({ last_heartbeat_at }) => (last_heartbeat_at === null ? "never" : Times.relative(last_heartbeat_at, now))
  }
]

export const table = (workers: ReadonlyArray<WorkerWithMetadata>, now: DateTime.Utc, canvas: Table.Canvas): string =>
  Table.table(columns(now), workers, canvas)

const setting = (value: unknown): string => (Array.isArray(value) ? value.join(", ") : String(value))

const settings = (values: Readonly<Record<string, unknown>>): ReadonlyArray<string> =>
  Object.entries(values).map(([name, value]) => `${name} ${setting(value)}`)

const connectorLine = ({ job_types, name, reason, since, status }: ConnectorReport, now: DateTime.Utc): string =>
  `${name}: ${status} since ${Times.exact(since, now)}, for ${job_types.join(", ")}${reason === null ? "" : `: ${reason}`}`

/** Everything known about a worker and its latest heartbeats; what it does not have is left out. */
export const block = (
  worker: WorkerWithMetadata,
  heartbeats: ReadonlyArray<DateTime.Utc>,
  now: DateTime.Utc,
  canvas: Table.Canvas
): string => {
  const { capabilities, last_heartbeat_at, occupancy, status } = worker
  const shown: ReadonlyArray<readonly [name: string, value: Table.Cell | string | ReadonlyArray<string> | null]> = [
    ["id", worker.id],
    ["status", { text: status, colour: statusColours[status] }],
    ["status_changed_at", Times.exact(worker.status_changed_at, now)],
    ["occupancy", occupancyCell(occupancy)],
    ["current_jobs", worker.current_jobs],
    ["region", worker.region],
    ["capacity", String(worker.capacity)],
    ["job_types", capabilities.job_types.join(", ") || "none"],
    [
      "unhealthy_job_types",
      worker.unhealthy_job_types.length === 0 ? null : { text: worker.unhealthy_job_types.join(", "), colour: "red" }
    ],
    ["connectors", worker.connectors.map((connector) => connectorLine(connector, now))],
    ["hardware", settings(capabilities.hardware ?? {})],
    ["models", capabilities.models?.join(", ") || null],
    ["labels", settings(capabilities.labels ?? {})],
    ["customers", settings(capabilities.customers ?? {})],
    ["workflow_id", capabilities.workflow_id ?? null],
    ["machine_id", worker.machine_id],
    ["worker_type", worker.worker_type],
    ["process_name", worker.process_name],
    ["instance_id", worker.instance_id],
    ["registered_at", Times.exact(worker.registered_at, now)],
    ["last_heartbeat_at", last_heartbeat_at === null ? "never" : Times.exact(last_heartbeat_at, now)],
    ["heartbeats", heartbeats.map((at) => Times.exact(at, now))]
  ]
  return Table.block(
    shown.flatMap(([name, value]): ReadonlyArray<Table.Entry> => (value === null ? [] : [[name, value]])),
    canvas
  )
}
