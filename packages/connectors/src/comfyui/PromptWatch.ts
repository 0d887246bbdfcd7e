/**
 * Follows a prompt to its end, by its socket and by queue and history, so that the end is found whatever is lost, late
 * or said twice. The socket tells how far it is and when to look; what became of it is read from the history, which is
 * written before the end is told. Only when the history has lost it the events are believed.
 */
import type { ConnectorFailure } from "@muster/core/connector/ConnectorFailure"
import type { Progress } from "@muster/core/job/Job"
import { Clock, Duration, Effect, Option, Schedule, Schema } from "effect"
import * as Polling from "../protocol/Polling.ts"
import type { Following } from "../protocol/WebSocketService.ts"
import * as ComfyFailure from "./ComfyFailure.ts"
import { type Message, type NodeOutput, type Past, ExecutionError } from "./ComfyMessages.ts"
import type { ComfyServer } from "./ComfyServer.ts"
import type { GraphProgress } from "./GraphProgress.ts"
import type { Liveness } from "./Liveness.ts"

/** What a prompt made: outputs by node. */
export type Outputs = Readonly<Record<string, NodeOutput>>

export interface Watched {
  readonly server: ComfyServer
  readonly liveness: Liveness
  readonly prompt_id: string
  readonly following: Following<Message>
  readonly progress: GraphProgress
  readonly report: (progress: Progress) => Effect.Effect<void>
  /** Takes a picture of what the prompt is making. */
  readonly show: (picture: Uint8Array) => void
  /** After so long without a word queue and history are read. */
  readonly silence: Duration.Duration
  /** The server may be away for so long before the prompt is given up. */
  readonly patience: Duration.Duration
  /** Whether every event since the prompt was sent can have been heard. */
  readonly fromBeginning: boolean
}

/** How the history may lag behind the event that speaks of it, behind a proxy for example. */
const shortly = Schedule.exponential("50 millis")
const looksForThePast = 4
const secondLook = Duration.millis(200)

const ends: ReadonlySet<string> = new Set(["execution_success", "execution_error", "execution_interrupted"])

const decodeError = Schema.decodeUnknownOption(ExecutionError)

/** What became of a prompt that is in the history. */
export const ofPast = ({ outputs, status }: Past): Effect.Effect<Outputs, ConnectorFailure> => {
  // "error" is said of failed and of interrupted ones; only the messages tell them apart.
  if (status?.status_str !== "error") return Effect.succeed(outputs)
  for (const [type, data] of status.messages.toReversed()) {
    if (type === "execution_interrupted") return Effect.fail(ComfyFailure.interrupted)
    if (type === "execution_error") {
      return Effect.fail(ComfyFailure.ofExecution(Option.getOrElse(decodeError(data), () => ({}))))
    }
  }
  return Effect.fail(ComfyFailure.ofExecution({}))
}

/** Tells the events of a prompt from those of others; to be asked about each in turn. */
export const makeOurs = (prompt_id: string) => {
  // One prompt runs at a time. What says nothing of its prompt is of the one that was heard of last.
  let isRunning = false
  return (message: Message): boolean => {
    if ("picture" in message) return message.prompt_id === undefined ? isRunning : message.prompt_id === prompt_id
    if (message.type === "reconnected") isRunning = false
    if (!("data" in message)) return false
    const isOurs = message.data.prompt_id === prompt_id
    const isEnd = ends.has(message.type) || (message.type === "executing" && message.data.node === null)
    isRunning = isOurs && !isEnd
    return isOurs
  }
}

/** What the events of a prompt told, for when nothing else does. */
const makeHeard = (fromBeginning: boolean) => {
  const outputs = new Map<string, NodeOutput>()
  let isWhole = fromBeginning
  let end: Effect.Effect<Outputs, ConnectorFailure> | undefined
  return {
    /** Gives true for an event that ends the prompt. */
    hear: (message: Message): boolean => {
      if (message.type === "reconnected") isWhole = false
      if (!("data" in message)) return false
      switch (message.type) {
        case "executed":
          if (message.data.output !== null) outputs.set(message.data.node, message.data.output)
          return false
        case "execution_success":
          if (isWhole) end ??= Effect.sync(() => Object.fromEntries(outputs))
          return true
        case "execution_error":
          end ??= Effect.fail(ComfyFailure.ofExecution(message.data))
          return true
        case "execution_interrupted":
          end ??= Effect.fail(ComfyFailure.interrupted)
          return true
        case "executing":
          // Ends success, error and interruption alike; builds before July 2024 say success in no other way.
          if (message.data.node !== null) return false
          if (isWhole && outputs.size > 0) end ??= Effect.sync(() => Object.fromEntries(outputs))
          return true
        default:
          return false
      }
    },
    /** What became of it, when the events alone tell. */
    verdict: () => end
  }
}

/** Where a prompt is. */
type Place =
  | { readonly _tag: "Running" }
  | { readonly _tag: "Waiting"; readonly ahead: number }
  | { readonly _tag: "Past"; readonly past: Past }
  | { readonly _tag: "Gone" }

/** Waits for the end of a prompt; gives what it made. */
export const untilDone = Effect.fnUntraced(function* (watched: Watched): Effect.fn.Return<Outputs, ConnectorFailure> {
  const { following, liveness, progress, prompt_id, report, server, silence } = watched
  const heard = makeHeard(watched.fromBeginning)
  const ours = makeOurs(prompt_id)

  const inQueue = Effect.gen(function* () {
    const queue = yield* server.queue
    yield* liveness.saw(queue)
    const isOurs = ([, id]: readonly [unknown, string, ...ReadonlyArray<unknown>]) => id === prompt_id
    if (queue.queue_running.some(isOurs)) return Option.some<Place>({ _tag: "Running" })
    const ours = queue.queue_pending.find(isOurs)
    if (ours === undefined) return Option.none<Place>()
    // The list is a heap: its order is not the order of running.
    const ahead = queue.queue_pending.filter(([number]) => Number(number) < Number(ours[0])).length
    return Option.some<Place>({ _tag: "Waiting", ahead: ahead + queue.queue_running.length })
  })

  const inHistory = Effect.map(
    server.past(prompt_id),
    Option.map((past): Place => ({ _tag: "Past", past }))
  )

  /**
   * The reads are not atomic: what was in neither place may have moved from one to the other in between. What is gone
   * has to be made anew, so that is looked at twice.
   */
  const locate = Effect.gen(function* () {
    for (const place of [inQueue, inHistory, inQueue, Effect.delay(inHistory, secondLook), inQueue]) {
      const found = yield* place
      if (Option.isSome(found)) return found.value
    }
    return { _tag: "Gone" } satisfies Place
  })

  /** None while it goes on. */
  const settled = (place: Place) => {
    switch (place._tag) {
      case "Past":
        return Effect.as(liveness.clear, Option.some(ofPast(place.past)))
      case "Gone":
        return Effect.succeedSome(heard.verdict() ?? Effect.fail(ComfyFailure.gone))
      case "Running":
        return Effect.succeedNone
      case "Waiting":
        return Effect.as(report({ percent: 0, message: `waits behind ${place.ahead} prompts` }), Option.none())
    }
  }

  /** After an end was told: the history has it, as a rule at the first look. */
  const lookBack = inHistory.pipe(
    Effect.flatMap(Option.match({ onNone: () => Effect.fail("not yet" as const), onSome: Effect.succeed })),
    Effect.retry({ times: looksForThePast, while: (error) => error === "not yet", schedule: shortly }),
    Effect.catchIf(
      (error) => error === "not yet",
      () => locate
    ),
    Effect.flatMap(settled)
  )

  let unreachableSince: number | undefined
  /** A look that fails says nothing about the prompt, until it has failed for too long. */
  const patiently = <A>(look: Effect.Effect<Option.Option<A>, ConnectorFailure>) =>
    look.pipe(
      Effect.tap(() => Effect.sync(() => void (unreachableSince = undefined))),
      Effect.catch(
        Effect.fnUntraced(function* (failure): Effect.fn.Return<Option.Option<A>, ConnectorFailure> {
          // Answered by a server that is there, but stuck.
          yield* liveness.check
          if (!Polling.mayPass(failure)) return yield* failure
          const now = yield* Clock.currentTimeMillis
          unreachableSince ??= now
          if (now - unreachableSince >= Duration.toMillis(watched.patience)) return yield* failure
          return Option.none()
        })
      )
    )

  const silentFor = Duration.toMillis(silence)
  const retryFor = Math.min(silentFor, 1_000)
  // What an earlier try sent may be done already, and then nothing more is told of it.
  let lookAt = (yield* Clock.currentTimeMillis) + (watched.fromBeginning ? silentFor : 0)
  for (;;) {
    const now = yield* Clock.currentTimeMillis
    const wait = Duration.millis(Math.max(0, lookAt - now))
    const message = yield* following.take.pipe(
      Effect.timeoutOption(wait),
      // Without its socket the prompt is watched by looking alone.
      Effect.catch(() => Effect.as(Effect.sleep(wait), Option.none<Message>()))
    )
    const isOver = Option.isNone(message)
    const isBack = Option.isSome(message) && message.value.type === "reconnected"
    let isEnd = false
    if (Option.isSome(message)) {
      const said = message.value
      const isOurs = ours(said)
      if (isOurs || isBack) isEnd = heard.hear(said)
      if (isOurs) {
        lookAt = (yield* Clock.currentTimeMillis) + silentFor
        const told = progress.hear(said)
        if ("picture" in said && said.picture !== undefined) watched.show(said.picture)
        if (told !== undefined) yield* report(told)
      }
    }
    if (!isOver && !isBack && !isEnd) continue
    const result = yield* patiently(isEnd ? lookBack : Effect.flatMap(locate, settled))
    if (Option.isSome(result)) return yield* result.value
    const wasAway = unreachableSince !== undefined
    lookAt = (yield* Clock.currentTimeMillis) + (wasAway ? retryFor : silentFor)
  }
})
