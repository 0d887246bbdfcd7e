/** A response that is made in the background, and that a later attempt goes on with: see `NotedWork`. */
import type { Progress } from "@muster/core/job/Job"
import { Clock, DateTime, Effect, Option } from "effect"
import * as NotedWork from "../protocol/NotedWork.ts"
import { ending, type ResponseAnswer } from "./ResponseAnswer.ts"
import * as TokenUsage from "./TokenUsage.ts"

type Noted<E, R> = NotedWork.NotedWorkOptions<ResponseAnswer, void, E, R>

export interface BackgroundOptions<E, R> extends Omit<Noted<E, R>, "what" | "prepare" | "submit" | "ending" | "seen"> {
  readonly submit: Effect.Effect<ResponseAnswer, E, R>
  readonly report: (progress: Progress) => Effect.Effect<void>
  /** Hears of the tokens of a response that has ended, well or not. */
  readonly used: (usage: TokenUsage.TokenUsage | null) => Effect.Effect<void>
}

/** Makes a response, or goes on with the one of an earlier attempt. Fails as `NotedWork` does. */
export const make = <E, R>({ report, submit, used, ...options }: BackgroundOptions<E, R>) => {
  const seen = Effect.fnUntraced(function* (answer: ResponseAnswer) {
    // The id stands there for people who want to look it up.
    yield* report({ percent: 0, message: `response ${answer.id}: ${answer.status ?? "done"}` })
    const now = DateTime.makeUnsafe(yield* Clock.currentTimeMillis)
    if (Option.isSome(ending(answer, now))) yield* used(TokenUsage.of(answer.usage))
  })
  return NotedWork.make({ ...options, what: "response", prepare: Effect.void, submit: () => submit, ending, seen })
}
