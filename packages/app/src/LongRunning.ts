/**
 * What is common to commands that run until they are stopped: their logs go to standard error, and being stopped by a
 * signal is their normal end. A second signal ends the process at once.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"

let running = false

/** Whether this process runs such a command; read when it ends, to choose the exit code. */
export const isLongRunning = (): boolean => running

const logs = process.stderr.isTTY
  ? Layer.mergeAll(Logger.layer([Logger.consolePretty()]), Layer.succeed(Logger.LogToStderr, true))
  : Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)])

const endAtSecondSignal = Effect.sync(() => {
  let signals = 0
  const onSignal = () => {
    if (++signals > 1) process.exit(130)
  }
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal)
})

/** Marks a command as one that runs until it is stopped. */
export const longRunning = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    running = true
    return Effect.andThen(endAtSecondSignal, self)
  }).pipe(Effect.provide(logs))
