/**
 * Calls of a queue's functions that are made in one turn of the event loop, or while others are under way, travel
 * together: Redis does the same for each of them and is asked once. No timer: a lone call waits for nothing. Each call
 * keeps its own answer, and its own failure.
 *
 * Submits go apart from what must pass when Redis is short of memory. Source: broker rules 20 and 23.
 */
import { Effect, Exit } from "effect"
import { RedisFailure } from "./RedisFailure.ts"
import type { FunctionCalls } from "./RedisFunctions.ts"

/** What one call carries at most, so that it stays near 1 ms. */
const perCall = 40
const textPerCall = 1024 * 1024
const underWayAtMost = 2

const submits: ReadonlySet<string> = new Set(["submit"])
const others: ReadonlySet<string> = new Set(["claim", "start", "progress", "complete", "fail", "give_back", "get"])

interface Waiting {
  readonly name: string
  readonly args: ReadonlyArray<string>
  readonly length: number
  readonly done: (exit: Exit.Exit<unknown, RedisFailure>) => void
}

const failedAlone = (reply: unknown): RedisFailure | undefined =>
  Array.isArray(reply) && reply[0] === "failed"
    ? new RedisFailure({
        detail: "Redis could not run a function",
        unavailable: false,
        cause: new Error(String(reply[1]))
      })
    : undefined

/** Calls of one kind to one queue. */
const makeLane = (functions: FunctionCalls, queue: string, batch: string) => {
  const waiting: Array<Waiting> = []
  let underWay = 0
  let flushing = false

  const take = (): ReadonlyArray<Waiting> => {
    let count = 0
    let length = 0
    for (const call of waiting) {
      if (count === perCall || (count > 0 && length + call.length > textPerCall)) break
      count++
      length += call.length
    }
    return waiting.splice(0, count)
  }

  const sendOne = ({ args, done, name }: Waiting) => Effect.map(Effect.exit(functions.call(name, queue, args)), done)

  const sendMany = (calls: ReadonlyArray<Waiting>) => {
    const args = calls.flatMap(({ args, name }) => [name, String(args.length), ...args])
    return Effect.map(Effect.exit(functions.call(batch, queue, args)), (exit) => {
      for (const [at, { done }] of calls.entries()) {
        if (Exit.isFailure(exit)) done(exit)
        else {
          const reply: unknown = Array.isArray(exit.value) ? exit.value[at] : undefined
          const failure = failedAlone(reply)
          done(failure === undefined ? Exit.succeed(reply) : Exit.fail(failure))
        }
      }
    })
  }

  const flush = (run: (effect: Effect.Effect<void>) => void): void => {
    flushing = false
    while (underWay < underWayAtMost && waiting.length > 0) {
      const calls = take()
      const [only] = calls
      underWay++
      const sent = calls.length === 1 && only !== undefined ? sendOne(only) : sendMany(calls)
      run(
        Effect.map(sent, () => {
          underWay--
          flush(run)
        })
      )
    }
  }

  return (run: (effect: Effect.Effect<void>) => void, call: Waiting): void => {
    waiting.push(call)
    if (flushing) return
    flushing = true
    setImmediate(flush, run)
  }
}

/** The same calls, of one queue, coalesced where that is worth it. */
export const make = Effect.fnUntraced(function* (functions: FunctionCalls, queue: string) {
  const runFork = Effect.runForkWith(yield* Effect.context())
  const run = (effect: Effect.Effect<void>) => void runFork(effect)
  const submitLane = makeLane(functions, queue, "batch_submits")
  const otherLane = makeLane(functions, queue, "batch")

  const coalesced = (name: string, args: ReadonlyArray<string>) =>
    Effect.callback<unknown, RedisFailure>((resume) => {
      const length = args.reduce((sum, arg) => sum + arg.length, 0)
      const lane = submits.has(name) ? submitLane : otherLane
      lane(run, { name, args, length, done: resume })
    })

  const calls: FunctionCalls = {
    call: (name, to, args) =>
      to === queue && (submits.has(name) || others.has(name)) ? coalesced(name, args) : functions.call(name, to, args)
  }
  return calls
})
