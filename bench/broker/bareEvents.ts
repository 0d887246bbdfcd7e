/**
 * The raw limit to compare with: a bare `node:http` server that reads a Redis stream and writes each entry to every
 * reader, with no cursor, filter, bound or back-pressure. Started by the `events` bench with REDIS_URL; prints its port.
 */
import { createServer, type ServerResponse } from "node:http"
import { Redis } from "ioredis"

const redis = new Redis(process.env["REDIS_URL"] ?? "")
const readers = new Set<ServerResponse>()

const server = createServer((_, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" }).write(":\n\n")
  readers.add(response)
  response.on("close", () => readers.delete(response))
})

const follow = async (): Promise<void> => {
  let last = "$"
  for (;;) {
    const reply = await redis.xread("COUNT", 1_000, "BLOCK", 5_000, "STREAMS", "bare-events", last)
    const entries = reply?.[0]?.[1] ?? []
    let text = ""
    for (const [id, fields] of entries) {
      text += `id: ${id}\nevent: job.submitted\ndata: ${fields[1]}\n\n`
      last = id
    }
    if (text !== "") for (const reader of readers) reader.write(text)
  }
}

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (address !== null && typeof address !== "string") process.stdout.write(`${address.port}\n`)
  void follow()
})
process.stdin.resume().on("end", () => process.exit(0))
