/** How events look to people: a line each, that says what happened, to what, and what there is to know about it. */
import type { Event } from "@muster/core/event/Event"
import { DateTime } from "effect"
import type * as Table from "../terminal/Table.ts"
import * as Text from "../terminal/Text.ts"
import * as JobView from "./JobView.ts"

/** The longest type, so that what follows stands below one another. */
const typeWidth = "worker.unregistered".length

const gap = "  "

const detailsOf = (event: Event): ReadonlyArray<string> => {
  const { attempt, error, outcome, progress, reason, standing, status, worker_id, worker_status } = event
  const isOfJob = event.job_id !== undefined
  const details = [
    event.type === "job.submitted" || event.type === "job.requeued" ? status : undefined,
    progress === undefined ? undefined : JobView.progressText(progress),
    outcome === undefined ? undefined : attempt === undefined ? outcome : `attempt ${attempt} ${outcome}`,
    isOfJob && worker_id !== undefined ? `on ${worker_id}` : undefined,
    worker_status,
    standing,
    error === undefined ? undefined : JobView.errorText(error),
    reason,
    event.type === "job.submitted" ? event.service_required : undefined
  ]
  return details.filter((detail) => detail !== undefined)
}

/** One event in one line. */
export const line = (event: Event, canvas: Table.Canvas): string => {
  const { at, job_id, machine_id, status, type, worker_id } = event
  const time = DateTime.formatIso(at)
  const name = Text.padEnd(type, typeWidth)
  const subject = job_id ?? worker_id ?? machine_id ?? ""
  const rest = Text.visible([subject, detailsOf(event).join(" · ")].filter((part) => part !== "").join("  "))
  const room = Math.max(0, canvas.columns - time.length - name.length - 2 * gap.length)
  const colour = status === undefined ? undefined : JobView.colours[status]
  return [canvas.style(time, "dim"), canvas.style(name, colour), Text.cut(rest, room)].join(gap).trimEnd()
}
