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

const textPerCall = 1024 * 1024
const underWayAtMost = 2

/**
 * Which functions travel with which, by the function that carries them, and how many at most, so that a call stays below
 * 1 ms. Within a call they go in this order: what ends jobs makes room for claims. Reports of a worker at full load go in
 * two calls rather than one: while Redis does the second, the worker goes on with what the first one made room for.
 */
const kinds = [
  { batch: "batch", perCall: 40, names: ["start", "progress", "complete", "fail", "give_back", "get", "claim"] },
  { batch: "batch_submits", perCall: 64, names: ["submit"] }
]

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
const makeLane = (
  functions: FunctionCalls,
  queue: string,
  { batch, names, perCall }: (typeof kinds)[number],
  run: (effect: Effect.Effect<void>) => void,
  flushAll: () => void
) => {
  let waiting: Array<Waiting> = []
  let underWay = 0

  const take = (): ReadonlyArray<Waiting> => {
    let count = 0
    let length = 0
    for (const call of waiting) {
      if (count === perCall || (count > 0 && length + call.length > textPerCall)) break
      count++
      length += call.length
    }
    const taken = waiting
    waiting = taken.slice(count)
    taken.length = count
    return taken
  }

  const sendOne = ({ args, done, name }: Waiting) => Effect.map(Effect.exit(functions.call(name, queue, args)), done)

  /** All calls of a function have as many arguments; lua/functions/batch.lua is told once for all of them. */
  const sendMany = (calls: ReadonlyArray<Waiting>) => {
    const args: Array<string> = []
    const order: Array<Waiting> = []
    for (const name of names) {
      const head = args.length
      const before = order.length
      for (const call of calls) {
        if (call.name !== name) continue
        if (order.length === before) args.push(name, "", String(call.args.length))
        for (const arg of call.args) args.push(arg)
        order.push(call)
      }
      if (order.length > before) args[head + 1] = String(order.length - before)
    }
    return Effect.map(Effect.exit(functions.call(batch, queue, args)), (exit) => {
      for (const [at, { done }] of order.entries()) {
        if (Exit.isFailure(exit)) done(exit)
        else {
          const reply: unknown = Array.isArray(exit.value) ? exit.value[at] : undefined
          const failure = failedAlone(reply)
          done(failure === undefined ? Exit.succeed(reply) : Exit.fail(failure))
        }
      }
    })
  }

  return {
    push: (call: Waiting) => void waiting.push(call),
    isIdle: () => underWay === 0,
    flush: (): void => {
      while (underWay < underWayAtMost && waiting.length > 0) {
        const calls = take()
        const [only] = calls
        underWay++
        const sent = calls.length === 1 && only !== undefined ? sendOne(only) : sendMany(calls)
        run(
          Effect.map(sent, () => {
            underWay--
            flushAll()
          })
        )
      }
    }
  }
}

/** The same calls, of one queue, coalesced where that is worth it. */
export const make = Effect.fnUntraced(function* (functions: FunctionCalls, queue: string) {
  const runFork = Effect.runForkWith(yield* Effect.context())
  const run = (effect: Effect.Effect<void>) => void runFork(effect)
  let soon = false
  let later = false
  const flushAll = (): void => {
    soon = false
    for (const lane of lanes) lane.flush()
  }
  const flushLater = (): void => {
    later = false
    flushAll()
  }
  const lanes = kinds.map((kind) => makeLane(functions, queue, kind, run, flushAll))
  const laneOf = new Map(kinds.flatMap(({ names }, at) => names.map((name) => [name, lanes[at]] as const)))

  const calls: FunctionCalls = {
    call: (name, to, args) => {
      const lane = to === queue ? laneOf.get(name) : undefined
      if (lane === undefined) return functions.call(name, to, args)
      return Effect.callback<unknown, RedisFailure>((resume) => {
        let length = 0
        for (const arg of args) length += arg.length
        lane.push({ name, args, length, done: resume })
        // With nothing under way it goes as soon as those are there that are made right now.
        if (lane.isIdle()) {
          if (!soon) queueMicrotask(flushAll)
          soon = true
        } else {
          if (!later) setImmediate(flushLater)
          later = true
        }
      })
    }
  }
  return calls
})
