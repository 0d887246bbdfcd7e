/** `muster job`: submit jobs, look at them, cancel and retry them. */
import * as DurationText from "@muster/core/DurationText"
import * as IsoTime from "@muster/core/IsoTime"
import type { JobErrorKind, JobStatus } from "@muster/core/job/Job"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { json } from "../terminal/JsonFlag.ts"
import * as Times from "../terminal/Times.ts"
import * as JobExplainCommand from "./JobExplainCommand.ts"
import * as JobWatchCommand from "./JobWatchCommand.ts"

// What the commands do is loaded when they do it: `muster --help` must not wait for an HTTP client.
const jobs = Effect.promise(() => import("../operator/Jobs.ts"))

const statuses = [
  "scheduled",
  "pending",
  "assigned",
  "processing",
  "completed",
  "failed",
  "cancelled",
  "expired"
] as const satisfies ReadonlyArray<JobStatus>

const errorKinds = [
  "Rejected",
  "InvalidPayload",
  "Unauthorized",
  "RateLimited",
  "ServiceUnavailable",
  "ProtocolError",
  "Timeout",
  "ResourceExhausted",
  "AssetFailed",
  "Lost"
] as const satisfies ReadonlyArray<JobErrorKind>

const id = Argument.String("id").pipe(Argument.withDescription("The id of the job"))

const optionalText = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const optionalNumber = (name: string, metavar: string, description: string) =>
  Flag.Int(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const optionalTime = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.filterMap(
      (text) => Option.map(Option.fromUndefinedOr(Times.parseTime(text)), DateTime.formatIso),
      () => `Expected ${IsoTime.expected}`
    ),
    Flag.withMetavar("TIME"),
    Flag.withDescription(description),
    Flag.optional
  )

const optionalAmount = (name: string, metavar: string, description: string) =>
  Flag.Finite(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const manyTexts = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.atLeast(0))

/** What the job needs of its worker. */
const needs = {
  requirements: optionalText("requirements", "JSON", "What the job needs of its worker, as the API takes it"),
  gpuMemory: optionalAmount("gpu-memory", "GB", "At least this much memory on the smallest GPU"),
  gpus: optionalNumber("gpus", "N", "At least this many GPUs"),
  cpuCores: optionalAmount("cpu-cores", "N", "At least this many cores"),
  ram: optionalAmount("ram", "GB", "At least this much memory"),
  model: manyTexts("model", "NAME", "A model the worker must hold; may be repeated"),
  label: manyTexts(
    "label",
    "CONDITION",
    "A label of the worker: tier=gold, zone=a,b (both), zone!=c, 'vram>=24'; may be repeated"
  ),
  exclude: manyTexts("exclude", "CONDITION", "The same, and it must not hold; may be repeated"),
  isolation: Flag.Literals("isolation", ["strict", "loose", "none"]).pipe(
    Flag.withDescription("strict: only workers that keep customers apart strictly"),
    Flag.optional
  )
}

const unlessEmpty = (texts: ReadonlyArray<string>) => (texts.length === 0 ? undefined : texts)

const submit = Command.make(
  "submit",
  {
    service: Argument.String("service").pipe(
      Argument.withDescription("What the job needs: a job type, as workers list them"),
      Argument.optional
    ),
    batch: optionalText(
      "batch",
      "PATH",
      "Submit the jobs of a file, all or none: a JSON array of submissions, or one a line; - is standard input"
    ),
    payload: optionalText("payload", "JSON", "What the service is given"),
    payloadFile: optionalText("payload-file", "PATH", "The same from a file; - is standard input"),
    id: optionalText("id", "ID", "Your own id; submitting it again finds the same job"),
    ...needs,
    priority: optionalNumber("priority", "0-100", "How urgent; 50 by default"),
    maxRetries: optionalNumber("max-retries", "N", "Tries after the first one; 3 by default"),
    timeout: Flag.String("timeout").pipe(
      Flag.filterMap(
        (text) => Option.fromUndefinedOr(DurationText.parse(text)),
        () => `Expected ${DurationText.expected}`
      ),
      Flag.withMetavar("DURATION"),
      Flag.withDescription("How long one attempt may run, such as 30s"),
      Flag.optional
    ),
    runAt: optionalTime("run-at", "Do not start before this time, such as 2026-12-31T18:00:00Z"),
    expiresAt: optionalTime("expires-at", "Do not start after this time"),
    customerId: optionalText("customer-id", "ID", "Whom the job is for"),
    workflowId: optionalText("workflow-id", "ID", "The workflow the job belongs to"),
    workflowPriority: optionalNumber(
      "workflow-priority",
      "0-100",
      "The priority of the workflow; goes before --priority"
    ),
    workflowDatetime: optionalTime("workflow-datetime", "When the workflow began; the job is ranked as of then"),
    ifUnmatchable: Flag.Literals("if-unmatchable", ["wait", "reject"]).pipe(
      Flag.withDescription("What to do when no registered worker accepts the job; wait by default"),
      Flag.optional
    ),
    metadata: optionalText("metadata", "JSON", "An object that is kept with the job"),
    wait: Flag.Boolean("wait").pipe(
      Flag.withAlias("w"),
      Flag.withDescription("Wait until the job has ended; exit code 1 unless it completed"),
      Flag.withDefault(false)
    ),
    waitTimeout: JobWatchCommand.timeoutFlag("wait-timeout"),
    json
  },
  (flags) =>
    Effect.flatMap(jobs, (jobs) =>
      jobs.submit({
        service_required: Option.getOrUndefined(flags.service),
        batch: Option.getOrUndefined(flags.batch),
        payload: Option.getOrUndefined(flags.payload),
        payloadFile: Option.getOrUndefined(flags.payloadFile),
        requirements: Option.getOrUndefined(flags.requirements),
        needs: {
          gpuMemory: Option.getOrUndefined(flags.gpuMemory),
          gpus: Option.getOrUndefined(flags.gpus),
          cpuCores: Option.getOrUndefined(flags.cpuCores),
          ram: Option.getOrUndefined(flags.ram),
          models: unlessEmpty(flags.model),
          labels: unlessEmpty(flags.label),
          exclude: unlessEmpty(flags.exclude),
          isolation: Option.getOrUndefined(flags.isolation)
        },
        id: Option.getOrUndefined(flags.id),
        priority: Option.getOrUndefined(flags.priority),
        max_retries: Option.getOrUndefined(flags.maxRetries),
        timeout_ms: Option.getOrUndefined(flags.timeout),
        run_at: Option.getOrUndefined(flags.runAt),
        expires_at: Option.getOrUndefined(flags.expiresAt),
        customer_id: Option.getOrUndefined(flags.customerId),
        workflow_id: Option.getOrUndefined(flags.workflowId),
        workflow_priority: Option.getOrUndefined(flags.workflowPriority),
        workflow_datetime: Option.getOrUndefined(flags.workflowDatetime),
        if_unmatchable: Option.getOrUndefined(flags.ifUnmatchable),
        metadata: Option.getOrUndefined(flags.metadata),
        wait: flags.wait,
        waitTimeout: Option.getOrUndefined(flags.waitTimeout),
        json: flags.json
      })
    )
).pipe(
  Command.withDescription("Submit a job, or many at once"),
  Command.withExamples([
    {
      command: `muster job submit simulation --payload '{"duration_ms": 2000, "steps": 4}' --wait`,
      description: "Submit a job and watch it run"
    },
    {
      command: "muster job submit comfyui --gpu-memory 24 --model flux --label tier=gold --exclude spot=true",
      description: "Only a worker with such a GPU, model and label will run it"
    },
    {
      command: `muster job submit train --label 'vram>=40' --label 'vram<80' --requirements '{"models": ["base"]}'`,
      description: "Ranges in quotes, which keep the shell from reading > and <; JSON for all the rest"
    },
    {
      command: "muster job submit comfyui --payload-file workflow.json --id render-42 --priority 80",
      description: "A payload from a file, under an id that makes repeating the command harmless"
    },
    {
      command: `echo '{"duration_ms": 10}' | muster job submit simulation --payload-file - --json | jq -r .job.id`,
      description: "In a script"
    },
    {
      command: "muster job submit --batch jobs.jsonl",
      description: `Jobs from a file with lines like {"id": "a-1", "service_required": "simulation"}; prints their ids`
    }
  ])
)

const get = Command.make("get", { id, json }, (flags) => Effect.flatMap(jobs, (jobs) => jobs.get(flags))).pipe(
  Command.withAlias("show"),
  Command.withDescription("Show one job"),
  Command.withExamples([
    { command: "muster job get render-42" },
    { command: "muster job get render-42 --json | jq .job.result", description: "Its whole result" }
  ])
)

const list = Command.make(
  "list",
  {
    status: Flag.Literals("status", statuses).pipe(Flag.withDescription("Only jobs of this status"), Flag.optional),
    service: optionalText("service", "SERVICE", "Only jobs that need this service"),
    worker: optionalText("worker", "ID", "Only jobs that this worker holds, or held last"),
    machine: optionalText("machine", "ID", "Only jobs of the workers that are registered on this machine now"),
    customerId: optionalText("customer-id", "ID", "Only jobs for this customer"),
    workflowId: optionalText("workflow-id", "ID", "Only jobs of this workflow"),
    createdFrom: optionalTime("created-from", "Only jobs submitted at this time or later"),
    createdBefore: optionalTime("created-before", "Only jobs submitted before this time"),
    limit: Flag.Int("limit").pipe(
      Flag.filter(
        (limit) => limit > 0,
        () => "Expected a whole number from 1"
      ),
      Flag.withAlias("n"),
      Flag.withMetavar("N"),
      Flag.withDescription("At most this many; 50 by default"),
      Flag.optional
    ),
    all: Flag.Boolean("all").pipe(Flag.withAlias("a"), Flag.withDescription("All there are"), Flag.withDefault(false)),
    cursor: optionalText("cursor", "CURSOR", "Go on where a list ended: its next_cursor"),
    json
  },
  (flags) =>
    Effect.flatMap(jobs, (jobs) =>
      jobs.list({
        filter: {
          status: Option.getOrUndefined(flags.status),
          service: Option.getOrUndefined(flags.service),
          worker: Option.getOrUndefined(flags.worker),
          machine: Option.getOrUndefined(flags.machine),
          customerId: Option.getOrUndefined(flags.customerId),
          workflowId: Option.getOrUndefined(flags.workflowId),
          createdFrom: Option.getOrUndefined(flags.createdFrom),
          createdBefore: Option.getOrUndefined(flags.createdBefore)
        },
        limit: Option.getOrUndefined(flags.limit),
        cursor: Option.getOrUndefined(flags.cursor),
        all: flags.all,
        json: flags.json
      })
    )
).pipe(
  Command.withAlias("ls"),
  Command.withDescription("List jobs, newest first, those that run and those that are history"),
  Command.withShortDescription("List jobs, newest first"),
  Command.withExamples([
    { command: "muster job list --status failed --limit 10", description: "The latest that failed" },
    {
      command: "muster job list --machine gpu-7 --created-from 2026-12-31T00:00:00Z",
      description: "What a machine was given since then"
    },
    {
      command: "muster job list --all --service simulation --json | jq '.jobs | length'",
      description: "Count all jobs of a service"
    }
  ])
)

const attempts = Command.make("attempts", { id, json }, (flags) =>
  Effect.flatMap(jobs, (jobs) => jobs.attempts(flags))
).pipe(
  Command.withDescription("Show what became of each attempt of a job, and what was reported too late to count"),
  Command.withShortDescription("Show the attempts of a job"),
  Command.withExamples([
    { command: "muster job attempts render-42" },
    { command: "muster job attempts render-42 --json | jq -r '.attempts[].worker_id'", description: "Who tried it" }
  ])
)

const cancel = Command.make("cancel", { id, json }, (flags) => Effect.flatMap(jobs, (jobs) => jobs.cancel(flags))).pipe(
  Command.withDescription("End a job for good, whether it waits or runs"),
  Command.withExamples([{ command: "muster job cancel render-42" }])
)

const retry = Command.make(
  "retry",
  {
    id: id.pipe(Argument.optional),
    allFailed: Flag.Boolean("all-failed").pipe(
      Flag.withDescription(
        "All failed jobs that are still in the queue, instead of one; those only in the archive are retried one by one"
      ),
      Flag.withDefault(false)
    ),
    service: optionalText("service", "SERVICE", "Of the failed jobs, those that need this service"),
    kind: Flag.Literals("kind", errorKinds).pipe(
      Flag.withDescription("Of the failed jobs, those whose error is of this kind"),
      Flag.optional
    ),
    json
  },
  (flags) =>
    Effect.flatMap(jobs, (jobs) =>
      jobs.retry({
        id: Option.getOrUndefined(flags.id),
        allFailed: flags.allFailed,
        service: Option.getOrUndefined(flags.service),
        kind: Option.getOrUndefined(flags.kind),
        json: flags.json
      })
    )
).pipe(
  Command.withDescription("Let a failed job start over, with all its retries, or all that have failed"),
  Command.withShortDescription("Let failed jobs start over"),
  Command.withExamples([
    { command: "muster job retry render-42" },
    {
      command: "muster job retry --all-failed --service simulation --kind ServiceUnavailable",
      description: "After an outage of a service"
    }
  ])
)

export const command = Command.make("job").pipe(
  Command.withAlias("jobs"),
  Command.withDescription("Submit, show, explain, watch, list, cancel and retry jobs on the server at MUSTER_URL"),
  Command.withShortDescription("Submit, show, explain, watch, list, cancel and retry jobs"),
  Command.withSubcommands([
    submit,
    get,
    JobExplainCommand.command,
    JobWatchCommand.command,
    list,
    attempts,
    cancel,
    retry
  ])
)
