/** `muster mapping`: whether a service mapping fits together, and where a job type leads. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const mapping = Effect.promise(() => import("../operator/Mapping.ts"))

// What is printed comes from here, not from a server.
const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON, and errors as problem JSON on standard error"),
  Flag.withDefault(false)
)

const check = Command.make(
  "check",
  {
    file: Argument.String("file").pipe(
      Argument.withDescription("The mapping; MUSTER_MAPPING, or the one that comes along, if left out"),
      Argument.optional
    ),
    json
  },
  ({ file, json }) => Effect.flatMap(mapping, (mapping) => mapping.check({ file: Option.getOrUndefined(file), json }))
).pipe(
  Command.withDescription(
    "Find everything that is wrong with a service mapping, each with its place. Ends with 1 when something is an error; the variables it needs are looked at when a worker starts"
  ),
  Command.withShortDescription("Find everything that is wrong with a service mapping"),
  Command.withExamples([
    { command: "muster mapping check", description: "The mapping that a process started here would read" },
    { command: "muster mapping check ./service-mapping.json --json", description: "Another file, in a script" }
  ])
)

const explain = Command.make(
  "explain",
  {
    job_type: Argument.String("job-type").pipe(
      Argument.withDescription("What jobs ask for in service_required, such as comfyui")
    ),
    file: Flag.String("file").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("The mapping; MUSTER_MAPPING, or the one that comes along, if left out"),
      Flag.optional
    ),
    json
  },
  ({ file, job_type, json }) =>
    Effect.flatMap(mapping, (mapping) => mapping.explain({ job_type, file: Option.getOrUndefined(file), json }))
).pipe(
  Command.withDescription(
    "Follow a job type through a service mapping: the worker types that accept it, the service that runs it there, its connector; and where it breaks. Ends with 1 when it leads nowhere"
  ),
  Command.withShortDescription("Follow a job type to its service and connector"),
  Command.withExamples([{ command: "muster mapping explain openai_image" }])
)

export const command = Command.make("mapping").pipe(
  Command.withDescription("Check the service mapping, and follow job types through it. Asks no server"),
  Command.withShortDescription("Check the service mapping, and follow job types through it"),
  Command.withSubcommands([check, explain])
)
