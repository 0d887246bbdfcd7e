/** A process that reads one event stream over many connections, and says when all have how much, and how late. */
import { connect, type Socket } from "node:net"
import { now, serve } from "./Part.ts"

export type EventReaders = {
  readonly open: (asked: {
    readonly port: number
    readonly path: string
    readonly readers: number
  }) => Promise<undefined>
  /** When every reader has so many events since it was opened: the time by the clock of all processes. */
  readonly received: (asked: { readonly count: number }) => Promise<number>
  /** From when the events happened to when the first reader had them, in ms. */
  readonly delays: (asked: null) => Promise<ReadonlyArray<number>>
  readonly close: (asked: null) => Promise<undefined>
}

interface Reader {
  readonly socket: Socket
  count: number
  /** The piece of text that may hold the beginning of what is looked for. */
  rest: string
}

// Each event says when it happened; nothing else in a stream of submits does so.
const mark = '"at":'

let readers: ReadonlyArray<Reader> = []
let delays: Array<number> = []
let wanted: { readonly count: number; readonly done: (at: number) => void } | undefined

const check = (): void => {
  if (wanted === undefined || readers.some(({ count }) => count < (wanted?.count ?? 0))) return
  wanted.done(now())
  wanted = undefined
}

const take = (reader: Reader, chunk: string, isFirst: boolean): void => {
  const text = reader.rest + chunk
  let from = 0
  for (;;) {
    const at = text.indexOf(mark, from)
    // The time follows: 24 characters in quotes, or a number as long as those of this century.
    if (at < 0 || at + mark.length + 26 > text.length) {
      reader.rest = text.slice(at < 0 ? Math.max(from, text.length - mark.length) : at)
      break
    }
    from = at + mark.length
    reader.count++
    if (isFirst) {
      const said =
        text[from] === '"' ? Date.parse(text.slice(from + 1, from + 25)) : Number.parseInt(text.slice(from), 10)
      delays.push(Date.now() - said)
    }
  }
  if (wanted !== undefined && reader.count >= wanted.count) check()
}

const open = (port: number, path: string, isFirst: boolean): Promise<Reader> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    ).setEncoding("utf8")
    const reader: Reader = { socket, count: 0, rest: "" }
    socket.once("data", () => resolve(reader))
    socket.on("data", (chunk: string) => take(reader, chunk, isFirst)).on("error", reject)
  })

const handlers: EventReaders = {
  open: async ({ path, port, readers: count }) => {
    delays = []
    readers = await Promise.all(Array.from({ length: count }, (_, n) => open(port, path, n === 0)))
    return undefined
  },
  received: ({ count }) =>
    new Promise((done) => {
      wanted = { count, done }
      check()
    }),
  delays: async () => delays,
  close: async () => {
    for (const { socket } of readers) socket.destroy()
    readers = []
    return undefined
  }
}

serve(handlers)
