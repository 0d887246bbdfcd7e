/** The registry as a worker process reaches it: over HTTP, through the typed client. */
import type { Worker } from "@muster/core/worker/Worker"
import { RegistryAccess, RegistryRefused, RegistryUnreachable } from "@muster/core/worker/RegistryAccess"
import { InvalidConfiguration, LiveTwin, WorkerAlreadyExists, WorkerNotFound } from "@muster/core/worker/WorkerErrors"
import * as MusterClient from "@muster/http-server/client/MusterClient"
import { Effect, Layer, type Redacted } from "effect"
import type { HttpClient } from "effect/http"

/** What the server answered, when it is none of the answers a worker acts upon. */
const classify = (error: { readonly _tag: string; readonly message: string }) => {
  switch (error._tag) {
    case "ServerUnreachable":
    case "StoreUnavailable":
    case "InternalError":
    // A proxy in between that cannot reach the server either.
    case "HttpClientError":
      return new RegistryUnreachable({ message: error.message, cause: error })
    default:
      return new RegistryRefused({ message: error.message })
  }
}

export const layer = (options: {
  readonly url: string
  readonly token: Redacted.Redacted | undefined
}): Layer.Layer<RegistryAccess, never, HttpClient.HttpClient> =>
  Layer.effect(
    RegistryAccess,
    Effect.gen(function* () {
      const client = yield* MusterClient.make({ baseUrl: options.url, token: options.token })
      const workerOf = ({ worker }: { readonly worker: Worker }) => worker
      return RegistryAccess.of({
        register: (registration) =>
          client.workers.register({ payload: registration }).pipe(
            Effect.map(workerOf),
            Effect.mapError((error) => {
              if (error._tag === "WorkerAlreadyExists") return new WorkerAlreadyExists({ id: error.id })
              if (error._tag === "InvalidConfiguration") {
                return new InvalidConfiguration({ path: error.path, detail: error.detail })
              }
              return classify(error)
            })
          ),
        update: (id, update) =>
          client.workers.update({ params: { id }, payload: update }).pipe(
            Effect.map(workerOf),
            Effect.mapError((error) => {
              if (error._tag === "WorkerNotFound") return new WorkerNotFound({ id })
              if (error._tag === "LiveTwin") {
                return new LiveTwin({ id, instance_id: error.instance_id, last_heartbeat_at: error.last_heartbeat_at })
              }
              if (error._tag === "InvalidConfiguration") {
                return new InvalidConfiguration({ path: error.path, detail: error.detail })
              }
              return classify(error)
            })
          ),
        beat: (id) =>
          client.workers.heartbeat({ params: { id } }).pipe(
            Effect.asVoid,
            Effect.mapError((error) => (error._tag === "WorkerNotFound" ? new WorkerNotFound({ id }) : classify(error)))
          ),
        leave: (id) =>
          client.workers.setStatus({ params: { id }, payload: { status: "offline" } }).pipe(
            Effect.asVoid,
            Effect.mapError((error) => (error._tag === "WorkerNotFound" ? new WorkerNotFound({ id }) : classify(error)))
          )
      })
    })
  )
