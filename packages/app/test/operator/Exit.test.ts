import * as Configuration from "@muster/app/Configuration"
import { JobNotCompleted } from "@muster/app/operator/JobWatch"
import { codeOf, describeWrongUse } from "@muster/app/terminal/Exit"
import * as Failure from "@muster/app/terminal/Failure"
import { OutputClosed } from "@muster/app/terminal/Output"
import { coloured, plain } from "@muster/app/terminal/Style"
import * as Text from "@muster/app/terminal/Text"
import { JobId } from "@muster/core/job/Job"
import { InstanceId, WorkerId } from "@muster/core/worker/Worker"
import * as Problems from "@muster/http-server/contract/Problems"
import { assert, describe, it } from "@effect/vitest"
import { Cause, DateTime, Exit } from "effect"
import { CliError } from "effect/cli"

const interrupted = 130
const failed = (error: unknown) => codeOf(Exit.fail(error), interrupted)

const unknownFlag = new CliError.UnrecognizedOption({
  option: "--wiat\u001b[2J",
  command: ["muster", "job"],
  suggestions: ["--wait"]
})

describe("exit codes", () => {
  it("0: done, or nobody reads the output any more", () => {
    assert.strictEqual(codeOf(Exit.void, interrupted), 0)
    assert.strictEqual(failed(new OutputClosed()), 0)
  })

  it("1: the thing failed", () => {
    assert.strictEqual(failed(new Problems.JobNotFound({ detail: "job x does not exist", id: JobId.make("x") })), 1)
    assert.strictEqual(failed(new JobNotCompleted({ id: JobId.make("x"), status: "failed", reason: null })), 1)
    assert.strictEqual(failed(new CliError.UserError({ cause: "no" })), 1)
    assert.strictEqual(codeOf(Exit.die(new Error("a bug")), interrupted), 1)
  })

  it("2: used wrongly", () => {
    assert.strictEqual(failed(new Configuration.WrongUse({ problems: ["--payload: not JSON"] })), 2)
    assert.strictEqual(failed(new CliError.ShowHelp({ commandPath: ["muster"], errors: [unknownFlag] })), 2)
    // A subcommand is missing: nothing was done.
    assert.strictEqual(failed(new CliError.ShowHelp({ commandPath: ["muster"], errors: [] })), 2)
    assert.strictEqual(failed(new CliError.MissingArgument({ argument: "id" })), 2)
  })

  it("by a signal: what the caller says it stands for", () => {
    assert.strictEqual(codeOf(Exit.interrupt(1), 130), 130)
    assert.strictEqual(codeOf(Exit.interrupt(1), 143), 143)
    assert.strictEqual(codeOf(Exit.interrupt(1), 0), 0)
  })
})

describe("failures", () => {
  const says = (error: unknown, style = plain) => Failure.describe(Cause.fail(error), style)

  it("are told in one line, harmless on a terminal", () => {
    const error = new Problems.JobNotFound({ detail: "job \u001b[31mx does not exist", id: JobId.make("x") })
    assert.strictEqual(says(error), String.raw`error: job \u001b[31mx does not exist`)
    assert.isTrue(says(error, coloured).startsWith("\u001b[31merror: \u001b[39mjob "))
  })

  it("list what there are several of, and hint at what to do", () => {
    assert.strictEqual(says(new Configuration.WrongUse({ problems: ["A: no", "B: no"] })), "error: A: no\n       B: no")
    const errors = ["a", "b", "c"].map((path) => ({ path, message: "no" }))
    assert.strictEqual(
      says(new Problems.InvalidRequest({ detail: "a: no; b: no; and 1 more", errors })),
      "error: a: no; b: no; and 1 more\n       a: no\n       b: no\n       c: no"
    )
    assert.include(says(new Problems.Unauthenticated({ detail: "no" })), "MUSTER_TOKEN")
  })

  it("that nobody foresaw come with where they happened", () => {
    const text = Failure.describe(Cause.die(new Error("a bug")), plain)
    assert.include(text, "a bug")
    assert.include(text, "Exit.test.ts")
  })

  it("are told once, and not at all where a signal or a closed pipe ended the command", () => {
    assert.isTrue(Failure.isUntold(Cause.fail(new Configuration.WrongUse({ problems: ["A: no"] }))))
    assert.isFalse(Failure.isUntold(Cause.fail(new OutputClosed())))
    assert.isFalse(Failure.isUntold(Cause.interrupt(1)))
    assert.isFalse(Failure.isUntold(Cause.fail(new CliError.ShowHelp({ commandPath: ["muster"], errors: [] }))))
  })

  it("become problem JSON: an answer of the server as it was, anything else with its tag", () => {
    const twin = new Problems.LiveTwin({
      detail: "worker w lives",
      id: WorkerId.make("w"),
      instance_id: InstanceId.make("i"),
      last_heartbeat_at: DateTime.makeUnsafe("2026-03-01T12:00:00Z")
    })
    assert.deepStrictEqual(JSON.parse(Text.json(Failure.toProblem(twin))), {
      type: "urn:muster:problem:LiveTwin",
      status: 409,
      title: "Another instance of the worker lives",
      code: "LiveTwin",
      detail: "worker w lives",
      id: "w",
      instance_id: "i",
      last_heartbeat_at: "2026-03-01T12:00:00.000Z"
    })
    assert.deepStrictEqual(
      Failure.toProblem(new JobNotCompleted({ id: JobId.make("x"), status: "failed", reason: "Timeout: y" })),
      {
        type: "urn:muster:problem:JobNotCompleted",
        code: "JobNotCompleted",
        detail: "job x failed: Timeout: y"
      }
    )
    assert.strictEqual(Failure.toProblem(new Error("a bug")).code, "Unexpected")
  })
})

it("says what is wrong with a command line, how it is used, and where to read on", () => {
  const event = {
    commandPath: ["muster", "job", "get"],
    helpDoc: { usage: "muster job get [flags] <id>" },
    errors: [unknownFlag, new CliError.MissingArgument({ argument: "id" })]
  }
  assert.deepStrictEqual(describeWrongUse(event, plain).split("\n"), [
    String.raw`error: Unrecognized flag: --wiat\u001b[2J in command muster job`,
    "         Did you mean this?",
    "           --wait",
    "error: Missing required argument: id",
    "",
    "Usage: muster job get [flags] <id>",
    "Run `muster job get --help` for what it takes, with examples."
  ])
})
