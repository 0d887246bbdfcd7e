/** What `muster doctor` learns by asking the server: whether it is there and takes the token, and what it finds itself. */
import * as Finding from "@muster/core/diagnosis/Finding"
import * as MusterClient from "@muster/http-server/client/MusterClient"
import { Clock, Duration, Effect, Option } from "effect"
import { FetchHttpClient, Headers } from "effect/http"
import type { Configuration } from "../../Configuration.ts"
import { version } from "../../Version.ts"
import * as Server from "../Server.ts"

/** What one side has found. */
export interface Visit {
  /** What this side can tell of the server, by name. */
  readonly here: ReadonlyArray<Finding.Finding>
  /** What the server found. */
  readonly server: ReadonlyArray<Finding.Finding>
}

const toAnswer = Duration.seconds(3)
/** The server gives each of its checks 2.5 s. */
const toDiagnose = Duration.seconds(5)

/** A difference of clocks that nothing notices. */
const tolerated = 1_000
/** The header has whole seconds. */
const second = 1_000

/**
 * By how many ms this clock is ahead of a server's: at least, given that the answer was under way for half of the round
 * trip, and that its date was cut to the second.
 */
export const ahead = (date: number, asked: number, answered: number): number => {
  const roundTrip = answered - asked
  const middle = asked + roundTrip / 2
  if (middle < date) return Math.min(0, middle - date + roundTrip / 2)
  return Math.max(0, middle - (date + second) - roundTrip / 2)
}

const inSeconds = (ms: number): string => `${(Math.abs(ms) / 1_000).toFixed(1)} s`

const clock = (date: number, asked: number, answered: number, lease: Duration.Duration): Finding.Found => {
  const difference = ahead(date, asked, answered)
  const words = `this clock is ${inSeconds(difference)} ${difference > 0 ? "ahead of" : "behind"} the server's`
  const fix = "set the wrong one right: timedatectl set-ntp true"
  if (Math.abs(difference) > Duration.toMillis(lease) / 2) return Finding.error(words, fix)
  return Math.abs(difference) > tolerated
    ? Finding.warning(words, fix)
    : Finding.ok("this clock and the server's agree, as far as a second tells")
}

const named = (name: string, found: Finding.Found): Finding.Finding => ({ name, ...found })

const nothing: Visit = { here: [], server: [] }

const told = (finding: Finding.Finding): Visit => ({ here: [finding], server: [] })

const howToStart = (url: string, isConfigured: boolean): string =>
  isConfigured ? `start the server, or let MUSTER_URL say where it is (it says ${url})` : "start one: npx muster up"

/** Asks whether the server is there, and what time it has. */
const greet = Effect.fnUntraced(function* (configuration: Configuration, mayBeAway: boolean) {
  const { environment, queue, token, url } = configuration
  const client = yield* MusterClient.make({ baseUrl: url, token, patience: toAnswer })
  const asked = yield* Clock.currentTimeMillis
  const answer = yield* Effect.result(client.system.health({ responseMode: "response-only" }))
  const answered = yield* Clock.currentTimeMillis
  if (answer._tag === "Failure") {
    const error = answer.failure
    const away = error._tag === "ServerUnreachable"
    const detail = away ? error.message : `what answers at ${url} is no Muster server`
    const fix = howToStart(url, Boolean(environment["MUSTER_URL"]))
    return {
      isThere: false,
      here: [named("server", (mayBeAway && away ? Finding.warning : Finding.error)(detail, fix))]
    }
  }
  const { headers, status } = answer.success
  if (status !== 200) {
    const detail = `what answers at ${url} is no Muster server: status ${status} for /health`
    return {
      isThere: false,
      here: [named("server", Finding.error(detail, howToStart(url, Boolean(environment["MUSTER_URL"]))))]
    }
  }
  const date = Date.parse(Option.getOrElse(Headers.get(headers, "date"), () => ""))
  const clocks = Number.isNaN(date) ? [] : [named("clock", clock(date, asked, answered, queue.lease))]
  return { isThere: true, here: clocks }
})

const compared = (theirs: string, url: string): Finding.Found => {
  if (theirs === version) return Finding.ok(`Muster ${version} answers at ${url}, the version of this command`)
  // One that was put together from the library.
  if (theirs === "unknown") return Finding.ok(`a Muster server that does not know its version answers at ${url}`)
  return Finding.warning(
    `Muster ${theirs} answers at ${url}, and this command is ${version}`,
    "install the same version on both sides"
  )
}

const asked = Effect.fnUntraced(function* ({ token, url }: Configuration) {
  const client = yield* MusterClient.make({ baseUrl: url, token, patience: toDiagnose })
  const answer = yield* Effect.result(Server.ask(client.system.doctor({ responseMode: "decoded-and-response" })))
  if (answer._tag === "Success") {
    const { findings, version: theirs } = answer.success.value
    const words = token === undefined ? "none is asked for" : "the server takes it"
    return {
      here: [named("server", compared(theirs, url)), named("token", Finding.ok(words))],
      server: findings
    } satisfies Visit
  }
  const error = answer.failure
  switch (error._tag) {
    case "Unauthenticated": {
      const here = Finding.ok(`a Muster server answers at ${url}`)
      const found =
        token === undefined
          ? Finding.error(
              "the server asks for a token, and none is set here",
              "export MUSTER_TOKEN=… as the server has it"
            )
          : Finding.error("the server does not take this token", "export MUSTER_TOKEN=… as the server has it")
      return { here: [named("server", here), named("token", found)], server: [] } satisfies Visit
    }
    case "Forbidden":
      return told(
        named(
          "server",
          Finding.error(error.detail, "ask it from its own machine, or give it a MUSTER_TOKEN and a MUSTER_HOST")
        )
      )
    case "RouteNotFound":
      return told(
        named(
          "server",
          Finding.warning(
            `the server at ${url} is older than this command (${version}) and cannot examine itself`,
            "upgrade the server, or see its log"
          )
        )
      )
    default:
      return told(
        named("server", Finding.error(`the server at ${url} could not examine itself: ${error.message}`, "see its log"))
      )
  }
})

/** Visits the server. `mayBeAway`: nobody said that there is one. */
export const visit = Effect.fnUntraced(function* (configuration: Configuration, mayBeAway: boolean) {
  const greeting = yield* greet(configuration, mayBeAway)
  const { here, server } = greeting.isThere ? yield* asked(configuration) : nothing
  return { here: [...greeting.here, ...here], server } satisfies Visit
}, Effect.provide(FetchHttpClient.layer))
