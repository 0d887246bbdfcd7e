/**
 * How the `muster` process runs a command and ends. The exit code is decided here and nowhere else: 0 done, 1 the thing
 * failed, 2 used wrongly, 130 and 143 ended by a signal.
 *
 * The modules of `effect` are imported one by one here, in this folder and in the commands: the index loads all of
 * them, which `muster --help` would wait for.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import { isLongRunning } from "../LongRunning.ts"
import * as Failure from "./Failure.ts"
import * as Output from "./Output.ts"
import * as Style from "./Style.ts"
import * as Text from "./Text.ts"

/**
 * The exit code for how a command ended. `signal` is the code for an end by a signal.
 */
export const codeOf = (exit: Exit.Exit<unknown, unknown>, signal: number): number => {
  if (Exit.isSuccess(exit)) return 0
  if (Cause.hasInterruptsOnly(exit.cause)) return signal
  const error = Cause.squash(exit.cause)
  // Whatever the parser of the command line finds: no flag, value or subcommand that the command knows.
  if (CliError.isCliError(error) && error._tag !== "UserError") return 2
  return Runtime.getErrorExitCode(error)
}

/** What is said about a command line that no command understands. */
export const describeWrongUse = (
  event: Pick<CliOutput.Presenter.InvalidInvocation, "commandPath" | "errors"> & {
    readonly helpDoc: { readonly usage: string }
  },
  style: Style.Style
): string => {
  const errors = event.errors.map(({ message }) => Failure.label(message.split("\n"), style))
  const help = `${event.commandPath.join(" ")} --help`
  return [...errors, "", `Usage: ${event.helpDoc.usage}`, `Run \`${help}\` for what it takes, with examples.`].join(
    "\n"
  )
}

const presenter = (json: boolean): CliOutput.Presenter => ({
  present: (event) =>
    Effect.gen(function* () {
      const notes = yield* Output.notesCanvas
      switch (event._tag) {
        case "InvalidInvocation": {
          const detail = event.errors.map(({ message }) => message).join("\n")
          return yield* Output.note(
            json ? Text.json(Failure.problem("WrongUse", detail)) : describeWrongUse(event, notes.style)
          )
        }
        case "Help": {
          // Asked for, help is the answer. Otherwise a subcommand is missing.
          const asked = event.reason === "Requested"
          const { style } = asked ? yield* Output.canvas : notes
          const formatter = CliOutput.defaultFormatter({ colors: style === Style.coloured, globalFlags: "summary" })
          const text = formatter.formatHelpDoc(event.helpDoc)
          return yield* asked ? Effect.ignore(Output.print(text)) : Output.note(text)
        }
        case "Version":
          return yield* Effect.ignore(Output.print(`${event.name} ${event.version}`))
      }
    })
})

const surroundings = (json: boolean) =>
  Layer.mergeAll(
    NodeServices.layer,
    CliOutput.layerPresenter(presenter(json)),
    CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel] }),
    // Nothing asks questions: a flag that is missing is an error, at a terminal as in a script.
    Layer.succeed(TerminalCapabilities.TerminalCapabilities, { canColor: false, canAnimate: false, canPrompt: false })
  )

const tell = (json: boolean) =>
  Effect.fnUntraced(function* (cause: Cause.Cause<unknown>) {
    if (!Failure.isUntold(cause)) return
    const { style } = yield* Output.notesCanvas
    yield* Output.note(json ? Text.json(Failure.toProblem(Cause.squash(cause))) : Failure.describe(cause, style))
  })

/**
 * Runs the command line of this process: tells what went wrong on standard error (as problem JSON where `--json` was
 * asked for) and ends the process with the exit code. A signal interrupts the command, so that it can clean up.
 */
export const runMain = <Name extends string, Input, ContextInput, E>(
  command: Command.Command<Name, Input, ContextInput, E, Command.Environment>,
  version: string
): void => {
  const args = process.argv.slice(2)
  const json = args.includes("--json")
  let signalled = 130
  process.once("SIGTERM", () => {
    signalled = 143
  })
  const main = Command.runWith(command, { version })(args).pipe(
    Effect.tapCause(tell(json)),
    Effect.provide(surroundings(json))
  )
  NodeRuntime.runMain(Effect.andThen(Output.surviveClosedPipes, main), {
    disableErrorReporting: true,
    // To be stopped is how a command that runs until then ends well.
    teardown: (exit, onExit) => onExit(codeOf(exit, isLongRunning() ? 0 : signalled))
  })
}
