/**
 * What a ComfyUI was recorded to do, by the prompts that it was sent: the answer, the events in their time, and what its
 * history said. Recorded from ComfyUI v0.8.0, v0.3.64 and a build of June 2024; see recordings/comfyui.
 */
import { readdirSync, readFileSync } from "node:fs"
import { canonical } from "@muster/core/Json"

export type Version = "v0.8.0" | "v0.3.64" | "2024-06"

type Json = Readonly<Record<string, unknown>>

interface Step {
  readonly t_ms?: number
  readonly request: { readonly method: string; readonly path: string; readonly body?: unknown }
  readonly response?: { readonly status: number | null; readonly content_type?: string; readonly body?: unknown }
}

interface Frame {
  readonly t_ms: number
  readonly sock?: string
  readonly event?: string
  readonly url?: string
  readonly code?: number
  readonly data?: { readonly type: string; readonly data: Json }
  readonly binary?: {
    readonly bytes: number
    readonly head_hex: string
    readonly event_type: number
    readonly metadata?: Json
    readonly payload_magic: string
  }
}

interface File {
  readonly name: string
  readonly steps: ReadonlyArray<Step>
  readonly ws: ReadonlyArray<Frame>
}

/** Something that happened while a prompt ran, in milliseconds from its first event. */
export interface Happening {
  readonly at: number
  readonly message?: { readonly type: string; readonly data: Json }
  readonly binary?: { readonly frame: (prompt_id: string) => Buffer; readonly needsFlags: boolean }
  /** The socket of the client broke. */
  readonly drop?: true
}

export interface RecordedPrompt {
  readonly scenario: string
  readonly graph: Json
  /** Beside the graph: client_id, extra_data, … */
  readonly request: Json
  readonly status: number
  readonly answer: unknown
  /** The id in the recording; undefined for refused prompts. */
  readonly id: string | undefined
  readonly client_id: string | undefined
  readonly happenings: ReadonlyArray<Happening>
  /** Its record in the history as recorded, or put together from its events in the same form. */
  readonly past: Json | undefined
}

export interface RecordedFile {
  readonly status: number
  readonly content_type: string
  readonly bytes: Buffer
}

export interface Recording {
  readonly version: Version
  /** By graph; the same graph sent again has its own. */
  readonly prompts: ReadonlyMap<string, ReadonlyArray<RecordedPrompt>>
  /** By `type/subfolder/filename`. */
  readonly files: ReadonlyMap<string, RecordedFile>
  /** Answers of read-only paths, as recorded. */
  readonly infos: ReadonlyMap<string, { readonly status: number; readonly body: unknown }>
  /** Uploaded files by the size and name that they had. */
  readonly uploads: ReadonlyMap<string, number>
  readonly all: ReadonlyArray<RecordedPrompt>
}

const root = new URL("../recordings/comfyui/", import.meta.url)

/** Bytes of which the recording has the beginning and the number. */
const padded = (head_hex: string, size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  Buffer.from(head_hex, "hex").copy(bytes)
  return bytes
}

export const keyOf = (file: { filename?: unknown; subfolder?: unknown; type?: unknown }): string =>
  `${String(file.type ?? "output")}/${String(file.subfolder ?? "")}/${String(file.filename)}`

/** A preview as it was sent; that with metadata names another prompt. */
const frameOf =
  ({ bytes, head_hex, metadata, payload_magic }: NonNullable<Frame["binary"]>) =>
  (prompt_id: string): Buffer => {
    if (metadata === undefined) return padded(head_hex, bytes)
    const said = Buffer.from(JSON.stringify({ ...metadata, prompt_id }))
    const head = Buffer.alloc(8)
    head.writeUInt32BE(4)
    head.writeUInt32BE(said.length, 4)
    return Buffer.concat([head, said, padded(payload_magic, bytes - head.length - said.length)])
  }

const isEnd = ({ message }: Happening) => message?.type === "executing" && message.data["node"] === null

const happeningsOf = (file: File, id: string, client_id: string | undefined): ReadonlyArray<Happening> => {
  const urls = new Map(file.ws.flatMap(({ event, sock, url }) => (event === "connect" ? [[sock, url ?? ""]] : [])))
  const first = file.ws.find(({ event }) => event === "connect")?.sock
  const isOf = (sock: string | undefined) =>
    client_id === undefined ? sock === first : (urls.get(sock) ?? "").endsWith(`clientId=${client_id}`)
  const of = file.ws.filter(({ sock }) => isOf(sock))
  const begin = of.findIndex(({ data }) => data?.data["prompt_id"] === id)
  if (begin < 0) return []
  const start = of[begin]?.t_ms ?? 0
  const happenings: Array<Happening> = []
  for (const { binary, code, data, event, t_ms } of of.slice(begin)) {
    const at = t_ms - start
    if (data?.data["prompt_id"] === id) happenings.push({ at, message: data })
    else if (binary !== undefined) {
      happenings.push({ at, binary: { frame: frameOf(binary), needsFlags: binary.event_type === 4 } })
    } else if (event === "close" && code !== 1000) happenings.push({ at, drop: true })
    if (happenings.some(isEnd)) break
  }
  return happenings
}

/** A record as the others have it, from what the events said. */
const pastOf = (happenings: ReadonlyArray<Happening>, graph: Json): Json | undefined => {
  if (!happenings.some(isEnd)) return undefined
  const messages = happenings.flatMap(({ message }) => (message === undefined ? [] : [message]))
  const told = messages.filter(({ type }) => type.startsWith("execution_"))
  const failed = told.some(({ type }) => type === "execution_error" || type === "execution_interrupted")
  const outputs = messages.flatMap(({ data, type }) =>
    type === "executed" ? [[String(data["node"]), data["output"]]] : []
  )
  return {
    prompt: [0, "", graph, {}, []],
    outputs: Object.fromEntries(outputs),
    status: {
      status_str: failed ? "error" : "success",
      completed: !failed,
      messages: told.map(({ data, type }) => [type, data])
    }
  }
}

const promptsOf = (file: File): ReadonlyArray<RecordedPrompt> =>
  file.steps.flatMap(({ request, response }) => {
    if (request.method !== "POST" || request.path !== "/prompt") return []
    if (typeof request.body !== "object" || request.body === null || response?.status == null) return []
    const { prompt, ...rest } = request.body as Json
    if (typeof prompt !== "object" || prompt === null) return []
    const answer = response.body as Json
    const id = response.status === 200 ? String(answer["prompt_id"]) : undefined
    const client_id = rest["client_id"] as string | undefined
    const happenings = id === undefined ? [] : happeningsOf(file, id, client_id)
    const said = file.steps
      .filter((step) => step.request.path === `/history/${encodeURIComponent(id ?? "")}`)
      .map((step) => (step.response?.body as Record<string, Json> | null)?.[id ?? ""])
      .findLast((past) => past?.["outputs"] !== undefined)
    return [
      {
        scenario: file.name,
        graph: prompt as Json,
        request: rest,
        status: response.status,
        answer,
        id,
        client_id,
        happenings,
        past: said ?? pastOf(happenings, prompt as Json)
      }
    ]
  })

export const read = (version: Version): Recording => {
  const folder = new URL(`${version}/`, root)
  const files = readdirSync(folder)
    .toSorted()
    .map((name) => JSON.parse(readFileSync(new URL(name, folder), "utf8")) as File)
  const all = files.flatMap(promptsOf)
  const prompts = new Map<string, Array<RecordedPrompt>>()
  for (const prompt of all) {
    const key = canonical(prompt.graph)
    prompts.set(key, [...(prompts.get(key) ?? []), prompt])
  }
  const steps = files.flatMap((file) => file.steps)
  const seen = new Map<string, RecordedFile>()
  const infos = new Map<string, { status: number; body: unknown }>()
  const uploads = new Map<string, number>()
  for (const { request, response } of steps) {
    const url = new URL(request.path, "http://recorded")
    const body = response?.body as { bytes?: number; head_hex?: string } | undefined
    if (url.pathname === "/view" && response?.status === 200 && url.searchParams.get("preview") === null) {
      if (url.searchParams.get("channel") !== null || body?.bytes === undefined || body.bytes === 0) continue
      seen.set(keyOf(Object.fromEntries(url.searchParams)), {
        status: 200,
        content_type: response.content_type ?? "",
        bytes: padded(body.head_hex ?? "", body.bytes)
      })
    }
    if (request.path === "/upload/image") {
      const [, name = "", size] = /^<file (.*) (\d+)B>$/.exec((request.body as { image?: string }).image ?? "") ?? []
      uploads.set(name, Number(size))
    }
    // Later ones are digests.
    if (request.method === "GET" && response?.status != null && !infos.has(request.path)) {
      infos.set(request.path, { status: response.status, body: response.body })
    }
  }
  return { version, prompts, files: seen, infos, uploads, all }
}
