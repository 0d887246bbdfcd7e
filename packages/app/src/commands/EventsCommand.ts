/** `muster events`: what happens to jobs, workers and machines, as it happens. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { longRunning } from "../LongRunning.ts"
import { json } from "../terminal/JsonFlag.ts"

const optionalText = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

export const command = Command.make(
  "events",
  {
    types: Flag.String("type").pipe(
      Flag.withAlias("t"),
      Flag.withMetavar("TYPE"),
      Flag.withDescription("Only events of this type, such as job.failed; may be repeated, or hold commas"),
      Flag.atLeast(0)
    ),
    job: optionalText("job", "ID", "Only events of this job"),
    worker: optionalText("worker", "ID", "Only events of this worker, and of jobs on it"),
    machine: optionalText("machine", "ID", "Only events of this machine"),
    service: optionalText("service", "SERVICE", "Only events of jobs that need this service"),
    customerId: optionalText("customer-id", "ID", "Only events of this customer's jobs"),
    workflowId: optionalText("workflow-id", "ID", "Only events of this workflow's jobs"),
    after: optionalText("after", "CURSOR", "Go on after this event: its cursor, as --json prints it"),
    json
  },
  (flags) =>
    Effect.flatMap(
      Effect.promise(() => import("../operator/Events.ts")),
      ({ follow }) =>
        follow({
          types: flags.types,
          job: Option.getOrUndefined(flags.job),
          worker: Option.getOrUndefined(flags.worker),
          machine: Option.getOrUndefined(flags.machine),
          service: Option.getOrUndefined(flags.service),
          customerId: Option.getOrUndefined(flags.customerId),
          workflowId: Option.getOrUndefined(flags.workflowId),
          after: Option.getOrUndefined(flags.after),
          json: flags.json
        })
    ).pipe(longRunning)
).pipe(
  Command.withDescription(
    "Print what happens to jobs, workers and machines, from now on until Ctrl-C. It lives through restarts of the server"
  ),
  Command.withShortDescription("Print what happens, as it happens"),
  Command.withExamples([
    { command: "muster events --type job.failed,job.expired", description: "What goes wrong" },
    { command: "muster events --worker gpu-7 --json", description: "All about a worker, an event a line" }
  ])
)
