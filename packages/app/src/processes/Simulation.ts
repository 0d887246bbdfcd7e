/** A simulated service as a process: something that connectors can talk to, and that misbehaves on request. */
import { type Protocol, serve } from "@muster/impl/SimulationServices"
import { Console, Effect, Schema } from "effect"
import { isLoopback, WrongUse } from "../Configuration.ts"

/** The variable that names the port, here and for the connector, and the port without it. */
const ports: Record<Protocol, readonly [name: string, usual: number]> = {
  http: ["SIMULATION_HTTP_PORT", 8299],
  websocket: ["SIMULATION_WEBSOCKET_PORT", 8399]
}

const Port = Schema.NumberFromString.pipe(
  Schema.decodeTo(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 })))
)

/** The service could not listen where it was told to. */
export class CannotSimulate extends Schema.TaggedError<CannotSimulate>(
  "@muster/app/processes/Simulation/CannotSimulate"
)("CannotSimulate", { address: Schema.String, code: Schema.String }) {
  override get message() {
    return this.code === "EADDRINUSE"
      ? `${this.address} is taken by another process; choose another port with --port`
      : `cannot listen on ${this.address} (${this.code}); choose another with --host and --port`
  }
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown reason"

export interface Options {
  readonly protocol: Protocol
  readonly host: string
  /** As it was given; undefined leaves it to the environment. */
  readonly port: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** Serves until it is interrupted. */
export const run = Effect.fnUntraced(function* ({ environment, host, port: given, protocol }: Options) {
  const [variable, usual] = ports[protocol]
  const text = given ?? (environment[variable] || `${usual}`)
  const port = yield* Schema.decodeUnknownEffect(Port)(text).pipe(
    Effect.mapError(
      () =>
        new WrongUse({
          problems: [`${given === undefined ? variable : "--port"}: a port from 0 to 65535, not ${text}`]
        })
    )
  )
  const url = yield* serve(protocol, { host, port }).pipe(
    Effect.mapError(({ cause }) => new CannotSimulate({ address: `${host}:${port}`, code: codeOf(cause) }))
  )
  yield* Console.log(
    [
      `A simulated service is listening on ${url}`,
      "",
      `  CONNECTORS=simulation-${protocol} leads jobs of the type simulation to it`,
      ...(url.endsWith(`:${usual}`) ? [] : [`  with ${variable.replace(/PORT$/, "URL")}=${url}`]),
      ...(isLoopback(host) ? [] : ["  Whoever reaches it may use it: it asks for no token"]),
      "",
      "Ctrl-C stops it."
    ].join("\n")
  )
  return yield* Effect.never
}, Effect.scoped)
