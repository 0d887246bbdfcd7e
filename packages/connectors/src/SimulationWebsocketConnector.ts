/**
 * Runs jobs on the simulated service over a WebSocket, `muster simulation websocket`: starts them, follows their steps,
 * takes them up again when the socket was cut, and cancels them when they are not wanted any more.
 *
 * Payload: as SimulationHttpConnector.
 */
import type { Connector, ConnectorJob } from "@muster/core/connector/Connector"
import { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { Duration, Effect, Exit, Schema } from "effect"
import * as WebSocketService from "./protocol/WebSocketService.ts"
import * as Settings from "./Settings.ts"
import * as SimulationJob from "./simulation/SimulationJob.ts"
import { type FromClient, FromService } from "./simulation/WorkMessages.ts"

const name = "SimulationWebsocketConnector"

const socketUrl = Schema.String.check(
  Schema.makeFilter((text) => URL.canParse(text) && ["ws:", "wss:"].includes(new URL(text).protocol), {
    expected: "a ws or wss URL"
  })
)

const Variables = Schema.Struct({
  SIMULATION_WEBSOCKET_PORT: Settings.integer(1, 65_535),
  /** Instead of the port on this machine, when it is not empty. */
  SIMULATION_WEBSOCKET_URL: Schema.Union([Schema.Literal(""), socketUrl]),
  SIMULATION_WEBSOCKET_TIMEOUT_SECONDS: Settings.integer(1, 3_600),
  SIMULATION_WEBSOCKET_PATIENCE_SECONDS: Settings.integer(1, 86_400),
  ...SimulationJob.Variables.fields
})

/** Nobody follows the complaints of the service about messages: it is only told what it understands. */
const topicOf = (message: FromService): string | undefined => {
  if (message.type === "refused") return undefined
  return message.type === "pong" ? `pong ${message.id}` : message.id
}

const cancelWithin = Duration.seconds(5)

const make = Effect.fnUntraced(function* (settings: typeof Variables.Type) {
  const { SIMULATION_WEBSOCKET_PORT, SIMULATION_WEBSOCKET_URL } = settings
  const timeout = Duration.seconds(settings.SIMULATION_WEBSOCKET_TIMEOUT_SECONDS)

  /** What is said after a reconnect, by the id of work that goes on: to start it, until it is known to be heard. */
  const started = new Map<string, FromClient>()
  const service = yield* WebSocketService.make<FromService>({
    name: "the simulated service",
    url: SIMULATION_WEBSOCKET_URL === "" ? `ws://127.0.0.1:${SIMULATION_WEBSOCKET_PORT}` : SIMULATION_WEBSOCKET_URL,
    message: FromService,
    topicOf,
    resume: (send) => Effect.forEach(started.values(), send, { discard: true }),
    connectTimeout: timeout,
    patience: Duration.seconds(settings.SIMULATION_WEBSOCKET_PATIENCE_SECONDS)
  })
  const say = (message: FromClient) => service.send(message)

  /** Fails when nothing comes in time: with what is wrong with the connection, if that is why. */
  const inTime = <A>(what: string, self: Effect.Effect<A, ConnectorFailure>) =>
    Effect.timeoutOrElse(self, {
      duration: timeout,
      orElse: () => {
        const message = `the simulated service ${what} within ${Duration.format(timeout)}`
        const late = Effect.fail(new ConnectorFailure({ kind: "Timeout", message }))
        return Effect.andThen(Effect.timeoutOption(service.ready, timeout), late)
      }
    })

  let pings = 0
  const health = Effect.suspend(() => {
    const id = `${++pings}`
    const ping: FromClient = { type: "ping", id }
    return inTime("answered no ping", Effect.andThen(service.ready, service.ask(`pong ${id}`, ping)))
  })

  const process = Effect.fnUntraced(function* (job: ConnectorJob, report: (progress: Progress) => Effect.Effect<void>) {
    const request = yield* SimulationJob.requestOf(settings, job.payload)
    const id = SimulationJob.workIdOf(job)
    const start: FromClient = { type: "start", id, request }
    // A service that is away is a failure now, and no reason to wait with a job in hand.
    yield* inTime("was not connected", service.ready)
    const following = yield* service.follow(id)
    yield* Effect.acquireRelease(
      Effect.sync(() => started.set(id, start)),
      (_, exit) =>
        Effect.suspend(() => {
          started.delete(id)
          if (Exit.isSuccess(exit)) return Effect.void
          return say({ type: "cancel", id }).pipe(Effect.timeout(cancelWithin), Effect.ignore({ log: "Debug" }))
        })
    )
    // A start that may have been lost is said again with the next connection.
    yield* Effect.ignore(say(start), { log: "Debug" })

    let next = inTime("did not say that it began", following.take)
    while (true) {
      const message = yield* next
      next = following.take
      if (message.type === "full") {
        return yield* new ConnectorFailure({ kind: "RateLimited", message: "the simulated service takes no more work" })
      }
      if (message.type === "unknown") return yield* SimulationJob.forgotten
      if (message.type !== "work") continue
      started.set(id, { type: "resume", id })
      yield* report(SimulationJob.progressOf(message.work))
      const ended = SimulationJob.ending(message.work)
      if (ended !== undefined) return yield* ended
    }
  }, Effect.scoped)

  return { health: Effect.asVoid(health), process, max_concurrent_jobs: settings.SIMULATION_MAX_CONCURRENT_JOBS }
})

export const connector: Connector = {
  name,
  variables: {
    SIMULATION_WEBSOCKET_PORT: "${SIMULATION_WEBSOCKET_PORT:-8399}",
    SIMULATION_WEBSOCKET_URL: "${SIMULATION_WEBSOCKET_URL:-}",
    SIMULATION_WEBSOCKET_TIMEOUT_SECONDS: "${SIMULATION_WEBSOCKET_TIMEOUT_SECONDS:-10}",
    SIMULATION_WEBSOCKET_PATIENCE_SECONDS: "${SIMULATION_WEBSOCKET_PATIENCE_SECONDS:-60}",
    ...SimulationJob.variables
  },
  acquire: (settings) => Effect.flatMap(Settings.decode(name, Variables, settings), make)
}
