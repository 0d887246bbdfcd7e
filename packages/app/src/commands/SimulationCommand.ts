/** `muster simulation`: services that only exist as time passing, to try connectors out on. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { environment } from "../Environment.ts"
import { longRunning } from "../LongRunning.ts"

const flags = (variable: string, port: number) => ({
  port: Flag.String("port").pipe(
    Flag.withAlias("p"),
    Flag.withDescription(`Port to listen on; 0 takes any free one (${variable}, default ${port})`),
    Flag.optional
  ),
  host: Flag.String("host").pipe(
    Flag.withDescription("Address to listen on; whoever reaches it may use it"),
    Flag.withDefault("127.0.0.1")
  )
})

const run =
  (protocol: "http" | "websocket") => (given: { readonly port: Option.Option<string>; readonly host: string }) =>
    Effect.gen(function* () {
      const Simulation = yield* Effect.promise(() => import("../processes/Simulation.ts"))
      const port = Option.getOrUndefined(given.port)
      return yield* Simulation.run({ protocol, host: given.host, port, environment })
    }).pipe(longRunning)

const http = Command.make("http", flags("SIMULATION_HTTP_PORT", 8299), run("http")).pipe(
  Command.withDescription(
    "Start a simulated service over HTTP, for SimulationHttpConnector and LimitedServiceConnector. It delays, fails, hangs, cuts connections and answers late when a job asks for it"
  ),
  Command.withShortDescription("A simulated service over HTTP"),
  Command.withExamples([{ command: "muster simulation http" }])
)

const websocket = Command.make("websocket", flags("SIMULATION_WEBSOCKET_PORT", 8399), run("websocket")).pipe(
  Command.withDescription(
    "Start a simulated service over WebSockets, for SimulationWebsocketConnector. It delays, fails, hangs, cuts sockets and answers late when a job asks for it"
  ),
  Command.withShortDescription("A simulated service over WebSockets"),
  Command.withExamples([{ command: "muster simulation websocket --port 9399" }])
)

export const command = Command.make("simulation").pipe(
  Command.withDescription("Start a simulated service to try connectors out on: work is time passing, in steps"),
  Command.withShortDescription("Start a simulated service to try connectors out on"),
  Command.withSubcommands([http, websocket])
)
