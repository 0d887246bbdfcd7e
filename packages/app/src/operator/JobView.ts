/** How jobs look to people. Fields carry their names from the wire, so that what one sees is what one asks for. */
import type { Attempt, AttemptOutcome, LateReport } from "@muster/core/job/Attempt"
import type { Job, JobError, JobStatus } from "@muster/core/job/Job"
import type { Requirements } from "@muster/core/job/Requirements"
import { DateTime } from "effect"
import type { Colour } from "../terminal/Style.ts"
import * as Table from "../terminal/Table.ts"
import * as Text from "../terminal/Text.ts"
import * as Times from "../terminal/Times.ts"
import * as LabelText from "./LabelText.ts"

export const colours: Record<JobStatus, Colour | undefined> = {
  scheduled: "dim",
  pending: undefined,
  assigned: "cyan",
  processing: "cyan",
  completed: "green",
  failed: "red",
  cancelled: "yellow",
  expired: "yellow"
}

const none = "-"

const columns = (now: DateTime.Utc): ReadonlyArray<Table.Column<Job>> => [
  { title: "ID", cut: "middle", cell: ({ id }) => id },
  { title: "STATUS", room: "fixed", cell: ({ status }) => ({ text: status, colour: colours[status] }) },
  { title: "SERVICE", room: "flexible", cell: ({ service_required }) => service_required },
  { title: "PRIO", align: "right", room: "fixed", cell: ({ priority }) => String(priority) },
  { title: "TRY", align: "right", room: "fixed", cell: ({ attempt }) => String(attempt) },
  { title: "WORKER", room: "flexible", cut: "middle", cell: ({ worker_id }) => worker_id ?? none },
  { title: "AGE", align: "right", room: "fixed", cell: ({ created_at }) => Times.age(created_at, now) }
]

export const table = (jobs: ReadonlyArray<Job>, now: DateTime.Utc, canvas: Table.Canvas): string =>
  Table.table(columns(now), jobs, canvas)

/** Where a job is, in the connector's own words when it has some. */
const stepText = ({ message, step, total_steps }: NonNullable<Job["progress"]>): string | undefined => {
  if (message !== undefined || step === undefined) return message
  return total_steps === undefined ? `step ${step}` : `step ${step} of ${total_steps}`
}

export const progressText = (progress: NonNullable<Job["progress"]>): string => {
  const about = stepText(progress)
  return `${Math.floor(progress.percent)} %${about === undefined ? "" : `, ${about}`}`
}

const ranFor = ({ finished_at, started_at }: Job): string =>
  started_at === null || finished_at === null
    ? ""
    : `, after ${Times.took(DateTime.toEpochMillis(finished_at) - DateTime.toEpochMillis(started_at))}`

export const errorText = ({ kind, message }: JobError): string => `${kind}: ${message}`

/** A line for each clause, spelled as `muster job submit` takes it. */
export const requirementLines = (requirements: Requirements): ReadonlyArray<string> => {
  const { customer_isolation, exclude = {}, hardware = {}, labels = {}, models = [] } = requirements
  return [
    ...Object.entries(hardware).map(([resource, least]) => `${resource}>=${least}`),
    ...models.map((model) => `model ${model}`),
    ...Object.entries(labels).map(([name, condition]) => `label ${LabelText.print(name, condition)}`),
    ...Object.entries(exclude).map(([name, condition]) => `exclude ${LabelText.print(name, condition)}`),
    ...(customer_isolation === undefined ? [] : [`isolation ${customer_isolation}`])
  ]
}

/** Characters of a JSON that people are shown: a picture in a payload would push everything else off the screen. */
const longestJson = 2_000

const jsonText = (value: unknown): string => {
  const text = JSON.stringify(value)
  return text.length <= longestJson
    ? text
    : `${text.slice(0, longestJson)}… (${text.length} characters; --json shows them all)`
}

/** Everything known about a job; what it does not have is left out. */
export const block = (job: Job, now: DateTime.Utc, canvas: Table.Canvas): string => {
  const time = (at: DateTime.Utc | null) => (at === null ? undefined : Times.exact(at, now))
  const shown: ReadonlyArray<
    readonly [name: string, value: Table.Cell | string | ReadonlyArray<string> | null | undefined]
  > = [
    ["id", job.id],
    ["status", { text: job.status, colour: colours[job.status] }],
    ["service_required", job.service_required],
    ["error", job.error === null ? null : { text: errorText(job.error), colour: "red" }],
    ["result", job.status === "completed" ? jsonText(job.result) : null],
    ["progress", job.progress === null ? null : progressText(job.progress)],
    ["preview", job.progress?.preview],
    ["worker_id", job.worker_id],
    ["attempt", `${job.attempt} (${job.retry_count} of ${job.max_retries} retries used)`],
    ["priority", String(job.priority)],
    ["requirements", requirementLines(job.requirements)],
    ["customer_id", job.customer_id],
    ["workflow_id", job.workflow_id],
    ["workflow_priority", job.workflow_priority === null ? null : String(job.workflow_priority)],
    ["workflow_datetime", time(job.workflow_datetime)],
    ["timeout_ms", job.timeout_ms === null ? null : String(job.timeout_ms)],
    ["run_at", time(job.run_at)],
    ["expires_at", time(job.expires_at)],
    ["created_at", time(job.created_at)],
    ["assigned_at", time(job.assigned_at)],
    ["started_at", time(job.started_at)],
    ["finished_at", job.finished_at === null ? null : `${time(job.finished_at)}${ranFor(job)}`],
    ["payload", jsonText(job.payload)],
    ["metadata", job.metadata === null ? null : jsonText(job.metadata)]
  ]
  return Table.block(
    shown.flatMap(([name, value]): ReadonlyArray<Table.Entry> =>
      value === null || value === undefined ? [] : [[name, value]]
    ),
    canvas
  )
}

/** One line about a job that is not finished yet, for a terminal that writes it over and over. */
export const progressLine = (job: Job, now: DateTime.Utc, canvas: Table.Canvas): string => {
  const bar = job.progress === null ? "" : `  ${Table.progressBar(job.progress.percent, canvas.style)}`
  const about = [
    job.progress === null ? undefined : stepText(job.progress),
    job.worker_id === null ? undefined : `on ${job.worker_id}`,
    Times.age(job.created_at, now)
  ]
  const rest = Text.visible(about.filter((part) => part !== undefined).join(" · "))
  const taken = Text.width(job.status) + (bar === "" ? 0 : 2 + Table.progressBarWidth) + 2
  return `${canvas.style(job.status, colours[job.status])}${bar}  ${Text.cut(rest, Math.max(0, canvas.columns - taken - 1))}`
}

const outcomes: Record<AttemptOutcome, Colour | undefined> = {
  completed: "green",
  failed: "red",
  timed_out: "red",
  cancelled: "yellow",
  returned: undefined,
  lost: "red"
}

/** A line of the attempts: one of them, or a report that came too late to count. */
type AttemptLine = { readonly attempt: Attempt; readonly late?: undefined } | { readonly late: LateReport }

const outcomeCell = ({ outcome, started_at }: Attempt): Table.Cell =>
  outcome === null
    ? { text: started_at === null ? "assigned" : "processing", colour: "cyan" }
    : { text: outcome, colour: outcomes[outcome] }

const tookText = ({ assigned_at, ended_at, started_at }: Attempt, now: DateTime.Utc): string =>
  Times.took(DateTime.toEpochMillis(ended_at ?? now) - DateTime.toEpochMillis(started_at ?? assigned_at))

const attemptColumns = (now: DateTime.Utc): ReadonlyArray<Table.Column<AttemptLine>> => {
  const ofAttempt = (cell: (attempt: Attempt) => Table.Cell | string) => (line: AttemptLine) =>
    line.late === undefined ? cell(line.attempt) : ""
  return [
    { title: "ATTEMPT", align: "right", room: "fixed", cell: ofAttempt(({ attempt }) => String(attempt)) },
    { title: "WORKER", room: "flexible", cut: "middle", cell: ofAttempt(({ worker_id }) => worker_id) },
    {
      title: "OUTCOME",
      room: "fixed",
      cell: (line) =>
        line.late === undefined ? outcomeCell(line.attempt) : { text: `late: ${line.late.report}`, colour: "dim" }
    },
    {
      title: "STARTED",
      room: "fixed",
      cell: (line) =>
        Times.relative(
          line.late === undefined ? (line.attempt.started_at ?? line.attempt.assigned_at) : line.late.at,
          now
        )
    },
    { title: "TOOK", align: "right", room: "fixed", cell: ofAttempt((attempt) => tookText(attempt, now)) },
    {
      title: "ERROR",
      cell: (line) => {
        const { error } = line.late ?? line.attempt
        return error === null ? none : errorText(error)
      }
    }
  ]
}

/** Attempts below one another; what was reported too late stands below its attempt, with when. */
export const attempts = (all: ReadonlyArray<Attempt>, now: DateTime.Utc, canvas: Table.Canvas): string =>
  Table.table(
    attemptColumns(now),
    all.flatMap((attempt): ReadonlyArray<AttemptLine> => [
      { attempt },
      ...attempt.late_reports.map((late) => ({ late }))
    ]),
    canvas
  )
