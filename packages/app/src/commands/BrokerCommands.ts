/** `muster up` and `muster server`: the broker, with and without workers of its own. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { environment } from "../Environment.ts"
import { longRunning } from "../LongRunning.ts"

const flags = {
  port: Flag.String("port").pipe(
    Flag.withAlias("p"),
    Flag.withDescription("Port to listen on; 0 takes any free one (MUSTER_PORT, default 3331)"),
    Flag.optional
  ),
  host: Flag.String("host").pipe(
    Flag.withDescription(
      "Address to listen on; any but a loopback address demands MUSTER_TOKEN (MUSTER_HOST, default 127.0.0.1)"
    ),
    Flag.optional
  )
}

interface Flags {
  readonly port: Option.Option<string>
  readonly host: Option.Option<string>
}

// The broker is loaded when it is started: `muster --help` must not wait for it.
const run = (options: { readonly withWorkers: boolean }) => (given: Flags) =>
  Effect.gen(function* () {
    const [Configuration, Broker] = yield* Effect.promise(() =>
      Promise.all([import("../Configuration.ts"), import("../processes/Broker.ts")])
    )
    const configuration = yield* Configuration.read(environment, {
      MUSTER_PORT: Option.getOrUndefined(given.port),
      MUSTER_HOST: Option.getOrUndefined(given.host)
    })
    return yield* Broker.run(configuration, options)
  }).pipe(longRunning)

export const up = Command.make("up", flags, run({ withWorkers: true })).pipe(
  Command.withDescription(
    "Start a whole broker in this process, with a machine of two workers: simulated ones, or of the worker type that CONNECTORS names. In memory, unless DATABASE_URL and REDIS_URL are set"
  ),
  Command.withShortDescription("Start a whole broker in this process, with two workers"),
  Command.withExamples([
    { command: "muster up", description: "On http://127.0.0.1:3331; what `npm start` runs" },
    { command: "CONNECTORS=comfyui muster up", description: "With workers for a ComfyUI on this machine" },
    { command: "muster up --port 4000", description: "On another port" }
  ])
)

export const server = Command.make("server", flags, run({ withWorkers: false })).pipe(
  Command.withDescription(
    "Start a server: the HTTP API and the checks of workers and jobs. Any number may share one PostgreSQL (DATABASE_URL) and Redis (REDIS_URL)"
  ),
  Command.withShortDescription("Start a server: the HTTP API and the checks of workers and jobs"),
  Command.withExamples([
    {
      command: "DATABASE_URL=postgres://… REDIS_URL=redis://… muster server",
      description: "On PostgreSQL and Redis; migrates the database when needed"
    }
  ])
)
