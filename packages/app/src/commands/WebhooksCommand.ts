/** `muster webhooks`: who is told what happens, and how that went. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { json } from "../terminal/JsonFlag.ts"

// As with the jobs: loaded when needed.
const webhooks = Effect.promise(() => import("../operator/Webhooks.ts"))

const id = Argument.String("id").pipe(Argument.withDescription("The id of the webhook"))

const optionalText = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const list = Command.make("list", { json }, (flags) =>
  Effect.flatMap(webhooks, (webhooks) => webhooks.list(flags))
).pipe(
  Command.withAlias("ls"),
  Command.withDescription("List all webhooks"),
  Command.withExamples([
    { command: "muster webhooks list" },
    {
      command: `muster webhooks list --json | jq -r '.webhooks[] | select(.status == "disabled") | .id'`,
      description: "Those that were given up"
    }
  ])
)

const add = Command.make(
  "add",
  {
    url: Argument.String("url").pipe(Argument.withDescription("Where events are sent")),
    id: optionalText("id", "ID", "Your own id"),
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
    secretFile: optionalText(
      "secret-file",
      "PATH",
      "A secret of your own, from a file; - is standard input. Without it the server makes one"
    ),
    description: optionalText("description", "TEXT", "What it is for"),
    json
  },
  (flags) =>
    Effect.flatMap(webhooks, (webhooks) =>
      webhooks.add({
        url: flags.url,
        id: Option.getOrUndefined(flags.id),
        types: flags.types,
        job: Option.getOrUndefined(flags.job),
        worker: Option.getOrUndefined(flags.worker),
        machine: Option.getOrUndefined(flags.machine),
        service: Option.getOrUndefined(flags.service),
        customerId: Option.getOrUndefined(flags.customerId),
        workflowId: Option.getOrUndefined(flags.workflowId),
        secretFile: Option.getOrUndefined(flags.secretFile),
        description: Option.getOrUndefined(flags.description),
        json: flags.json
      })
    )
).pipe(
  Command.withDescription(
    "Have events sent to a URL from now on. Prints the secret that its requests are signed with; it is not shown again"
  ),
  Command.withShortDescription("Have events sent to a URL"),
  Command.withExamples([
    {
      command: "muster webhooks add https://example.com/muster --type job.completed,job.failed",
      description: "How jobs end"
    },
    { command: "muster webhooks add https://example.com/muster --id billing --customer-id acme --json | jq -r .secret" }
  ])
)

const show = Command.make("show", { id, json }, (flags) =>
  Effect.flatMap(webhooks, (webhooks) => webhooks.show(flags))
).pipe(
  Command.withAlias("get"),
  Command.withDescription("Show one webhook"),
  Command.withExamples([{ command: "muster webhooks show billing" }])
)

const remove = Command.make("remove", { id, json }, (flags) =>
  Effect.flatMap(webhooks, (webhooks) => webhooks.remove(flags))
).pipe(
  Command.withAlias("rm"),
  Command.withDescription("Remove a webhook"),
  Command.withExamples([{ command: "muster webhooks remove billing" }])
)

const deliveries = Command.make(
  "deliveries",
  {
    id,
    limit: Flag.Int("limit").pipe(
      Flag.filter(
        (limit) => limit > 0 && limit <= 100,
        () => "Expected a whole number from 1 to 100"
      ),
      Flag.withAlias("n"),
      Flag.withMetavar("N"),
      Flag.withDescription("At most this many; 20 by default"),
      Flag.withDefault(20)
    ),
    json
  },
  (flags) => Effect.flatMap(webhooks, (webhooks) => webhooks.deliveries(flags))
).pipe(
  Command.withDescription("List the last attempts to deliver something, newest first"),
  Command.withShortDescription("List the last deliveries of a webhook"),
  Command.withExamples([{ command: "muster webhooks deliveries billing --limit 5" }])
)

const test = Command.make("test", { id, json }, (flags) =>
  Effect.flatMap(webhooks, (webhooks) => webhooks.test(flags))
).pipe(
  Command.withDescription("Send a webhook.test now, and say what came back. Ends with 1 when it was not delivered"),
  Command.withShortDescription("Try a webhook out"),
  Command.withExamples([{ command: "muster webhooks test billing" }])
)

const enable = Command.make("enable", { id, json }, (flags) =>
  Effect.flatMap(webhooks, (webhooks) => webhooks.enable(flags))
).pipe(
  Command.withDescription("Let a disabled webhook go on where it stopped, or a failing one at once"),
  Command.withExamples([{ command: "muster webhooks enable billing" }])
)

export const command = Command.make("webhooks").pipe(
  Command.withDescription("Have events sent to URLs, and see how that went, with the server at MUSTER_URL"),
  Command.withShortDescription("Have events sent to URLs"),
  Command.withSubcommands([list, add, show, remove, deliveries, test, enable])
)
