/**
 * The raw limit to compare with: a bare `node:http` server that does nothing but the batched write of heartbeats.
 * Started by the `heartbeats` bench with DATABASE_URL; prints its port.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, ManagedRuntime, Redacted } from "effect"
import { SqlClient } from "effect/sql/SqlClient"
import { createServer, type ServerResponse } from "node:http"

const runtime = ManagedRuntime.make(
  PgClient.layer({ url: Redacted.make(process.env["DATABASE_URL"] ?? ""), maxConnections: 10 })
)

interface Beat {
  readonly id: string
  readonly response: ServerResponse
}

const inFlightAtMost = 2
const batchAtMost = 1_000
let waiting: Array<Beat> = []
let inFlight = 0

const write = (ids: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient
    return yield* sql<{ readonly worker_id: string }>`
      WITH before AS (
        SELECT worker_id, at FROM last_heartbeats WHERE worker_id = ANY(${ids}::text[])
        ORDER BY worker_id FOR NO KEY UPDATE
      ), beat AS (
        UPDATE last_heartbeats l SET at = clock_timestamp() FROM before WHERE l.worker_id = before.worker_id
        RETURNING l.worker_id
      ), past AS (
        INSERT INTO past_heartbeats SELECT worker_id, at FROM before WHERE at IS NOT NULL
      )
      SELECT worker_id FROM beat`
  })

const answer = (response: ServerResponse, status: number) => {
  response.writeHead(status, { "content-type": "application/json", "content-length": 2 }).end("{}")
}

const flush = async (): Promise<void> => {
  if (inFlight === inFlightAtMost || waiting.length === 0) return
  inFlight++
  const batch = waiting.slice(0, batchAtMost)
  waiting = waiting.slice(batchAtMost)
  const rows = await runtime.runPromise(write([...new Set(batch.map(({ id }) => id))]))
  const known = new Set(rows.map(({ worker_id }) => worker_id))
  for (const { id, response } of batch) answer(response, known.has(id) ? 200 : 404)
  inFlight--
  void flush()
}

const server = createServer((request, response) => {
  const id = /^\/workers\/([^/]+)\/heartbeat$/.exec(request.url ?? "")?.[1]
  if (request.method !== "POST" || id === undefined) return answer(response, 404)
  request.resume().on("end", () => {
    waiting.push({ id, response })
    if (waiting.length === 1) setImmediate(() => void flush())
  })
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (address !== null && typeof address !== "string") process.stdout.write(`${address.port}\n`)
})
process.stdin.resume().on("end", () => process.exit(0))
