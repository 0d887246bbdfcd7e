/**
 * A ComfyUI that does what recorded ones did, over HTTP and on its socket. It knows the prompts that were recorded of its
 * version and no others. Contents of files are not in the recordings: they have the recorded beginning and size.
 */
import { Effect } from "effect"
import { once } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { WebSocketServer } from "ws"
import * as ComfyPrompts from "./ComfyPrompts.ts"
import * as Recording from "./ComfyRecording.ts"
import { hurtableServer, json } from "./HurtableServer.ts"

/** Broken off before or after a request was heeded, or in the middle of the answer; or answered by a page of a proxy. */
export type Breaks = "before" | "after" | "within" | "html"

/** What may befall a message or an answer on its way; the double itself loses nothing. */
export interface Faults {
  /** The delays after which a message arrives: none is lost, two comes twice. */
  readonly message?: (message: { readonly type: string }) => ReadonlyArray<number>
  /** How a request is answered: late, or in some bad way. */
  readonly answer?: (path: string) => { readonly delay_ms: number; readonly breaks?: Breaks }
  /** Whether the record of an ended prompt is not shown this time. */
  readonly hidesPast?: () => boolean
}

export interface Options {
  readonly version: Recording.Version
  /** How many times faster than recorded; 1 by default. */
  readonly speed?: number
  readonly faults?: Faults
  /** Asked of every request and handshake. */
  readonly authorization?: string
}

const recordings = new Map<Recording.Version, Recording.Recording>()
const recordingOf = (version: Recording.Version) => {
  const recording = recordings.get(version) ?? Recording.read(version)
  recordings.set(version, recording)
  return recording
}

/** The graph of a recorded prompt, to be sent as a job. */
export const graphOf = (version: Recording.Version, scenario: string, nth = 0): Readonly<Record<string, unknown>> => {
  const prompt = recordingOf(version)
    .all.filter((one) => one.scenario === scenario)
    .at(nth)
  if (prompt === undefined) throw new Error(`${version} has no prompt ${nth} in ${scenario}`)
  return prompt.graph
}

/** Half of the answer goes out, and the connection is cut. */
const breakWithin = (response: ServerResponse) => {
  response.end = ((said: string) => {
    response.write(said.slice(0, said.length / 2), () => response.destroy())
    return response
  }) as ServerResponse["end"]
}

/** The first file in a multipart body. */
const uploaded = (raw: Buffer) => {
  const head = raw.subarray(0, raw.indexOf("\r\n\r\n")).toString("latin1")
  const [boundary = ""] = head.split("\r\n")
  const begin = raw.indexOf("\r\n\r\n") + 4
  const end = raw.indexOf(`\r\n${boundary}`, begin)
  return { name: /filename="([^"]*)"/.exec(head)?.[1] ?? "", content: raw.subarray(begin, end) }
}

export const comfyDouble = (options: Options) =>
  Effect.gen(function* () {
    const { authorization, faults = {}, speed = 1, version } = options
    const recording = recordingOf(version)
    const requests: Array<string> = []
    const prompts = yield* ComfyPrompts.make({ recording, speed, faulty: faults.message })
    const { inputs, posted } = prompts

    const upload = (response: ServerResponse, raw: Buffer) => {
      const { content, name } = uploaded(raw)
      if (name === "" || name.includes("..")) return void response.writeHead(400).end()
      const isSame = inputs.get(name)?.equals(content) ?? true
      const given = isSame ? name : name.replace(/(\.[^.]*)?$/, " (1)$1")
      inputs.set(given, content)
      json(response, 200, { name: given, subfolder: "", type: "input" })
    }

    const view = (response: ServerResponse, url: URL) => {
      const key = Recording.keyOf(Object.fromEntries(url.searchParams))
      if (!prompts.hasMade(key)) return void response.writeHead(404).end()
      const file =
        recording.files.get(key) ??
        [...recording.files.values()].find(({ content_type }) => content_type === "image/png")
      response.writeHead(200, { "content-type": file?.content_type ?? "image/png" }).end(file?.bytes)
    }

    const shownPast = () => (faults.hidesPast?.() === true ? [] : prompts.past())

    const route = (request: IncomingMessage, response: ServerResponse, text: string, raw: Buffer) => {
      const url = new URL(request.url ?? "", "http://double")
      const [, first = "", second = ""] = url.pathname.split("/")
      const body = () => (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>
      const ok = () => void response.writeHead(200).end()
      switch (`${request.method} /${first}`) {
        case "GET /prompt":
          return json(response, 200, { exec_info: { queue_remaining: prompts.remaining() } })
        case "POST /prompt": {
          const { answer, status } = prompts.submit(body())
          return json(response, status, answer)
        }
        case "GET /queue":
          return json(response, 200, prompts.queue())
        case "POST /queue":
          prompts.takeOut(body())
          return ok()
        case "GET /history": {
          const shown = shownPast().filter(([id]) => second === "" || id === decodeURIComponent(second))
          const most = Number(url.searchParams.get("max_items") ?? shown.length)
          return json(response, 200, Object.fromEntries(shown.slice(-most)))
        }
        case "POST /history":
          prompts.forget(body())
          return ok()
        case "POST /interrupt":
          prompts.interrupt(body()["prompt_id"])
          return ok()
        case "POST /upload":
          return upload(response, raw)
        case "GET /view":
          return view(response, url)
        case "GET /object_info": {
          if (second !== "") break
          // The whole answer was recorded as a list of names; two nodes were recorded whole.
          const nodes = ["SaveImage", "EmptyImage"].map((node) => recording.infos.get(`/object_info/${node}`)?.body)
          return json(response, nodes.includes(undefined) ? 404 : 200, Object.assign({}, ...nodes))
        }
      }
      const info = recording.infos.get(request.url ?? "")
      return json(response, info?.status ?? 404, info?.body ?? "404: Not Found")
    }

    const server = yield* hurtableServer((request, response, text, raw): void => {
      requests.push(`${request.method} ${request.url}`)
      if (authorization !== undefined && request.headers.authorization !== authorization)
        return void json(response, 401, {})
      const { breaks, delay_ms } = faults.answer?.(request.url ?? "") ?? { delay_ms: 0 }
      if (breaks === "html") return void response.writeHead(200, { "content-type": "text/html" }).end("<html>")
      if (breaks === "within") breakWithin(response)
      else if (breaks !== undefined) request.socket.destroy()
      if (breaks === "before") return
      if (delay_ms === 0) route(request, response, text, raw)
      else prompts.later(delay_ms, () => route(request, response, text, raw))
    })

    const sockets = new WebSocketServer({ noServer: true, maxPayload: 4 * 1024 * 1024 })
    server.server.on("upgrade", (request, socket, head) => {
      if (server.isHurt()) return
      if (authorization !== undefined && request.headers.authorization !== authorization) {
        return void socket.end("HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
      }
      sockets.handleUpgrade(request, socket, head, (client) => {
        const url = new URL(request.url ?? "", "http://double")
        const id = url.searchParams.get("clientId") ?? globalThis.crypto.randomUUID().replaceAll("-", "")
        prompts.listens(id, client)
      })
    })

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const client of sockets.clients) client.terminate()
      })
    )

    const cut = () => {
      for (const client of sockets.clients) client.terminate()
    }

    return {
      ...server,
      posted,
      requests,
      clients: prompts.clients,
      running: prompts.remaining,
      queue: prompts.ids,
      past: () => prompts.past().map(([id]) => id),
      inputs,
      /** The size of the image that was uploaded when it was recorded. */
      realImage: recording.uploads.get("real.png") ?? 0,
      /** Somebody tidied up the folder of files. */
      loseFiles: prompts.loseFiles,
      /** All sockets break. */
      cut,
      /** Another client stops what runs. */
      interruptRunning: () => prompts.interrupt(),
      /** Another client empties the queue and the history. */
      clear: () => {
        prompts.takeOut({ clear: true })
        prompts.forget({ clear: true })
      },
      /** What runs stands still until it is let go. */
      hold: prompts.hold,
      letGo: prompts.letGo,
      /** The thread that runs prompts is dead; HTTP goes on. */
      killWorker: prompts.die,
      /** Ends without a word, and is there again after `meanwhile` with nothing in queue, history and temporary files. */
      restart: Effect.fnUntraced(function* (meanwhile: Effect.Effect<unknown>) {
        const { port } = server.server.address() as AddressInfo
        yield* Effect.sync(() => {
          cut()
          server.server.closeAllConnections()
          server.server.close()
          prompts.restart()
        })
        yield* meanwhile
        yield* Effect.promise(() => once(server.server.listen(port, "127.0.0.1"), "listening"))
      })
    }
  })
