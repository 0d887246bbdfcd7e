/**
 * What a recorded ComfyUI does with the prompts that it is sent: they wait, run one after the other as they ran when they
 * were recorded, with the ids and the client of the one who sends them, and are remembered.
 */
import { canonical } from "@muster/core/Json"
import { Effect } from "effect"
import { WebSocket } from "ws"
import * as Recording from "./ComfyRecording.ts"

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

export interface PromptsOptions {
  readonly recording: Recording.Recording
  /** How many times faster than recorded. */
  readonly speed: number
  /** The delays after which a message arrives: none is lost, two comes twice. */
  readonly faulty: ((message: { readonly type: string }) => ReadonlyArray<number>) | undefined
}

const isInterruption = ({ message }: Recording.Happening) => message?.type === "execution_interrupted"

export const make = ({ faulty, recording, speed }: PromptsOptions) =>
  Effect.gen(function* () {
    const sentBefore = new Map<string, number>()
    const inputs = new Map<string, Buffer>()
    const posted: Array<{ readonly prompt_id: unknown; readonly client_id: unknown; readonly number: unknown }> = []
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
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        life++
        for (const timer of timers) clearTimeout(timer)
      })
    )

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
      const delays = Buffer.isBuffer(message) ? [0] : (faulty?.(message) ?? [0])
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
          const hasFlags = socket !== undefined && flagged.has(socket)
          if (hasFlags === binary.needsFlags) toClient(prompt, binary.frame(prompt.id))
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

    /** What a prompt is answered; it is run when it is well. */
    const submit = (body: Record<string, unknown>): { readonly status: number; readonly answer: unknown } => {
      posted.push({ prompt_id: body["prompt_id"], client_id: body["client_id"], number: body["number"] })
      const key = canonical(asRecorded(body["prompt"]))
      const known = recording.prompts.get(key) ?? []
      const nth = Math.min(sentBefore.get(key) ?? 0, known.length - 1)
      const recorded = known[nth]
      if (recorded === undefined) return { status: 418, answer: { error: "no such prompt was recorded" } }
      sentBefore.set(key, nth + 1)
      if (recorded.id === undefined) return { status: recorded.status, answer: recorded.answer }
      const given = recording.version === "2024-06" ? undefined : body["prompt_id"]
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
      // Those who listen hear of it after the answer.
      later(0, () => {
        toAll(status())
        next()
      })
      return { status: 200, answer: { ...(recorded.answer as object), prompt_id: prompt.id, number: prompt.number } }
    }

    const isOf = (ids: unknown) => (prompt: Prompt) => Array.isArray(ids) && ids.includes(prompt.id)

    return {
      posted,
      inputs,
      later,
      submit,
      remaining,
      clients: () => clients.size,
      /** A client listens. The later socket of a client takes all; when it closes, both are out. */
      listens: (id: string, client: WebSocket) => {
        clients.set(id, client)
        client.on("close", () => clients.delete(id))
        client.on("error", () => undefined)
        client.on("message", (data) => {
          // Builds before July 2025 do not listen.
          if (recording.version !== "2024-06" && String(data).includes("feature_flags")) flagged.add(client)
        })
        emit(client, status(id))
        if (running?.client_id === id && running.node !== undefined) {
          emit(client, { type: "executing", data: { node: running.node } } as { type: string })
        }
      },
      /** As `/queue` shows it. */
      queue: () => ({
        queue_running: running === undefined ? [] : [entry(running)],
        queue_pending: pending.map(entry)
      }),
      ids: () => ({ running: running?.id, pending: pending.map(({ id }) => id) }),
      takeOut: ({ clear, delete: ids }: Readonly<Record<string, unknown>>) => {
        pending = pending.filter((prompt) => clear !== true && !isOf(ids)(prompt))
      },
      /** As `/history` shows it, by prompt id. */
      past: () => [...past].map(([id, { record }]) => [id, record] as const),
      forget: ({ clear, delete: ids }: Readonly<Record<string, unknown>>) => {
        past = new Map([...past].filter(([, { prompt }]) => clear !== true && !isOf(ids)(prompt)))
      },
      /** Stops what runs; only if it is the prompt that is named, where one is. */
      interrupt: (prompt_id?: unknown) => {
        // Builds before September 2025 stop whatever runs.
        const isMeant = recording.version === "2024-06" || prompt_id === undefined || prompt_id === running?.id
        if (running !== undefined && isMeant) running.isInterrupted = true
      },
      hasMade: (key: string) => made.has(key),
      loseFiles: () => made.clear(),
      hold: () => {
        isHeld = true
      },
      letGo: () => {
        isHeld = false
        held?.()
        held = undefined
      },
      die: () => {
        isDead = true
      },
      /** Begins anew, with nothing in queue, history and temporary files. */
      restart: () => {
        life++
        pending = []
        running = undefined
        past = new Map()
        made = new Set([...made].filter((key) => !key.startsWith("temp/")))
        numbers = 0
        isDead = false
      }
    }
  })
