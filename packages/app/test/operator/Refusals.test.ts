/** What the operator commands say when the server is not as expected, or when they are used wrongly. */
import * as JobCommand from "@muster/app/commands/JobCommand"
import * as WorkersCommand from "@muster/app/commands/WorkersCommand"
import { codeOf } from "@muster/app/terminal/Exit"
import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CliOutput, Command } from "effect/cli"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { assertHarmless, field, live, muster, operate } from "./operator.ts"

describe("a server that is not as expected", () => {
  /** Something that speaks HTTP and is no Muster server. */
  const stranger = Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly close: () => void }>((resume) => {
      const server = createServer((_, response) => {
        response.writeHead(404, { "content-type": "text/html" }).end("<h1>\u001b[2JNot here</h1>")
      }).listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, close: () => server.close() }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

  live(
    "is named, with what to do about it",
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(Effect.map(stranger, ({ url }) => url))
      const { url } = yield* stranger
      const [unreachable, json, strange, refused] = yield* Effect.all(
        [
          muster(["job", "list"], { env: { MUSTER_URL: gone } }),
          muster(["workers", "list", "--json"], { env: { MUSTER_URL: gone } }),
          muster(["job", "get", "j-1"], { env: { MUSTER_URL: url } }),
          operate(["job", "list"], { env: { MUSTER_TOKEN: "another-token-of-mine" } })
        ],
        { concurrency: 2 }
      )
      assert.strictEqual(unreachable.code, 1)
      assert.strictEqual(
        unreachable.stderr,
        `error: no Muster server at ${gone} (ECONNREFUSED); start one with \`npm start\` or set MUSTER_URL\n`
      )
      assert.strictEqual(json.code, 1)
      assert.strictEqual(field(json.stderr, "code"), "ServerUnreachable")
      assert.strictEqual(strange.code, 1)
      assert.match(strange.stderr, /^error: .*404.*\n$/)
      assertHarmless(strange.stderr)
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "MUSTER_TOKEN")
    })
  )
})

describe("wrong use", () => {
  // Nothing listens there: what is wrong has to be found before anybody is asked.
  const env = { MUSTER_URL: "http://127.0.0.1:2" }
  const root = Command.make("muster").pipe(Command.withSubcommands([JobCommand.command, WorkersCommand.command]))

  it.effect("is wrong whatever the command", () =>
    Effect.gen(function* () {
      for (const args of [
        [],
        ["frobnicate"],
        ["job"],
        ["job", "get"],
        ["job", "get", "a/b"],
        ["job", "cancel", ""],
        ["job", "get", "a", "b"],
        ["job", "retry"],
        ["job", "retry", "a", "--all-failed"],
        ["job", "retry", "a", "--service", "simulation"],
        ["job", "retry", "--kind", "Timeout"],
        ["job", "retry", "--all-failed", "--kind", "Bad"],
        ["job", "retry", "--all-failed", "--service", "a b"],
        ["job", "list", "--limit", "0"],
        ["job", "list", "--all", "--limit", "3"],
        ["job", "list", "--status", "gone"],
        ["job", "list", "--worker", "a b"],
        ["job", "list", "--machine", ""],
        ["job", "list", "--created-from", "yesterday"],
        ["job", "list", "--created-before", "2026-02-30T00:00:00Z"],
        ["job", "submit"],
        ["job", "submit", "simulation", "--batch", "-"],
        ["job", "submit", "--batch", "-", "--priority", "1"],
        ["job", "submit", "--batch", "-", "--wait"],
        ["job", "submit", "--batch", "-", "--gpus", "1"],
        ["job", "submit", "--batch", "-", "--label", "tier=gold"],
        ["job", "submit", "simulation", "--gpus", "many"],
        ["job", "submit", "simulation", "--isolation", "very"],
        ["job", "attempts", "a b"],
        ["job", "submit", "--batch", "/nowhere/jobs.jsonl"],
        ["job", "submit", "simulation", "--wiat"],
        ["job", "submit", "simulation", "--timeout", "soon"],
        ["job", "submit", "simulation", "--run-at", "2026-01-01T00:00:00"],
        ["job", "submit", "simulation", "--priority", "101"],
        ["job", "submit", "simulation", "--payload", "1", "--payload", "2"],
        ["workers", "list", "--status", "gone"],
        ["workers", "show", "a b"],
        ["workers", "list", "stray"],
        ["workers", "pause"],
        ["workers", "resume", "a", "b c"],
        ["workers", "drain", "a", "--now"],
        ["workers", "pause", "a", "--wait"]
      ]) {
        const exit = yield* Effect.exit(Command.runWith(root, { version: "1" })(args))
        assert.strictEqual(codeOf(exit, 130), 2, args.join(" "))
      }
    }).pipe(
      Effect.provide(CliOutput.layerPresenter({ present: () => Effect.void })),
      Effect.provide(NodeServices.layer)
    )
  )

  it.live(
    "exits with 2, and says why on standard error alone",
    () =>
      Effect.gen(function* () {
        const lines = [
          { args: ["job", "submit", "simulation", "stray"], says: 'Unexpected positional argument: "stray"' },
          { args: ["job", "submit", "simulation", "--payload", "{x"], says: "--payload: not JSON" },
          { args: ["workers"], says: "muster workers <subcommand>" },
          { args: ["job", "list"], url: "http://user:secret@127.0.0.1:2", says: "MUSTER_URL" }
        ]
        yield* Effect.forEach(
          lines,
          Effect.fnUntraced(function* ({ args, says, url = env.MUSTER_URL }) {
            const { code, stderr, stdout } = yield* muster(args, { env: { MUSTER_URL: url } })
            assert.deepStrictEqual({ args, code, stdout }, { args, code: 2, stdout: "" })
            assert.include(stderr, says)
            assert.notInclude(stderr, "secret")
          }),
          { concurrency: 2 }
        )
        const json = yield* muster(["job", "get", "--json"], { env })
        assert.strictEqual(json.code, 2)
        assert.deepStrictEqual(JSON.parse(json.stderr), {
          type: "urn:muster:problem:WrongUse",
          code: "WrongUse",
          detail: "Missing required argument: id"
        })
      }),
    120_000
  )

  it.live(
    "is not to ask for help",
    () =>
      Effect.gen(function* () {
        const [help, version] = yield* Effect.all([muster(["job", "submit", "--help"]), muster(["--version"])], {
          concurrency: 2
        })
        assert.strictEqual(help.code, 0)
        assert.strictEqual(help.stderr, "")
        assert.include(help.stdout, "--payload-file PATH")
        assert.include(help.stdout, "EXAMPLES")
        assert.match(version.stdout, /^muster \d+\.\d+\.\d+\n$/)
      }),
    120_000
  )
})
