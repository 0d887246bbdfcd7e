import { assert, it } from "@effect/vitest"
import type { ConnectorJob } from "@muster/core/connector/Connector"
import * as MemoryQuotaBudget from "@muster/core/connector/internal/MemoryQuotaBudget"
import { JobId } from "@muster/core/job/Job"
import * as ConnectorLayers from "@muster/impl/ConnectorLayers"
import { Effect } from "effect"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connector } from "./ThumbnailConnector.ts"

const picture = Buffer.from("GIF89a\u0001\u0000\u0001\u0000\u0000\u0000\u0000;", "latin1")

/** The service, as far as the connector needs it. */
const service = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer((request, response) => {
      const isKnown = request.headers.authorization === "Bearer secret"
      response.writeHead(isKnown ? 200 : 401).end(isKnown ? picture : "")
    }).listen(0, "127.0.0.1")
    await once(server, "listening")
    return server
  }),
  (server) => Effect.promise(async () => void server.close())
)

const workspace = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "muster-example-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
)

const job = (payload: unknown): ConnectorJob => ({
  id: JobId.make("job-1"),
  attempt: 1,
  service_required: "thumbnail",
  payload,
  workflow_id: null,
  customer_id: null,
  metadata: null
})

it.live("makes a thumbnail, and says what is wrong with a payload", () =>
  Effect.gen(function* () {
    const address = (yield* service).address()
    const port = typeof address === "object" ? address?.port : undefined
    const layers = ConnectorLayers.layer({
      workspace: yield* workspace,
      assets: { provider: "folder" },
      fetchFrom: false
    })
    yield* Effect.gen(function* () {
      const running = yield* connector.acquire({
        THUMBNAIL_URL: `http://127.0.0.1:${port}`,
        THUMBNAIL_TOKEN: "secret",
        THUMBNAIL_TIMEOUT_SECONDS: "5"
      })
      yield* running.health
      const result: any = yield* running.process(job({ url: "https://example.org/cat.gif" }), () => Effect.void)
      assert.deepInclude(result.assets[0], { type: "image", content_type: "image/gif", size: picture.length })

      const failure = yield* Effect.flip(running.process(job({ width: 4 }), () => Effect.void))
      assert.strictEqual(failure.kind, "InvalidPayload")
    }).pipe(Effect.provide([layers, MemoryQuotaBudget.layer]))
  })
)
