/** A part of a bench that runs in a process of its own and is asked over its channel, many questions at once. */
import { fork } from "node:child_process"
import { once } from "node:events"

/** What a part answers: a name for each question. */
export type Handlers = { readonly [name: string]: (input: never) => Promise<unknown> }

export interface Part<Answers extends Handlers> {
  readonly ask: <Name extends keyof Answers & string>(
    name: Name,
    input: Parameters<Answers[Name]>[0]
  ) => Promise<Awaited<ReturnType<Answers[Name]>>>
  readonly stop: () => Promise<void>
}

interface Question {
  readonly id: number
  readonly name: string
  readonly input: unknown
}

interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}

/** Milliseconds of one clock that all processes of this machine share. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

/** A folder in BENCH_PROFILES gets a CPU profile of each part. */
const profiling = (): ReadonlyArray<string> => {
  const folder = process.env["BENCH_PROFILES"]
  return folder ? ["--cpu-prof", `--cpu-prof-dir=${folder}`] : []
}

export const startPart = <Answers extends Handlers>(file: string): Part<Answers> => {
  const child = fork(file, { execArgv: [...profiling()], serialization: "advanced" })
  const pending = new Map<number, (answer: Answer) => void>()
  child.on("message", (message) => {
    const answer = message as Answer
    pending.get(answer.id)?.(answer)
    pending.delete(answer.id)
  })
  child.once("exit", (code) => {
    for (const [id, settle] of pending) settle({ id, error: `${file} ended with ${code}` })
  })
  let lastId = 0
  return {
    ask: async (name, input) => {
      const id = ++lastId
      const answer = await new Promise<Answer>((resolve) => {
        pending.set(id, resolve)
        child.send({ id, name, input } satisfies Question)
      })
      if (answer.error !== undefined) throw new Error(answer.error)
      return answer.value as never
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, "exit")
      child.disconnect()
      await exit
    }
  }
}

/** Answers until the bench hangs up. */
export const serve = (handlers: Handlers): void => {
  process.on("message", (message) => {
    const { id, input, name } = message as Question
    handlers[name]!(input as never).then(
      (value) => process.send?.({ id, value } satisfies Answer),
      (error: unknown) => process.send?.({ id, error: String(error) } satisfies Answer)
    )
  })
  process.on("disconnect", () => process.exit(0))
}
