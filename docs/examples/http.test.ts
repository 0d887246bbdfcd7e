import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { WorkerId } from "@muster/core/worker/Worker"
import * as MusterClient from "@muster/http-server/client/MusterClient"
import * as WorkerLayers from "@muster/impl/WorkerLayers"
import { Effect, Layer } from "effect"
import { HttpServer } from "effect/http"
import { createServer } from "node:http"

// The routes of Muster on a server of your own: any free port, everything in memory.
const server = WorkerLayers.httpRoutes.pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provide(WorkerLayers.inMemory)
)

it.layer(Layer.mergeAll(server, NodeHttpClient.layerUndici))("Muster over HTTP", (it) => {
  it.effect("takes a job from the typed client", () =>
    Effect.gen(function* () {
      const address = yield* HttpServer.addressFormattedWith(Effect.succeed)
      const muster = yield* MusterClient.make({ baseUrl: address })

      const { job } = yield* muster.jobs.submit({ payload: { service_required: "render", priority: 80 } })
      assert.strictEqual(job.status, "pending")

      const problem = yield* Effect.flip(muster.workers.get({ params: { id: WorkerId.make("nobody") } }))
      assert.strictEqual(problem._tag, "WorkerNotFound")
    })
  )
})
