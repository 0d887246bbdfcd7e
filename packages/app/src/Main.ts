/** The `muster` command. */
import * as Command from "effect/cli/Command"
import * as BrokerCommands from "./commands/BrokerCommands.ts"
import * as DemoCommand from "./commands/DemoCommand.ts"
import * as DoctorCommand from "./commands/DoctorCommand.ts"
import * as EventsCommand from "./commands/EventsCommand.ts"
import * as JobCommand from "./commands/JobCommand.ts"
import * as MappingCommand from "./commands/MappingCommand.ts"
import * as QueueCommand from "./commands/QueueCommand.ts"
import * as SimulationCommand from "./commands/SimulationCommand.ts"
import * as WebhooksCommand from "./commands/WebhooksCommand.ts"
import * as WorkerCommand from "./commands/WorkerCommand.ts"
import * as WorkersCommand from "./commands/WorkersCommand.ts"
import { runMain } from "./terminal/Exit.ts"
import { version } from "./Version.ts"

const muster = Command.make("muster").pipe(
  Command.withDescription("Routes jobs to the machines that can run them"),
  Command.withSubcommands([
    BrokerCommands.up,
    BrokerCommands.server,
    WorkerCommand.command,
    DemoCommand.command,
    JobCommand.command,
    QueueCommand.command,
    EventsCommand.command,
    WorkersCommand.command,
    WebhooksCommand.command,
    MappingCommand.command,
    SimulationCommand.command,
    DoctorCommand.command
  ])
)

runMain(muster, version)
