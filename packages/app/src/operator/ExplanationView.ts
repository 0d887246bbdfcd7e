/** How an explanation looks to people: the verdict, then who is nearest, then what to do. */
import type { ExplainedWorker, Explanation, Verdict } from "@muster/core/job/Explanation"
import { missOf } from "@muster/core/job/Misses"
import type { DateTime } from "effect"
import type { Colour } from "../terminal/Style.ts"
import * as Table from "../terminal/Table.ts"
import * as Text from "../terminal/Text.ts"
import * as Times from "../terminal/Times.ts"
import * as JobView from "./JobView.ts"

const colours: Record<Verdict, Colour> = {
  next: "green",
  busy: "yellow",
  later: "cyan",
  offline: "red",
  impossible: "red"
}

const statusColours: Record<ExplainedWorker["status"], Colour> = {
  pending: "yellow",
  active: "green",
  offline: "red",
  gone: "red"
}

/** Its status, and its standing where that says more. */
const statusCell = ({ standing, status }: ExplainedWorker): Table.Cell =>
  standing === "open"
    ? { text: status, colour: statusColours[status] }
    : { text: `${status}, ${standing}`, colour: status === "offline" ? "red" : "yellow" }

const jobsText = ({ capacity, holds }: ExplainedWorker): string => (holds === null ? "-" : `${holds} of ${capacity}`)

const missesCell = ({ holds, capacity, unmet }: ExplainedWorker): Table.Cell => {
  if (unmet.length > 0) return { text: unmet.map(missOf).join("; ") }
  return { text: holds !== null && holds >= capacity ? "nothing, it is full" : "nothing", colour: "green" }
}

const columns = (now: DateTime.Utc): ReadonlyArray<Table.Column<ExplainedWorker>> => [
  { title: "WORKER", cut: "middle", room: "fixed", cell: ({ worker_id }) => worker_id },
  { title: "STATUS", room: "fixed", cell: statusCell },
  { title: "JOBS", align: "right", room: "fixed", cell: jobsText },
  {
    title: "LAST BEAT",
    room: "fixed",
    cell: ({ last_heartbeat_at }) => (last_heartbeat_at === null ? "never" : Times.relative(last_heartbeat_at, now))
  },
  { title: "MISSES", room: "flexible", cell: missesCell }
]

/** The whole answer. */
export const text = (explanation: Explanation, now: DateTime.Utc, canvas: Table.Canvas): string => {
  const { hints, job_id, status, summary, verdict, workers } = explanation
  const { style } = canvas
  const how =
    verdict === null ? `is ${style(status, JobView.colours[status])}` : `waits (${style(verdict, colours[verdict])})`
  return [
    `job ${Text.visible(job_id)} ${how}: ${Text.visible(summary)}`,
    ...(workers.length === 0 ? [] : ["", Table.table(columns(now), workers, canvas)]),
    ...(hints.length === 0 ? [] : ["", ...hints.map((hint) => `→ ${Text.visible(hint)}`)])
  ].join("\n")
}
