/** What the `muster job` commands do. Everything heavy is imported from here on, when a command really runs. */
import { type Job, type JobErrorKind, JobId } from "@muster/core/job/Job"
import { Name } from "@muster/core/Identifier"
import { JobKnown, type JobStored, jobsPerPage } from "@muster/http-server/contract/JobsApi"
import { DateTime, Duration, Effect, Predicate } from "effect"
import * as Configuration from "../Configuration.ts"
import * as Output from "../terminal/Output.ts"
import * as Text from "../terminal/Text.ts"
import * as Batch from "./Batch.ts"
import * as JobFilter from "./JobFilter.ts"
import * as JobView from "./JobView.ts"
import * as JobWatch from "./JobWatch.ts"
import * as Pages from "./Pages.ts"
import * as Server from "./Server.ts"
import * as Submission from "./Submission.ts"

const responseMode = "decoded-and-response"

const printJob = Effect.fnUntraced(function* (job: Job) {
  yield* Output.print(JobView.block(job, yield* DateTime.now, yield* Output.canvas))
})

const member = (body: unknown, key: string): unknown => (Predicate.hasProperty(body, key) ? body[key] : undefined)

const ableTo = (matching: JobStored["matching"]): string => {
  if (matching === null) return "the registry is away, so who could run it is not known"
  const { active, registered } = matching
  if (registered === 0) return "no registered worker could run it"
  return `${registered} registered ${registered === 1 ? "worker" : "workers"} could run it, ${active} of them active`
}

const why = (id: string): string => `muster job explain ${id}`

/** `muster job submit --batch` */
const submitBatch = Effect.fnUntraced(function* (path: string, json: boolean) {
  const jobs = yield* Batch.fromFile(path)
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.jobs.submitMany({ payload: { jobs }, responseMode }))
  yield* json ? Output.printJson(body) : Output.print(value.ids.join("\n"))
})

type SubmitFlags = Omit<Submission.Flags, "service_required"> & {
  readonly service_required: string | undefined
  /** A path, or `-` for standard input. */
  readonly batch: string | undefined
  readonly json: boolean
  readonly wait: boolean
  /** In ms. */
  readonly waitTimeout: number | undefined
}

/** `muster job submit` */
export const submit = Effect.fn("Jobs.submit")(function* (flags: SubmitFlags) {
  const { batch, json, service_required, wait, waitTimeout, ...rest } = flags
  if (batch !== undefined) {
    const { needs = {}, ...others } = rest
    const said = [service_required, ...Object.values(needs), ...Object.values(others)]
    const alone = !wait && waitTimeout === undefined && said.every((value) => value === undefined)
    if (alone) return yield* submitBatch(batch, json)
    const problem = "--batch: the file says all about its jobs; only --json goes with it"
    return yield* new Configuration.WrongUse({ problems: [problem] })
  }
  if (waitTimeout !== undefined && !wait) {
    return yield* new Configuration.WrongUse({ problems: ["--wait-timeout: goes with --wait"] })
  }
  if (service_required === undefined) {
    return yield* new Configuration.WrongUse({ problems: ["give the SERVICE that the job needs, or --batch"] })
  }
  const payload = yield* Submission.fromFlags({ ...rest, service_required })
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.jobs.submit({ payload, responseMode }))
  const { job, matching } = value
  if (!json) {
    const waits = job.status === "pending" || job.status === "scheduled"
    if (waits && matching?.registered === 0) {
      yield* Output.note(`warning: the job waits until a worker that could run it is registered; why: ${why(job.id)}`)
    }
    const done = value instanceof JobKnown ? "was submitted before" : "is submitted"
    if (!wait) {
      yield* Output.print(`job ${job.id} ${done} (${job.status})${waits ? `; ${ableTo(matching)}` : ""}`)
      return yield* Output.hint(`see it with: muster job get ${job.id}`)
    }
    yield* Output.hint(`job ${job.id} ${done}; waiting for its end`)
  }
  if (!wait) return yield* Output.printJson(body)

  const within = waitTimeout === undefined ? undefined : Duration.millis(waitTimeout)
  const end = yield* JobWatch.untilEnd(client, job.id, { show: json ? "none" : "people", within })
  yield* json
    ? Output.printJson({ job: member(end.body, "job"), matching: member(body, "matching") })
    : printJob(end.job)
  yield* JobWatch.requireCompleted(end.job)
})

/** `muster job get` */
export const get = Effect.fn("Jobs.get")(function* (flags: { readonly id: string; readonly json: boolean }) {
  const id = yield* Server.decodeArgument(JobId, "ID", flags.id)
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.jobs.get({ params: { id }, query: {}, responseMode }))
  if (flags.json) return yield* Output.printJson(body)
  yield* printJob(value.job)
  const { status } = value.job
  if (status === "pending" || status === "scheduled") yield* Output.hint(`why it waits: ${why(id)}`)
})

/** `muster job attempts` */
export const attempts = Effect.fn("Jobs.attempts")(function* (flags: { readonly id: string; readonly json: boolean }) {
  const id = yield* Server.decodeArgument(JobId, "ID", flags.id)
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.jobs.attempts({ params: { id }, responseMode }))
  if (flags.json) return yield* Output.printJson(body)
  if (value.attempts.length === 0) return yield* Output.note(`no worker has been given job ${id} yet`)
  yield* Output.print(JobView.attempts(value.attempts, yield* DateTime.now, yield* Output.canvas))
})

/** `muster job cancel` */
export const cancel = Effect.fn("Jobs.cancel")(function* (flags: { readonly id: string; readonly json: boolean }) {
  const id = yield* Server.decodeArgument(JobId, "ID", flags.id)
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.jobs.cancel({ params: { id }, responseMode }))
  yield* flags.json ? Output.printJson(body) : Output.print(`job ${value.job.id} is ${value.job.status}`)
})

/** `muster job retry` */
export const retry = Effect.fn("Jobs.retry")(function* (flags: {
  readonly id: string | undefined
  readonly allFailed: boolean
  readonly service: string | undefined
  readonly kind: JobErrorKind | undefined
  readonly json: boolean
}) {
  const narrowed = flags.service !== undefined || flags.kind !== undefined
  if ((flags.id !== undefined) === flags.allFailed || (narrowed && !flags.allFailed)) {
    const problem = "give either the ID of a job or --all-failed, which --service and --kind narrow down"
    return yield* new Configuration.WrongUse({ problems: [problem] })
  }
  if (flags.id !== undefined) {
    const id = yield* Server.decodeArgument(JobId, "ID", flags.id)
    const client = yield* Server.connect
    const { body, value } = yield* Server.ask(client.jobs.retry({ params: { id }, responseMode }))
    return yield* flags.json ? Output.printJson(body) : Output.print(`job ${value.job.id} is ${value.job.status}`)
  }
  const service =
    flags.service === undefined ? undefined : yield* Server.decodeArgument(Name, "--service", flags.service)
  const filter = {
    ...(service === undefined ? {} : { service_required: service }),
    ...(flags.kind === undefined ? {} : { error_kind: flags.kind })
  }
  const client = yield* Server.connect
  const { body, value } = yield* Server.ask(client.jobs.retryFailed({ payload: { filter }, responseMode }))
  if (flags.json) return yield* Output.printJson(body)
  const { count } = value
  yield* Output.print(`${count} failed ${count === 1 ? "job waits" : "jobs wait"} again`)
})

/** `muster job list` */
export const list = Effect.fn("Jobs.list")(function* (flags: {
  readonly filter: JobFilter.Flags
  readonly limit: number | undefined
  readonly cursor: string | undefined
  readonly all: boolean
  readonly json: boolean
}) {
  if (flags.all && flags.limit !== undefined) {
    return yield* new Configuration.WrongUse({ problems: ["--all and --limit: give one of the two"] })
  }
  const filter = yield* JobFilter.fromFlags(flags.filter)
  const client = yield* Server.connect
  let incomplete = false
  const { bodies, items, next_cursor } = yield* Pages.collect(
    "jobs",
    {
      wanted: flags.all ? Number.POSITIVE_INFINITY : (flags.limit ?? jobsPerPage.fallback),
      perPage: jobsPerPage.maximum,
      from: flags.cursor
    },
    (page) =>
      Effect.tap(Server.ask(client.jobs.list({ query: { ...filter, ...page }, responseMode })), ({ value }) =>
        Effect.sync(() => {
          incomplete ||= value.incomplete === true
        })
      )
  )
  if (flags.json) return yield* Output.printJson({ jobs: bodies, next_cursor, ...(incomplete ? { incomplete } : {}) })
  if (items.length === 0) yield* Output.note("no jobs")
  else yield* Output.print(JobView.table(items, yield* DateTime.now, yield* Output.canvas))
  if (incomplete) yield* Output.note("warning: the archive is away, so jobs that have left the queue are missing")
  if (next_cursor !== null && items.length > 0) {
    yield* Output.note(`there are more; --all shows them, --cursor ${Text.visible(next_cursor)} goes on from here`)
  }
})
