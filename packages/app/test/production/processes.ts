/** Real `muster` processes for tests, under the keeper of the test servers: whatever happens, they are ended. */
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { freshFolder, type OwnServer, start } from "../../../../tools/servers/ServerProcess.ts"

const bin = join(import.meta.dirname, "../../bin/muster.js")

/** A process that a test may hurt; it keeps its port and its environment through every restart. */
export interface MusterProcess {
  readonly url: string
  readonly stop: Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  readonly restart: Effect.Effect<void>
}

const scoped = (acquire: () => Promise<OwnServer>): Effect.Effect<MusterProcess, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.promise(acquire), (server) => Effect.promise(server.stop)).pipe(
    Effect.map((server) => ({
      url: server.url,
      stop: Effect.promise(server.stop),
      kill: Effect.promise(server.kill),
      pause: Effect.promise(server.pause),
      resume: Effect.promise(server.resume),
      restart: Effect.promise(server.restart)
    }))
  )

/** Starts `muster COMMAND --port …` and waits until it listens. */
export const startBroker = (command: "up" | "server", env: Record<string, string>) =>
  scoped(async () =>
    start({
      folder: await freshFolder(`muster-${command}`),
      url: (port) => `http://127.0.0.1:${port}`,
      command: (port) => ({
        file: process.execPath,
        args: [bin, command, "--port", String(port)],
        env,
        ready: "is listening on",
        stopSignal: "SIGINT"
      })
    })
  )

/** Starts `muster worker` and waits until it is registered. */
export const startWorker = (env: Record<string, string>) =>
  scoped(async () =>
    start({
      folder: await freshFolder("muster-worker"),
      url: () => "",
      command: () => ({
        file: process.execPath,
        args: [bin, "worker"],
        env,
        ready: "is registered and accepts",
        stopSignal: "SIGTERM"
      })
    })
  )
