/** How the queue looks to people. */
import type { QueueOverview, WaitingClass } from "@muster/core/job/QueueView"
import type { DateTime } from "effect"
import * as Table from "../terminal/Table.ts"
import * as Times from "../terminal/Times.ts"
import * as JobView from "./JobView.ts"

const needsOf = ({ customer_id, requirements, workflow_id }: WaitingClass): string =>
  [
    ...JobView.requirementLines(requirements),
    ...(customer_id === null ? [] : [`customer ${customer_id}`]),
    ...(workflow_id === null ? [] : [`workflow ${workflow_id}`])
  ].join(", ") || "-"

const workersCell = ({ matching }: WaitingClass): Table.Cell => {
  if (matching === null) return { text: "unknown", colour: "dim" }
  const { active, registered } = matching
  if (registered === 0) return { text: "nobody", colour: "red" }
  return { text: `${active} of ${registered} active`, colour: active === 0 ? "red" : undefined }
}

const columns = (now: DateTime.Utc): ReadonlyArray<Table.Column<WaitingClass>> => [
  { title: "SERVICE", room: "flexible", cell: ({ service_required }) => service_required },
  { title: "WAITING", align: "right", room: "fixed", cell: ({ pending }) => String(pending) },
  {
    title: "OLDEST",
    align: "right",
    room: "fixed",
    cell: ({ next_created_at }) => Times.age(next_created_at, now)
  },
  { title: "IN/MIN", align: "right", room: "fixed", cell: ({ per_minute }) => String(per_minute.submitted) },
  { title: "OUT/MIN", align: "right", room: "fixed", cell: ({ per_minute }) => String(per_minute.started) },
  { title: "WORKERS", room: "fixed", cell: workersCell },
  { title: "NEEDS", room: "flexible", cell: needsOf }
]

const counted = ({ counts, per_minute }: QueueOverview): string => {
  const { finished, held, pending, scheduled, unarchived } = counts
  const kept = unarchived === null || unarchived === 0 ? "" : ` (${unarchived} of them not archived yet)`
  return [
    `${pending} waiting, ${scheduled} scheduled, ${held} held by workers, ${finished} finished${kept}`,
    `in the last minute: ${per_minute.submitted} submitted, ${per_minute.started} started, ${per_minute.ended} ended`
  ].join("\n")
}

/** Counts, and below them what waits. */
export const text = (overview: QueueOverview, now: DateTime.Utc, canvas: Table.Canvas): string =>
  overview.classes.length === 0
    ? counted(overview)
    : `${counted(overview)}\n\n${Table.table(columns(now), overview.classes, canvas)}`
