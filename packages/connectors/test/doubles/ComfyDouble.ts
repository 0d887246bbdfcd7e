/**
 * A ComfyUI that does what recorded ones did. It knows the prompts that were recorded of its version and no others; each
 * runs as it ran then, one after the other, with the ids and the client of the one who sends it. Contents of files are
 * not in the recordings: they have the recorded beginning and size.
 */
import { canonical } from "@muster/core/Json"
import { Effect } from "effect"
import { once } from "node:events"
import type { IncomingMessage, ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { WebSocket, WebSocketServer } from "ws"
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

interface Prompt {
  readonly recorded: Recording.RecordedPrompt
  readonly id: string
  readonly number: number
  readonly client_id: string | undefined
  readonly graph: unknown
  readonly extra: unknown
  isInterrupted: boolean
  /** The node that runs. */
  node: string | undefined
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

const isInterruption = ({ message }: Recording.Happening) => message?.type === "execution_interrupted"

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
    const sentBefore = new Map<string, number>()
    const inputs = new Map<string, Buffer>()
    const posted: Array<{ readonly prompt_id: unknown; readonly client_id: unknown; readonly number: unknown }> = []
    const requests: Array<string> = []
    const clients = new Map<string, WebSocket>()
    const flagged = new WeakSet<WebSocket>()
    let pending: Array<Prompt> = []
    let running: Prompt | undefined
    let past = new Map<string, { readonly prompt: Prompt; readonly record: Record<string, unknown> }>()
    let made = new Set<string>()
    let numbers = 0
    let isDead = false
    /** What goes on when prompts do again. */
    let held: (() => void) | undefined
    let isHeld = false
    let life = 0
    const timers = new Set<NodeJS.Timeout>()

    const later = (ms: number, then: () => void) => {
      const timer = setTimeout(() => {
        timers.delete(timer)
        then()
      }, ms)
      timers.add(timer)
    }

    const emit = (socket: WebSocket | undefined, message: { readonly type: string } | Buffer) => {
      if (socket === undefined) return
      const put = () => {
        if (socket.readyState !== WebSocket.OPEN) return
        socket.send(Buffer.isBuffer(message) ? message : JSON.stringify(message))
      }
      const delays = Buffer.isBuffer(message) ? [0] : (faults.message?.(message) ?? [0])
      for (const delay of delays) {
        if (delay === 0) put()
        else later(delay, put)
      }
    }
    const remaining = () => pending.length + (running === undefined ? 0 : 1)
    const status = (sid?: string) => ({
      type: "status",
      data: { status: { exec_info: { queue_remaining: remaining() } }, ...(sid === undefined ? {} : { sid }) }
    })
    const toAll = (message: { readonly type: string }) => {
      for (const socket of clients.values()) emit(socket, message)
    }
    /** Without a client everybody hears it. */
    const toClient = ({ client_id }: Prompt, message: { readonly type: string } | Buffer) => {
      if (client_id !== undefined) return emit(clients.get(client_id), message)
      for (const socket of clients.values()) emit(socket, message)
    }

    /** What was recorded, with the ids of now. */
    const as = <A>(value: A, { client_id, id, recorded }: Prompt): A => {
      let text = JSON.stringify(value)
      if (recorded.id !== undefined) text = text.replaceAll(JSON.stringify(recorded.id), JSON.stringify(id))
      if (recorded.client_id !== undefined && client_id !== undefined) {
        text = text.replaceAll(JSON.stringify(recorded.client_id), JSON.stringify(client_id))
      }
      return JSON.parse(text) as A
    }

    const entry = ({ client_id, extra, graph, id, number }: Prompt) => [
      number,
      id,
      graph,
      { ...(extra as object), ...(client_id === undefined ? {} : { client_id }) },
      []
    ]

    const remember = (prompt: Prompt, record: Record<string, unknown>) => {
      const { outputs = {} } = record as { outputs?: Record<string, Record<string, unknown>> }
      for (const value of Object.values(outputs).flatMap((output) => Object.values(output).flat())) {
        if (typeof value === "object" && value !== null) made.add(Recording.keyOf(value))
      }
      past.set(prompt.id, { prompt, record: { ...record, prompt: entry(prompt) } })
    }

    const finish = (prompt: Prompt) => {
      if (running !== prompt) return
      running = undefined
      toAll(status())
    }

    const interrupt = (prompt: Prompt) => {
      const { recorded } = prompt
      const told = recorded.happenings.find(isInterruption)?.message
      const of = recorded.graph[prompt.node ?? ""] as { class_type?: string } | undefined
      const message = told ?? {
        type: "execution_interrupted",
        data: { prompt_id: recorded.id, node_id: prompt.node, node_type: of?.class_type, executed: [] }
      }
      const ours = as(message, prompt)
      remember(prompt, {
        outputs: {},
        status: { status_str: "error", completed: false, messages: [[ours.type, ours.data]] }
      })
      toClient(prompt, ours)
      finish(prompt)
      toClient(prompt, { type: "executing", data: { node: null, prompt_id: prompt.id } } as { type: string })
      next()
    }

    const play = (prompt: Prompt, nth: number, at: number) => {
      const ours = life
      const { happenings, past: record } = prompt.recorded
      const happening = happenings[nth]
      const isLast = happening === undefined
      // Nobody listened when it was recorded, but it ended; or it was interrupted then, and now runs on and on.
      const wait = isLast ? 30 : Math.max(0, happening.at - at)
      later(wait / speed, () => {
        if (life !== ours || running !== prompt) return
        if (isHeld) {
          held = () => play(prompt, nth, at)
          return
        }
        const type = happening?.message?.type
        const reports = isLast || type === "progress" || type === "executing" || type === "execution_interrupted"
        if (prompt.isInterrupted && reports) return void interrupt(prompt)
        const endsByItself = record !== undefined && !happenings.some(isInterruption)
        if (type === "execution_interrupted" || (isLast && !endsByItself)) {
          return void play(prompt, happenings.length, at)
        }
        if (isLast) {
          remember(prompt, as({ ...record }, prompt))
          finish(prompt)
          return void next()
        }
        const { binary, drop, message } = happening
        if (drop === true && prompt.client_id !== undefined) clients.get(prompt.client_id)?.terminate()
        if (binary !== undefined) {
          const socket = clients.get(prompt.client_id ?? "")
          if (socket !== undefined && flagged.has(socket) === binary.needsFlags) emit(socket, binary.bytes)
        }
        if (message === undefined) return void play(prompt, nth + 1, happening.at)
        const node = message.data["node"]
        if (type === "executing" && typeof node === "string") prompt.node = node
        const isEnd = type === "executing" && node === null
        // The history has it before the end is told.
        const tells = isEnd || type === "execution_success" || type === "execution_error"
        if (tells && record !== undefined && !past.has(prompt.id)) remember(prompt, as({ ...record }, prompt))
        if (isEnd) finish(prompt)
        toClient(prompt, as(message, prompt))
        if (isEnd) next()
        else play(prompt, nth + 1, happening.at)
      })
    }

    const next = () => {
      if (isDead || running !== undefined || pending.length === 0) return
      const [first] = pending.toSorted((one, other) => one.number - other.number)
      if (first === undefined) return
      pending = pending.filter((prompt) => prompt !== first)
      running = first
      play(first, 0, 0)
    }

    /** A graph as it was recorded: uploaded files have the names of the recording, by their size. */
    const asRecorded = (graph: unknown): unknown => {
      let text = JSON.stringify(graph)
      for (const [name, content] of inputs) {
        const [recorded] = [...recording.uploads].find(([, size]) => size === content.length) ?? []
        if (recorded !== undefined) text = text.replaceAll(JSON.stringify(name), JSON.stringify(recorded))
      }
      return JSON.parse(text) as unknown
    }

    const submit = (response: ServerResponse, body: Record<string, unknown>): void => {
      posted.push({ prompt_id: body["prompt_id"], client_id: body["client_id"], number: body["number"] })
      const key = canonical(asRecorded(body["prompt"]))
      const known = recording.prompts.get(key) ?? []
      const nth = Math.min(sentBefore.get(key) ?? 0, known.length - 1)
      const recorded = known[nth]
      if (recorded === undefined) return void json(response, 418, { error: "no such prompt was recorded" })
      sentBefore.set(key, nth + 1)
      if (recorded.id === undefined) return void json(response, recorded.status, recorded.answer)
      const given = version === "2024-06" ? undefined : body["prompt_id"]
      const prompt: Prompt = {
        recorded,
        id: typeof given === "string" ? given : globalThis.crypto.randomUUID(),
        number: numbers++,
        client_id: body["client_id"] as string | undefined,
        graph: body["prompt"],
        extra: body["extra_data"] ?? {},
        isInterrupted: false,
        node: undefined
      }
      pending.push(prompt)
      // A prompt of the same id runs anew, and its record is written over.
      past.delete(prompt.id)
      json(response, 200, { ...(recorded.answer as object), prompt_id: prompt.id, number: prompt.number })
      toAll(status())
      next()
    }

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
      if (!made.has(key)) return void response.writeHead(404).end()
      const file =
        recording.files.get(key) ??
        [...recording.files.values()].find(({ content_type }) => content_type === "image/png")
      response.writeHead(200, { "content-type": file?.content_type ?? "image/png" }).end(file?.bytes)
    }

    const shownPast = () => (faults.hidesPast?.() === true ? new Map<string, never>() : past)

    const route = (request: IncomingMessage, response: ServerResponse, text: string, raw: Buffer) => {
      const url = new URL(request.url ?? "", "http://double")
      const [, first = "", second = ""] = url.pathname.split("/")
      const body = () => (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>
      const ok = () => void response.writeHead(200).end()
      const isOf = (ids: unknown) => (prompt: Prompt) => Array.isArray(ids) && ids.includes(prompt.id)
      switch (`${request.method} /${first}`) {
        case "GET /prompt":
          return json(response, 200, { exec_info: { queue_remaining: remaining() } })
        case "POST /prompt":
          return submit(response, body())
        case "GET /queue":
          return json(response, 200, {
            queue_running: running === undefined ? [] : [entry(running)],
            queue_pending: pending.map(entry)
          })
        case "POST /queue": {
          const { clear, delete: ids } = body()
          pending = pending.filter((prompt) => clear !== true && !isOf(ids)(prompt))
          return ok()
        }
        case "GET /history": {
          const shown = [...shownPast()].filter(([id]) => second === "" || id === decodeURIComponent(second))
          const most = Number(url.searchParams.get("max_items") ?? shown.length)
          return json(response, 200, Object.fromEntries(shown.slice(-most).map(([id, { record }]) => [id, record])))
        }
        case "POST /history": {
          const { clear, delete: ids } = body()
          past = new Map([...past].filter(([, { prompt }]) => clear !== true && !isOf(ids)(prompt)))
          return ok()
        }
        case "POST /interrupt": {
          const { prompt_id } = body()
          // Builds before September 2025 stop whatever runs.
          const isMeant = version === "2024-06" || prompt_id === undefined || prompt_id === running?.id
          if (running !== undefined && isMeant) running.isInterrupted = true
          return ok()
        }
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
      else later(delay_ms, () => route(request, response, text, raw))
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
        // The later socket of a client takes all; when it closes, both are out.
        clients.set(id, client)
        client.on("close", () => clients.delete(id))
        client.on("error", () => undefined)
        client.on("message", (data) => {
          if (String(data).includes("feature_flags")) flagged.add(client)
        })
        emit(client, status(id))
        if (running?.client_id === id && running.node !== undefined) {
          emit(client, { type: "executing", data: { node: running.node } } as { type: string })
        }
      })
    })

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        life++
        for (const timer of timers) clearTimeout(timer)
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
      clients: () => clients.size,
      running: () => remaining(),
      queue: () => ({ running: running?.id, pending: pending.map(({ id }) => id) }),
      past: () => [...past.keys()],
      inputs,
      /** The size of the image that was uploaded when it was recorded. */
      realImage: recording.uploads.get("real.png") ?? 0,
      /** Somebody tidied up the folder of files. */
      loseFiles: () => made.clear(),
      /** All sockets break. */
      cut,
      /** Another client stops what runs. */
      interruptRunning: () => {
        if (running !== undefined) running.isInterrupted = true
      },
      /** Another client empties the queue and the history. */
      clear: () => {
        pending = []
        past.clear()
      },
      /** What runs stands still until it is let go. */
      hold: () => {
        isHeld = true
      },
      letGo: () => {
        isHeld = false
        held?.()
        held = undefined
      },
      /** The thread that runs prompts is dead; HTTP goes on. */
      killWorker: () => {
        isDead = true
      },
      /** Ends without a word, and is there again after `meanwhile` with nothing in queue, history and temporary files. */
      restart: Effect.fnUntraced(function* (meanwhile: Effect.Effect<unknown>) {
        const { port } = server.server.address() as AddressInfo
        yield* Effect.sync(() => {
          life++
          cut()
          server.server.closeAllConnections()
          server.server.close()
          pending = []
          running = undefined
          past = new Map()
          made = new Set([...made].filter((key) => !key.startsWith("temp/")))
          numbers = 0
          isDead = false
        })
        yield* meanwhile
        yield* Effect.promise(() => once(server.server.listen(port, "127.0.0.1"), "listening"))
      })
    }
  })
